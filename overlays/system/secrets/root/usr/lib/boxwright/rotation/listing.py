"""Which secrets this box has: no value, and nothing that depends on one."""

import time

from rotation import store
from rotation.store import secrets


def show():
    waiting = {one["secret"] for one in (store.journal() or {"todo": []})["todo"]}
    rows = [row(name, entry, name in waiting) for name, entry in sorted(secrets.described()["secrets"].items())]
    widths = [max(len(one[column]) for one in rows) for column in range(2)] if rows else []
    for name, since, how in rows:
        print(f"{name.ljust(widths[0])}  {since.ljust(widths[1])}  {how}")
    if not rows:
        print("this box has no secrets")


def row(name, entry, waiting):
    mine = entry["from"] == "box"
    path = secrets.STATE / ".secrets" / store.flat(name) if mine else secrets.stored(name)
    try:
        since = time.strftime("since %Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
    except FileNotFoundError:
        needed = any(entry["users"].values())
        since = "missing" if needed else "not given"
    how = "the box made it, and keeps it" if mine else ways(entry)
    return name, since, how + ("; not everyone has the new one yet" if waiting else "")


def ways(entry):
    """How a new value is applied."""
    words = []
    for user in sorted(entry["users"]):
        apply = entry["apply"].get(user, {})
        if "restart" in apply:
            words.append(f"restarts {apply['restart'] if user == 'disks' else user}")
        elif "first-start" in apply:
            words.append(f"is taken at the first start of {user} alone")
        elif apply:
            words.append(f"is handed to {user}")
        else:
            words.append(f"is read by {user} each time")
    return "a new one " + ", ".join(words)
