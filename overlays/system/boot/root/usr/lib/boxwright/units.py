"""What systemd says of units."""

import subprocess
import typing

# A unit that systemd has started again so many times in a row does not start by itself any more.
TRIES = 3


class Unit(typing.NamedTuple):
    """State: active, inactive, activating, deactivating, reloading or failed. Queued: it is about to change, because a job
    for it runs or waits for its turn. Restarts: how often systemd has started it again by itself since anyone else did."""

    state: str
    queued: bool
    restarts: int = 0

    @property
    def failing(self):
        """Whether it fails again and again. In between, systemd calls it neither failed nor active, but `activating`."""
        return self.state == "activating" and self.restarts >= TRIES


# What was not asked for, or does not exist.
UNKNOWN = Unit("unknown", False)


def look(names):
    """The units of these names, by name."""
    if not names:
        return {}
    shown = subprocess.run(
        ["systemctl", "show", "--property=Id,ActiveState,Job,NRestarts", "--", *names],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    found = {}
    for block in shown.split("\n\n"):
        one = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in one:
            queued, restarts = one.get("Job", "0") not in ("", "0"), one.get("NRestarts") or "0"
            found[one["Id"]] = Unit(one["ActiveState"], queued, int(restarts))
    return found
