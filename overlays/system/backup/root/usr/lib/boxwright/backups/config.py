"""Where backups go and what the box keeps them with; what all parts of `backup` share."""

import contextlib
import fcntl
import json
import os
import pathlib
import sys

from services import config as services

CONFIG = pathlib.Path("/etc/boxwright/backup.json")
STATE = pathlib.Path("/srv/state")
# Copies of databases while a backup runs, and how the last backups went.
WORK = STATE / ".backup"
# Views of what is backed up, and the repository's own settings: nothing here outlives the box being switched off.
RUN = pathlib.Path("/run/boxwright/backup")
# The name under which the box's own secrets and keys are backed up: no service has it.
OWN = "box"
# Set in the process that has mounts of its own.
MOUNTED = "BOXWRIGHT_OWN_MOUNTS"


class Trouble(Exception):
    """What could not be done, in words for the owner."""


class Busy(Trouble):
    """Another run has the lock."""


def say(sentence):
    """Tells whoever watches; that nobody does any more is no reason to stop."""
    with contextlib.suppress(OSError):
        print(sentence, flush=True)


def amount(size):
    """Bytes in words."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def described():
    try:
        return json.loads(CONFIG.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Trouble("this box writes no backups: its profile has no [backup]") from None


def kept_services():
    """Every service that has something to keep, by name."""
    def keeps(backup):
        return backup["paths"] or backup["dumps"]
    return {name: service for name, service in services.planned().items() if keeps(service["backup"])}


def own_mounts():
    """Goes on in a mount namespace of its own: what is mounted here is gone with the process, however it ends."""
    if os.environ.get(MOUNTED) == str(os.getpid()):
        return
    os.environ[MOUNTED] = str(os.getpid())
    os.execvp("unshare", ["unshare", "--mount", "--propagation=private", *sys.argv])


@contextlib.contextmanager
def lock():
    """One run at a time: a restore in the middle of a backup would be backed up half."""
    RUN.mkdir(mode=0o711, parents=True, exist_ok=True)
    with open(RUN / "lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("another backup or restore is running") from None
        yield
