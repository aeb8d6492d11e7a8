"""What systemd says of units."""

import subprocess
import typing


class Unit(typing.NamedTuple):
    """State: active, inactive, activating, deactivating, reloading or failed. Queued: it is about to change, because a job
    for it runs or waits for its turn."""

    state: str
    queued: bool


# What was not asked for, or does not exist.
UNKNOWN = Unit("unknown", False)


def look(names):
    """The units of these names, by name."""
    if not names:
        return {}
    shown = subprocess.run(
        ["systemctl", "show", "--property=Id,ActiveState,Job", "--", *names],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    found = {}
    for block in shown.split("\n\n"):
        one = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in one:
            found[one["Id"]] = Unit(one["ActiveState"], one.get("Job", "0") not in ("", "0"))
    return found
