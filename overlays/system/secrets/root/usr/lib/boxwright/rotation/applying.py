"""Hands new values to those who use them: files first, then programs, then what has to start again. What does not work is told, and
done the next time."""

import subprocess
import sys

from rotation import store, taking
from rotation.store import secrets

SERVICE = "/usr/lib/boxwright/service"
# The exit status for what only the owner can do (wiring.py).
LEFT = 4
# Seconds that the `setup` of a service may take.
PATIENCE = 120


def apply_all():
    with store.lock():
        store.settle()
        found = store.journal()
        if found is None:
            return
        changed = secrets.placed()
        wrong = []
        entries = found["todo"]
        for one in [one for one in entries if one["by"] != "restart"]:
            said = handed(one)
            if said:
                wrong.append(f"{one['user']} has not got the new {one['secret']} yet, and it is tried again: {said}")
            else:
                store.done(one)
        restart([one for one in entries if one["by"] == "restart"], changed)
        if not entries:
            store.clear()
    secrets.problems("rotation-apply", wrong)
    if wrong:
        # The unit is started again some minutes later.
        sys.exit(1)


def handed(one):
    """Has a program hand a new value over. Returns why it has to be tried again."""
    if one["by"] == "setup":
        return by_setup(one)
    value = secrets.kept(one["secret"])
    return taking.run_own(one["what"], "apply", value, store.former(one["secret"]))


def by_setup(one):
    name = one["secret"].rpartition("/")[2]
    command = [SERVICE, "rotated", one["what"], name]
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return "its setup took too long"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    sentence = said[-1] if said else f"its setup ended with status {done.returncode}"
    secrets.problems(f"rotation-left-{one['user']}", [sentence] if done.returncode == LEFT else [])
    return None if done.returncode in (0, LEFT) else sentence


def restart(entries, changed):
    """What was started since has the new values already: a box that was switched off in between starts everything once."""
    boot = taking.BOOT.read_text(encoding="utf-8").strip()
    units = sorted({one["what"] for one in entries if one["boot"] == boot or changed})
    if units:
        subprocess.run(["systemctl", "--no-block", "try-restart", *units], check=False)
        # What waited for a secret that it had not yet.
        if not subprocess.run(["systemctl", "--quiet", "is-active", secrets.SERVICES], check=False).returncode:
            subprocess.run(["systemctl", "--no-block", "start", secrets.SERVICES], check=False)
    for one in entries:
        store.done(one)
