"""Which of all disks of this box's name is the box: the one that was written last. Its number is with every snapshot that it takes.

Whoever finds a later one in the repository stops its tunnels and its backups: two boxes with one tunnel would share its visitors,
and nothing evicts the older.
"""

import subprocess
import time

import handover
from backups import repository
from backups.config import Busy, Trouble, described, lock, say
from services.config import planned

SAY = "/usr/lib/boxwright/say"
# Seconds for each target to be asked, and as many to be told: one that swallows what it is sent keeps no other from being asked.
# The unit's own limits are above the sum.
PATIENCE = 60


def mine():
    return handover.told().get("incarnation") or 0


def tag():
    """What snapshots say of it."""
    return {"incarnation": mine()} if mine() else {}


def ours(targets):
    """Those of the targets that no later disk writes to; what cannot be asked is not written to either."""
    kept, wrong = [], []
    for target in targets:
        try:
            newer = target.newest()
        except Trouble as trouble:
            wrong.append(str(trouble))
            continue
        if newer > mine():
            superseded(newer)
            raise Trouble(handover.sentence(newer))
        kept.append(target)
    return kept, wrong


def stand():
    """Looks, and says that this is the one where nobody has said it yet."""
    if handover.held("backup"):
        return
    config = described()
    unclaimed = []
    for name in (target["name"] for target in config["targets"]):
        targets, troubles = repository.opened(config, readonly=True, only=name, patience=PATIENCE)
        try:
            newest = max((target.newest() for target in targets), default=None)
        except Trouble as trouble:
            troubles.append(trouble)
        if troubles:
            # The others may know of a later disk.
            say("; ".join(map(str, troubles)))
            continue
        if newest > mine():
            superseded(newest)
            return
        if newest < mine():
            unclaimed.append(name)
    claim(config, unclaimed, PATIENCE)


def claim(config, names, patience=None):
    """Tells the repositories. A backup that runs does so by itself."""
    try:
        with lock():
            for name in names:
                for target in repository.opened(config, only=name, patience=patience)[0]:
                    target.claim(mine())
                    say(f"{name}: this disk of {config['box']} is the one from now on")
    except Busy:
        return


def superseded(newer):
    """Gives way."""
    handover.write(handover.SUPERSEDED, {"newer": newer, "mine": mine()})
    handover.place()
    sentence = handover.sentence(newer)
    subprocess.run([SAY, sentence], check=False)
    ingress = [service["unit"] for service in planned().values() if service["role"] == "ingress"]
    units = [*ingress, "boxwright-ssh-tunnel.service"]
    subprocess.run(["systemctl", "--no-block", "stop", *units], check=False)


def take_over():
    """Makes this disk the latest."""
    config = described()
    if handover.told().get("rehearsal"):
        raise Trouble("this is a rehearsal, which never becomes the box: flash a disk for that")
    kept = handover.read(handover.KEPT)
    # Whoever flashed the other one may have had a clock that is ahead.
    newest = max((target.newest() for target in repository.opened(config, readonly=True)[0]), default=0)
    handover.write(handover.KEPT, {**kept, "incarnation": max(int(time.time()), newest + 1)})
    handover.SUPERSEDED.unlink(missing_ok=True)
    handover.place()
    claim(config, [target["name"] for target in config["targets"]])
    subprocess.run(["systemctl", "--no-block", "start", "boxwright-services.target", "boxwright-ssh-tunnel.service"], check=False)
    say(f"this disk of {config['box']} is the one; another one gives way as soon as it looks into the repository")
