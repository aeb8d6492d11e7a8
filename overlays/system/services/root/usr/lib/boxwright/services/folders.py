"""The folders that a service keeps things in: made where they are missing, and held for Docker.

Containers can write in what is above some of them, and could put a link to anything there in a folder's place. So each is walked to
from what only root can replace, no link is followed, and root changes only what was found. What a container could replace even so
is mounted where none can reach, and Docker is given that.
"""

import os
import pathlib
import subprocess

import inside
from services.config import RUN

# A folder for each service, with what is mounted of its folders: the plan's `given`.
FOLDERS = RUN / "folders"


class Wrong(OSError):
    """Why a folder cannot be used, for `box status`."""


def ready(volume):
    """Makes a folder if it is missing, and mounts it where the plan says so; an owner that is another is put right at the top only,
    never all the way down."""
    if volume["top"] is None:
        return
    below = volume["source"].removeprefix(volume["top"])
    try:
        descriptor, new = inside.held(volume["top"], below, volume["make"])
    except OSError as error:
        raise Wrong(refused(error, volume)) from None
    try:
        if volume["make"]:
            own(descriptor, new, volume)
        if volume["given"] != volume["source"]:
            show(descriptor, pathlib.Path(volume["given"]))
    finally:
        os.close(descriptor)


def refused(error, volume):
    """What is in the way of a folder, and what to do."""
    if isinstance(error, NotADirectoryError):
        return (
            f"{error.filename} is a link, or no folder, and is not followed: a container that can write to {volume['top']} may have "
            f"put it there; look what it is, and put a folder in its place"
        )
    return f"{error.filename} cannot be used: {error.strerror}"


def own(descriptor, new, volume):
    # By way of the descriptor, whatever the path leads to by now; one that only stands for a folder has no fchown.
    path = f"/proc/self/fd/{descriptor}"
    status, owner = os.stat(path), (volume["uid"], volume["gid"])
    if new or (status.st_uid, status.st_gid) != owner:
        os.chown(path, *owner)
    if new:
        os.chmod(path, int(volume["mode"], 8))


def show(descriptor, target):
    """Mounts what a descriptor stands for. Private: nothing that is mounted or unmounted below comes from or gets to the disk."""
    target.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    hide(target)
    target.mkdir(mode=0o711)
    command = ["mount", "--make-private", "--bind", "--no-canonicalize", f"/proc/self/fd/{descriptor}", target]
    result = subprocess.run(command, capture_output=True, text=True, check=False, pass_fds=[descriptor])
    if result.returncode:
        raise Wrong(f"{target} cannot be mounted: {result.stderr.strip()}")


def hide(target):
    """Unmounts a folder, even one whose disk no longer answers. Nothing is left that Docker could take for an empty folder."""
    # It may be unmounted already, with its disk; if it cannot be, the folder cannot be removed.
    command = ["umount", "--lazy", "--no-canonicalize", "--quiet", target]
    subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    try:
        target.rmdir()
    except FileNotFoundError:
        pass


def release(service):
    """Unmounts all that is mounted of a service's folders, so that its disks can be unmounted."""
    mounted = FOLDERS / service["name"]
    for target in sorted(mounted.iterdir()) if mounted.is_dir() else []:
        hide(target)
