"""Stops what downloads while there is no room for it, and starts it again when there is: a full disk stops everything else.

The service is stopped as a whole. A client that is paused through its own interface would forget what its owner had paused.
"""

import subprocess

import places
import units
from services.config import NOTES, fail, write

# A service is stopped when so much of a place is used, and started again when less than the other is.
FULL, ROOM = 0.95, 0.90
STATE = "/srv/state"


def filled(path):
    """How much of a mounted filesystem is used, from 0 to 1; none if it does not say."""
    room = places.look([path])[path].room
    return 1 - room.f_bavail / room.f_blocks if room and room.f_blocks else None


def mark(service):
    """There, with the reason, while a service is kept from running: its unit has a condition on it."""
    return NOTES / f"{service['name']}.paused"


def paused(service):
    """Why a service waits for room, if it does."""
    try:
        return mark(service).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def reason(service):
    """Why a service must not download now, if so."""
    limit = ROOM if mark(service).exists() else FULL
    places = [("the state partition", STATE)]
    places += [(f"the disk {disk['name']}", disk["path"]) for disk in service["disks"] if not disk["read_only"]]
    full = [(what, path) for what, path in places if (filled(path) or 0) >= limit]
    if not full:
        return None
    names = " and ".join(what for what, _ in full)
    return (
        f"it is paused, since {names} got {FULL:.0%} full: it goes on by itself below {ROOM:.0%}; "
        f"remove what is not needed, see: du -xh --max-depth=2 {full[0][1]}"
    )


def refuse(service):
    """Says why a service must not even be started now, if so; its unit is then not tried again until there is room."""
    why = reason(service) if service["downloads"] else None
    if why is not None:
        write(mark(service), why + "\n")
        fail(f"{service['title']}: {why}")


def tend(service, states):
    """Stops or starts a service that downloads, if that is called for."""
    if not service["downloads"]:
        return
    why, before = reason(service), paused(service)
    if why is None and before is not None:
        print(f"starting {service['name']}: there is room again")
        mark(service).unlink()
        subprocess.run(["systemctl", "--no-block", "start", service["unit"]], check=True)
    elif why is not None:
        if why != before:
            write(mark(service), why + "\n")
        if states.get(service["unit"], units.UNKNOWN).state in ("active", "activating"):
            print(f"stopping {service['name']}: {why}")
            subprocess.run(["systemctl", "--no-block", "stop", service["unit"]], check=True)
