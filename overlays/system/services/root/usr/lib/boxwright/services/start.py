"""Starts and stops a service: its disks and folders, its seed, then `docker compose`."""

import os
import pathlib
import subprocess
import sys
import tempfile

from services import folders, gate, space, steps
from services.config import CONFIG, NOTES, as_user, containers, fail, write

RENDER_NODE = pathlib.Path("/dev/dri/renderD128")


def disks(service):
    """A missing disk must never be mistaken for an empty one."""
    for disk in service["disks"]:
        path = disk["path"]
        try:
            os.stat(path + "/.")  # lets an automount happen
        except OSError as error:
            fail(f"{path} cannot be read: {error.strerror}")
        if not os.path.ismount(path):
            fail(f"the disk `{disk['name']}` is not mounted at {path}")


def state(service):
    """The folder of all that the service keeps on the state partition."""
    top = pathlib.Path(service["state"])
    if not os.path.ismount("/srv/state"):
        fail("/srv/state is not mounted")
    if not top.exists():
        gate.forget(service["name"])
    top.mkdir(mode=0o711, exist_ok=True)
    top.chmod(0o711)


def optional_secrets(service):
    """Compose wants every file that it is told of; one that the owner left out is empty."""
    optional = {secret["name"] for secret in service["secrets"] if secret["optional"]}
    for file in service["secret_files"]:
        path = pathlib.Path(file["path"])
        if file["name"] in optional and not path.exists():
            path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            path.touch(mode=0o444)


def probe(containers):
    """Whether the users that the containers run as can write where they must; says what to do where they cannot."""
    wrong = []
    for container in containers:
        for volume in container["volumes"]:
            if volume["kind"] != "disk" or volume["read_only"]:
                continue
            uid, gid, path = container["uid"], container["gid"], volume["source"]
            if as_user(uid, gid, lambda at=volume["given"]: tempfile.TemporaryFile(dir=at).close()):
                wrong.append(
                    f"{container['name']} runs as {uid}:{gid} and cannot write to {path}: give the folder to that user, "
                    f"or write its owner as `owner` of the disk in the profile"
                )
    return wrong


def gpu(service):
    """The Compose files to use, and the variables that they need."""
    files, variables, notes = ["compose.yaml"], {}, []
    if (CONFIG / service["name"] / "gpu.yaml").exists():
        if RENDER_NODE.exists():
            files.append("gpu.yaml")
            variables["BOXWRIGHT_GPU_GROUP"] = str(RENDER_NODE.stat().st_gid)
        else:
            notes.append("no graphics processor was found (/dev/dri/renderD128): it runs without")
    return files, variables, notes


def environment(service):
    """What `docker compose` in the service's folder sees as well, through .env."""
    files, variables, notes = gpu(service)
    variables["COMPOSE_FILE"] = ":".join(files)
    text = "".join(f"{key}={value}\n" for key, value in sorted(variables.items()))
    write(NOTES / f"{service['name']}.env", text)
    return variables, notes


def compose(service, variables, *arguments):
    command = ["docker", "compose", "--progress", "plain", "--ansi", "never", *arguments]
    # The hosts' variables must not reach into the files.
    kept = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **variables}
    return subprocess.run(command, cwd=CONFIG / service["name"], env=kept, check=False).returncode


def up(service, variables):
    """`docker compose up`, until every container is healthy. It does not wait for one whose health check is switched off, but
    calls that an error: such a one is started after the others."""
    flags = ["up", "--detach", "--no-build", "--remove-orphans"]
    checked = [container["key"] for container in service["containers"] if not container["health"]["none"]]
    rest = len(checked) < len(service["containers"])
    status = 0
    if checked:
        status = compose(service, variables, *flags, "--wait", "--wait-timeout", "1500", *(checked if rest else []))
    if rest and status == 0:
        status = compose(service, variables, *flags)
    return status


def unreached(service):
    """Whether it is a VPN that runs and reaches nobody: the internet may be down. That is told once the first tries have failed,
    when its firewall is up long since: what lives in its namespace may start, answers at home, and gets out when the VPN does."""
    found = containers() if service["role"] == "vpn" else {}
    states = [found.get(container["name"], {}).get("State", {}) for container in service["containers"]]
    health = [state.get("Health", {}).get("Status") for state in states if state.get("Status") == "running"]
    return bool(states) and health == ["unhealthy"] * len(states)


def note(name, notes):
    """Keeps what the owner should read about a service until its next start."""
    write(NOTES / f"{name}.notes", "".join(f"{line}\n" for line in notes))
    for line in notes:
        print(line, file=sys.stderr)


def prepare(service, keys=None):
    """What the containers need to find, or those with these keys alone: a disk that they have nothing on need not be there. Returns
    what the owner should read."""
    containers = [container for container in service["containers"] if keys is None or container["key"] in keys]
    volumes = [volume for container in containers for volume in container["volumes"]]
    if keys is None or any(volume["kind"] == "disk" for volume in volumes):
        disks(service)
    if keys is None:
        space.refuse(service)
    state(service)
    for volume in volumes:
        folders.ready(volume)
    optional_secrets(service)
    notes = probe(containers)
    steps.seed(service)
    return notes


def start(service):
    try:
        notes = prepare(service)
    except folders.Wrong as wrong:
        note(service["name"], [f"it does not start: {wrong}"])
        sys.exit(1)
    variables, more = environment(service)
    note(service["name"], notes + more)
    if up(service, variables) and not unreached(service):
        fail(f"not every container of {service['name']} became healthy; see `docker compose logs` in {CONFIG / service['name']}")


def stop(service):
    variables, _ = environment(service)
    sys.exit(compose(service, variables, "down", "--remove-orphans"))
