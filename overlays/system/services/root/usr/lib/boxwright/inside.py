"""Files in folders that a container writes, for programs of root's: no link that was planted there is followed, and what is
written is whole or not there."""

import contextlib
import os
import stat

# Nothing that is read this way is longer.
LONGEST = 4 << 20
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A folder that root itself may not be allowed to read: a share's server decides that.
HELD = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def folder(top, path, owner=None, mode=0o700, flags=FOLDER):
    """The folder `path` below `top`, which is root's, as a descriptor; with an owner, what is missing is made."""
    at = os.open(top, flags)
    try:
        for part in [part for part in path.split("/") if part]:
            made = bool(owner) and made_in(at, part, mode)
            below = os.open(part, flags, dir_fd=at)
            os.close(at)
            at = below
            if made:
                os.chown(f"/proc/self/fd/{at}", *owner)
        yield at
    finally:
        os.close(at)


def held(top, path, make=False):
    """A descriptor that stands for the folder `path` below `top`, which is root's, and whether the folder is new: with `make`, what
    is missing is made, as root's. The caller closes it. An error names the part at which it happened."""
    at, new, walked = os.open(top, HELD), False, top
    for part in [part for part in path.split("/") if part]:
        walked = f"{walked}/{part}"
        try:
            new = make and made_in(at, part, 0o755)
            below = os.open(part, HELD, dir_fd=at)
        except OSError as error:
            error.filename = walked
            raise
        finally:
            os.close(at)
        at = below
    return at, new


def made_in(at, name, mode):
    """Makes a folder in another one, and tells whether there was none."""
    try:
        os.mkdir(name, mode, dir_fd=at)
    except FileExistsError:
        return False
    return True


def read(top, path):
    """The bytes of a file, or nothing where there is none."""
    above, _, name = path.rpartition("/")
    try:
        with folder(top, above) as at:
            # Not even a pipe is waited for.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    except FileNotFoundError:
        return None
    with os.fdopen(file, "rb") as opened:
        status = os.fstat(opened.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > LONGEST:
            raise OSError(f"{top}/{path} is not what it should be")
        return opened.read(LONGEST)


def names(top, path):
    """What is in a folder."""
    with folder(top, path) as at:
        return sorted(os.listdir(at))


def write(top, path, data, owner):
    """Replaces a file in one step."""
    above, _, name = path.rpartition("/")
    with folder(top, above, owner) as at:
        new = name + ".boxwright-new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=at)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=at)
        with os.fdopen(file, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fchown(opened.fileno(), *owner)
            os.fsync(opened.fileno())
        os.rename(new, name, src_dir_fd=at, dst_dir_fd=at)
