"""New secrets on a stick: a file in its top folder, named after this box. Whoever plugs it in needs no keyboard, and no right
either: what counts is the signature.

It is mounted in a namespace that ends with this process (the unit's), read-only, and nothing on it is followed or run. When its
secrets were taken, the file is overwritten.
"""

import os
import pathlib
import re
import stat
import subprocess

from rotation import store, taking
from rotation.store import Trouble, secrets

DEVICES = pathlib.Path("/dev")
SYSFS = pathlib.Path("/sys/class/block")
# The disk that this box is on.
OWN = pathlib.Path("/dev/boxwright/disk")
# The kernel's own word on what it is: nothing of ours looks at its structures. A journal of ext4 is not replayed.
KINDS = {"vfat": "", "exfat": "", "ext4": ",noload"}
OPTIONS = "nosuid,nodev,noexec,nosymfollow,silent"
KIND = "rotation-stick"


def plugged_in(device):
    if not re.fullmatch(r"[a-z]+[a-z0-9]*", device) or not is_foreign(device):
        return
    at = secrets.RUN / "stick"
    secrets.folder(at, 0o700)
    name = f"boxwright-{secrets.described()['box']}.secrets"
    kind = mount(device, at)
    if not kind:
        return
    try:
        data = read(at / name)
    finally:
        unmount(at)
    if data is None:
        return
    try:
        said = taking.take(data)
    except Trouble as trouble:
        secrets.problems(KIND, [f"{name} on the stick {device}: {trouble}"])
        return
    left = overwrite(device, kind, at, name)
    for sentence in said:
        print(f"{name} on the stick {device}: {sentence}", flush=True)
    secrets.problems(KIND, [left] if left else [])
    if store.journal():
        subprocess.run(["systemctl", "--no-block", "start", taking.APPLY], check=False)


def is_foreign(device):
    """Whether a device is a disk, or a part of one, that this box is not on."""
    try:
        if not stat.S_ISBLK((DEVICES / device).stat().st_mode):
            return False
        part = os.path.realpath(SYSFS / device)
    except OSError:
        return False
    own = os.path.basename(os.path.realpath(OWN))
    return own not in (device, os.path.basename(os.path.dirname(part)))


def mount(device, at, writable=False):
    """The kind of the filesystem that was mounted, or nothing."""
    for kind, more in KINDS.items():
        options = f"rw,{OPTIONS}" if writable else f"ro,{OPTIONS}{more}"
        command = ["mount", "-t", kind, "-o", options, str(DEVICES / device), str(at)]
        if not subprocess.run(command, capture_output=True, check=False).returncode:
            return kind
    return None


def unmount(at):
    subprocess.run(["umount", str(at)], capture_output=True, check=False)


def opened(path, flags):
    """A plain file, as a descriptor; nothing else is touched, not even waited for."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is no file")
    return descriptor


def read(path):
    """What is in the file, and one byte more than may be; nothing if there is none."""
    try:
        descriptor = opened(path, os.O_RDONLY)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            return file.read(taking.LARGEST + 1)
        except OSError as error:
            # A stick that was pulled out, or is broken.
            return secrets.problems(KIND, [f"{path.name} on the stick cannot be read: {error.strerror}"])


def overwrite(device, kind, at, name):
    """Overwrites the file. Returns what the owner has to do if it cannot be."""
    left = f"the new secrets were taken, and {name} on the stick {device} could not be overwritten: remove it yourself"
    if mount(device, at, writable=True) != kind:
        return left
    try:
        descriptor = opened(at / name, os.O_WRONLY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(bytes(os.fstat(descriptor).st_size))
            file.flush()
            os.fsync(descriptor)
            file.seek(0)
            file.truncate()
            file.write(b"The box has taken these secrets. They were overwritten here; flash memory may keep copies all the same.\n")
            file.flush()
            os.fsync(descriptor)
    except OSError:
        return left
    finally:
        unmount(at)
    return None
