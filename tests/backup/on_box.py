#!/usr/bin/env python3
"""Runs the box's own `backup` on a real root filesystem, with the real Kopia and an S3 server.

on_box.py ROOT RENDERED TOOLS SCENARIOS [TEST...]

ROOT is a root filesystem with a box's packages; it is not changed. RENDERED is what a profile of this folder renders to, TOOLS has `kopia` and
`s3`. All of it happens in namespaces of its own: mounts, processes, and a network that has no interface but loopback.
Containers are stand-ins (stand-ins/docker): what the box runs in one is run here as it is.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
OURS = "BOXWRIGHT_IN_NAMESPACE"


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


def main():
    root, rendered, tools = (pathlib.Path(one).resolve() for one in sys.argv[1:4])
    if OURS not in os.environ:
        os.environ[OURS] = "1"
        flags = ["--mount", "--propagation=private", "--net", "--uts", "--pid", "--fork", "--kill-child"]
        os.execvp("unshare", ["unshare", *flags, sys.executable, __file__, *sys.argv[1:]])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        memory = pathlib.Path(folder)
        mount("-t", "tmpfs", "tmpfs", memory)
        for name in ("upper", "work", "box"):
            (memory / name).mkdir()
        box = memory / "box"
        mount("-t", "overlay", "overlay", "-o", f"lowerdir={rendered}:{root},upperdir={memory}/upper,workdir={memory}/work", box)
        for name in ("run", "srv/state", "srv/vault"):
            (box / name).mkdir(parents=True, exist_ok=True)
            mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", box / name)
        mount("-t", "proc", "proc", box / "proc")
        mount("--rbind", "/dev", box / "dev")
        for name, source in (("tools", tools), ("test", HERE)):
            (box / "mnt" / name).mkdir(parents=True)
            mount("--bind", "-o", "ro", source, box / "mnt" / name)
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
        result = subprocess.run(["chroot", box, "python3", "-B", f"/mnt/test/{sys.argv[4]}", *sys.argv[5:]], env=env)
        subprocess.run(["umount", "--recursive", "--lazy", memory], check=True)
    sys.exit(result.returncode)


main()
