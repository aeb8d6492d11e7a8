"""What is mounted where, and how much room there is. The server of a share that is gone keeps nobody waiting: whoever asks it
waits until it is back."""

import os
import pathlib
import re
import threading
import time
import typing

MOUNTS = pathlib.Path("/proc/self/mountinfo")
# Seconds that filesystems may take to answer.
PATIENCE = 5


class Place(typing.NamedTuple):
    """Mounted: whether something is. Room: what statvfs says of it, or none. Silent: why there is none, though it is mounted."""

    mounted: bool
    room: typing.Optional[os.statvfs_result]
    silent: typing.Optional[str]


def mounted(paths):
    """Those of these paths on which something is mounted. The kernel's own list knows without asking a server."""
    lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    there = {re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split()[4]) for line in lines}
    return {path for path in paths if str(path) in there}


def look(paths):
    """Path → Place. All are asked at once, and answer within PATIENCE or not at all."""
    there, rooms, wrong = mounted(paths), {}, {}

    def ask(path):
        try:
            rooms[path] = os.statvfs(path)
        except OSError as error:
            wrong[path] = f"cannot be read: {error.strerror}"

    # Not as processes: one that waits for a share does not end when it is told to.
    asking = [threading.Thread(target=ask, args=[path], daemon=True) for path in sorted(there)]
    for thread in asking:
        thread.start()
    until = time.monotonic() + PATIENCE
    for thread in asking:
        thread.join(max(0, until - time.monotonic()))
    found = {}
    for path in paths:
        room = rooms.get(path)
        silent = None if room or path not in there else wrong.get(path, "does not answer")
        found[path] = Place(path in there, room, silent)
    return found
