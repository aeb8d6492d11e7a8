"""Which applications have an owner. Until one does, the tunnel answers 503 under its host name: whoever opened it first would
become the owner. Either a program `owned` tells, or the account is made by `setup`.

A file a service, beside the services' own folders: it goes where their state goes, and no container sees it. Without it the gate
is closed.
"""

import os
import pathlib

from services import steps

OWNED = pathlib.Path(steps.OWNED)


def closed(service):
    """Whether a host name of it answers 503."""
    return bool(service["gated"]) and not (OWNED / service["name"]).exists()


def forget(name):
    """Of a service that begins anew, nothing is known."""
    (OWNED / name).unlink(missing_ok=True)


def renew(service, found):
    """Asks the application whether it has an owner; what it cannot tell stays as it was."""
    if not service["gated"] or not os.path.ismount("/srv/state"):
        return
    owned = steps.owned(service, found) if service["owned"] else steps.success(service).exists() or None
    if owned is False and not closed(service):
        print(f"{service['name']} has no owner any more: its host name answers 503")
        forget(service["name"])
    elif owned and closed(service):
        print(f"{service['name']} has an owner: its host name leads to it")
        OWNED.mkdir(mode=0o700, exist_ok=True)
        (OWNED / service["name"]).touch(mode=0o600)


def sentence(service):
    """What its owner should do, if anything."""
    if not closed(service):
        return None
    names = service["gated"]
    answer = f"{' and '.join(names)} {'answer' if len(names) > 1 else 'answers'} 503 until"
    if (service["exposure"] or {}).get("owner"):
        return f"{answer} its setup has made its owner's account"
    other = f", or: box claim {service['name']}" if service["claim"] else ""
    return f"{answer} its owner's account exists; to make it: box open {service['name']}{other}"
