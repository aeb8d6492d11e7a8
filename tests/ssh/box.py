"""Starts sshd as a box does, on the root of one; behind its tunnel the real cloudflared, before it the played edge.

box.py ROOT RENDERED FOLDER CLOUDFLARED EDGE <JOB

ROOT is a box's base layer, which is not changed, RENDERED what a profile renders to. FOLDER, which may be changed, has
what clients need; they see it at /run/clients. Prints what the edge says, and what sshd wrote. It is started where it
has mounts, processes and a network of its own.
"""

import json
import pathlib
import subprocess
import sys
import threading

PASSWORD = "correct horse battery staple"
CONFIG = """\
Host *
	IdentitiesOnly yes
	StrictHostKeyChecking yes
	UserKnownHostsFile /run/clients/known_hosts
	NumberOfPasswordPrompts 1
"""


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)


def lay_out(root, rendered, folder):
    """The box's root, the files of its profile above it, and all that is changed in memory."""
    work = folder / "work"
    work.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", work)
    for name in ("upper", "work", "root"):
        (work / name).mkdir()
    layers = f"lowerdir={rendered}:{root},upperdir={work}/upper,workdir={work}/work"
    run("mount", "-t", "overlay", "overlay", "-o", layers, work / "root")
    box = work / "root"
    for kind, place in (("proc", "proc"), ("tmpfs", "run"), ("tmpfs", "tmp")):
        run("mount", "-t", kind, kind, box / place)
    run("mount", "--rbind", "/dev", box / "dev")
    run("ip", "link", "set", "lo", "up")
    return box


def inside(box, *command, **options):
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    return run("chroot", box, *command, env=environment, **options)


def place(path, source):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    run("mount", "--bind", source, path)


def prepare(box, folder, names):
    """What happens at a box's start, and what is at hand for clients."""
    inside(box, "/usr/lib/boxwright/users")
    inside(box, "/usr/lib/boxwright/ssh-keys")
    inside(box, "chpasswd", input=f"ann:{PASSWORD}\nroot:{PASSWORD}\n".encode())
    # root's key would be here if the box took any.
    (box / "etc/boxwright/authorized_keys/root").write_text((folder / "ann.pub").read_text())
    known = [f"{','.join(names)} {key.read_text()}" for key in sorted((box / "var/lib/boxwright/ssh").glob("*.pub"))]
    (folder / "known_hosts").write_text("".join(known))
    (folder / "config").write_text(CONFIG)
    (folder / "password").write_text(f"#!/bin/sh\necho '{PASSWORD}'\n")
    (folder / "password").chmod(0o755)
    (box / "etc/hosts").write_text((folder / "hosts").read_text())
    (box / "run/clients").mkdir()
    run("mount", "--bind", folder, box / "run/clients")


def start_sshd(box):
    """sshd, once it listens, and a thread that keeps what it writes until the last of its processes has ended."""
    command = ["chroot", str(box), "/usr/sbin/sshd", "-D", "-e", "-o", "LogLevel=VERBOSE"]
    sshd = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={"PATH": "/usr/sbin:/usr/bin"})
    lines = []
    for line in sshd.stderr:
        lines.append(line.strip())
        if line.startswith("Server listening on "):
            break
    else:
        sys.exit(f"sshd did not start: {lines}")
    reader = threading.Thread(target=lambda: lines.extend(line.strip() for line in sshd.stderr))
    reader.start()
    return sshd, lines, reader


def main():
    root, rendered, folder, cloudflared, edge = map(pathlib.Path, sys.argv[1:])
    job = json.load(sys.stdin)
    box = lay_out(root, rendered, folder)
    prepare(box, folder, job["Names"])
    place(box / "var/lib/boxwright/bin/cloudflared", cloudflared)
    place(box / "run/edge", edge)
    (box / "run/credentials.json").write_text(job.pop("Credential"))
    sshd, lines, reader = start_sshd(box)
    said = inside(box, "/run/edge", "/run/clients", input=json.dumps(job).encode(), stdout=subprocess.PIPE)
    sshd.terminate()
    sshd.wait()
    reader.join()
    json.dump({"edge": json.loads(said.stdout), "sshd": lines}, sys.stdout)


main()
