"""Runs services of the rendered tree FOLDER/tree on a Docker of its own, with the box's programs, in namespaces of its own.

Prints one line for each thing that holds; stops at the first that does not.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import databases
import torrents

FOLDER, COMPOSE = map(pathlib.Path, sys.argv[1:])
TREE = FOLDER / "tree"
SECRET = "0123456789abcdef0123456789abcdef"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, text=True, **options)


def surroundings():
    """What the box has that this machine has not."""
    for file in TREE.glob("etc/boxwright/services/*/compose.yaml"):
        # Only how often is asked: a box has more patience than a test.
        file.write_text(file.read_text().replace('interval: "30s"', 'interval: "1s"'))
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={TREE}/etc:/etc", "/etc")
    for at in ["/run", "/root", "/srv", "/srv/state", "/srv/media"]:
        os.makedirs(at, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", at)
    os.chown("/srv/media", 1000, 1000)
    os.makedirs("/root/.docker/cli-plugins")
    shutil.copy(COMPOSE, "/root/.docker/cli-plugins/docker-compose")
    os.environ["HOME"] = "/root"
    run("ip", "link", "set", "lo", "up")


def secrets(services):
    """Every secret, as the box places it: for one container each, readable by its user only."""
    for service in services:
        owners = {secret["name"]: (secret["uid"], secret["gid"]) for secret in service["secrets"]}
        files = [(file["name"], pathlib.Path(file["path"])) for file in service["secret_files"]]
        files += [(secret["name"], pathlib.Path(secret["path"])) for secret in service["secrets"] if not secret["optional"]]
        for name, path in files:
            path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            path.write_text(f"{service['name']}-{name}-{SECRET}")
            uid = path.suffix.removeprefix(".")
            os.chown(path, *((int(uid), int(uid)) if uid else owners[name]))
            path.chmod(0o400)


def dockerd():
    os.makedirs(FOLDER / "docker")
    (FOLDER / "daemon.json").write_text("{}")
    options = ["--data-root", FOLDER / "docker", "--config-file", FOLDER / "daemon.json", "--bridge", "none"]
    with open(FOLDER / "dockerd.log", "w") as log:
        daemon = subprocess.Popen(["dockerd", *map(str, options)], stdout=log, stderr=log)
    begin = time.monotonic()
    while subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        assert daemon.poll() is None and time.monotonic() - begin < 60, (FOLDER / "dockerd.log").read_text()
        time.sleep(0.1)
    for archive in sorted((FOLDER / "images").iterdir()):
        run("docker", "load", "--quiet", "--input", archive, stdout=subprocess.DEVNULL)
    return daemon


def main():
    surroundings()
    services = json.loads(pathlib.Path("/etc/boxwright/services.json").read_text())
    secrets(services)
    daemon = dockerd()
    try:
        run("python3", "-B", TREE / "usr/lib/boxwright/networks", stdout=subprocess.DEVNULL)
        box = Box({service["name"]: service for service in services})
        databases.hold(box)
        torrents.hold(box)
    finally:
        ids = subprocess.run(["docker", "ps", "--all", "--quiet"], capture_output=True, text=True, check=False).stdout.split()
        for name in ids if sys.exc_info()[0] else []:
            subprocess.run(["docker", "logs", "--tail", "8", name], stdout=sys.stderr, check=False)
        subprocess.run(["docker", "rm", "--force", *ids], capture_output=True, check=False)
        daemon.terminate()
        daemon.wait(60)


class Box:
    """The services by name, and what is asked of them."""

    def __init__(self, services):
        self.services = services

    def secret(self, service, name):
        return f"{service}-{name}-{SECRET}"

    def service(self, verb, name):
        run("python3", "-B", TREE / "usr/lib/boxwright/service", verb, name, stdout=sys.stderr)

    def inside(self, name, *command, **options):
        """What a command in a container says; its status is the caller's to look at."""
        flags = [f"--env={key}={value}" for key, value in options.pop("env", {}).items()]
        command = ["docker", "exec", "--interactive", *flags, name, *command]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)

    def inspect(self, name):
        return json.loads(run("docker", "inspect", name, stdout=subprocess.PIPE).stdout)[0]

    def logs(self, name):
        return run("docker", "logs", name, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

    def users(self, name):
        """The users of its processes."""
        lines = run("docker", "top", name, "-o", "pid,uid", stdout=subprocess.PIPE).stdout.splitlines()
        return {int(line.split()[1]) for line in lines[1:]}


if __name__ == "__main__":
    sys.path.append(str(TREE / "usr/lib/boxwright"))
    main()
