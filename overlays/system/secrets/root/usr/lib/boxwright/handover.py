"""What the box was told besides its secrets, and what it does not do because of that.

In the bundle: `incarnation` (when its disk was written: of two boxes with one name the later one is the box), `restore` (which
backup comes back before any service starts) and `rehearsal` (it keeps away from the world). What is held back has a file in
/run/boxwright/held with the reasons, one a line: `services`, `tunnel`, `vpn`, `backup`, `alerts`, `internet` (of containers).
Units have a condition on it.
"""

import contextlib
import json
import os
import pathlib
import time

RUN = pathlib.Path("/run/boxwright")
HELD = RUN / "held"
PROBLEM = RUN / "problems" / "superseded"
STATE = pathlib.Path("/srv/state")
# There from the first byte that a restore writes to the last one: what is half restored must not start.
RESTORING = STATE / ".restoring"
# Which restore was brought to its end, or given up: it is not done again.
RESTORED = STATE / ".restored"
KEPT = pathlib.Path("/var/lib/boxwright/handover.json")
# That a later disk has taken this one's place.
SUPERSEDED = pathlib.Path("/var/lib/boxwright/superseded.json")

REHEARSAL = "this is a rehearsal"
RESTORE = "its data is being restored"
KINDS = {"incarnation": int, "restore": str, "rehearsal": bool}


def write(path, value):
    """Replaces a file in one step, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with open(new, "w", encoding="utf-8") as file:
        file.write(value if isinstance(value, str) else json.dumps(value, sort_keys=True) + "\n")
        file.flush()
        # `box status` is for everybody, whatever the mask of who writes.
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path):
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def of(content):
    """What a bundle says; what is not understood is nothing."""
    return {key: content[key] for key, kind in KINDS.items() if type(content.get(key)) is kind}


def take(told):
    """Keeps what came with a bundle that is being taken. It replaces all that was told before, but a box stays the one that it
    is until it is told another number."""
    before = read(KEPT)
    kept = dict(told)
    if before.get("took") == told:
        # A bundle that could not be overwritten is taken again at each start.
        return
    if not kept.get("rehearsal"):
        kept.setdefault("incarnation", before.get("incarnation") or int(time.time()))
    if kept.get("incarnation") != before.get("incarnation"):
        SUPERSEDED.unlink(missing_ok=True)
    write(KEPT, {**kept, "took": told})


def told(waiting=None):
    """What holds now. `waiting`: what a bundle says that could not be taken."""
    return read(KEPT) if waiting is None else {**read(KEPT), **waiting}


def pending(one):
    """The restore that is still to be done, or nothing. Where the state partition is not there, nobody can tell that it was."""
    wanted = one.get("restore")
    if RESTORING.exists():
        return read(RESTORING).get("wanted") or wanted or "latest"
    if not wanted:
        return None
    done = read(RESTORED)
    same = done.get("restore") == wanted and done.get("incarnation") == one.get("incarnation")
    return None if done and same else wanted


def reasons(one):
    """What is held back, and why."""
    found = {}
    if one.get("rehearsal"):
        for name in ("tunnel", "vpn", "backup", "alerts", "internet"):
            found.setdefault(name, []).append(REHEARSAL)
    if pending(one):
        for name in ("services", "backup"):
            found.setdefault(name, []).append(RESTORE)
    newer = read(SUPERSEDED).get("newer")
    if newer:
        for name in ("tunnel", "backup"):
            found.setdefault(name, []).append(f"this box was flashed again, onto another disk, on {minute(newer)}")
    return found


def place(waiting=None):
    """Makes the files in HELD what they should be."""
    one = told(waiting)
    wanted = reasons(one)
    HELD.mkdir(parents=True, exist_ok=True)
    HELD.chmod(0o755)
    write(RUN / "handover.json", {**one, "restore": pending(one)})
    for name, lines in wanted.items():
        write(HELD / name, "".join(f"{line}\n" for line in lines))
    for path in HELD.iterdir():
        if path.name not in wanted:
            path.unlink(missing_ok=True)
    newer = read(SUPERSEDED).get("newer")
    if newer:
        write(PROBLEM, sentence(newer) + "\n")
    else:
        PROBLEM.unlink(missing_ok=True)


def held(name):
    """Why something is held back: one sentence, or nothing."""
    with contextlib.suppress(OSError):
        return "; ".join((HELD / name).read_text(encoding="utf-8").splitlines()) or None
    return None


def minute(seconds):
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def sentence(newer):
    return (
        f"this box was flashed again, onto another disk, on {minute(newer)}: this one has stopped its tunnels and its backups; "
        "switch it off, or if it is to be the box again: box take-over"
    )
