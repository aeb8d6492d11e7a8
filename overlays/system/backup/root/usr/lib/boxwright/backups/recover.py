"""A new disk's first start: brings back everything that the box kept, before any service starts.

/srv/state/.restoring is there from the first byte that is written to the last one, and no service starts while it is. It says which
snapshots were chosen and which of them are in place, so that a start after a power cut goes on with the same ones. Whatever goes
wrong is told and tried again; only the owner gives up.
"""

import contextlib
import os
import shutil
import subprocess
import time

import handover
from backups import incarnation, report, repository, restore
from backups.config import OWN, STATE, Busy, Trouble, amount, described, kept_services, lock, say
from backups.progress import Progress
from backups.run import FAULTS, OWN_PATHS, TIDY, own_folders
from services import start
from services.config import RUN, write

PROBLEM = RUN / "problems" / "restore"
# Seconds between two attempts, and for how long a target that does not answer is waited for when another one does.
PAUSE, PATIENCE = 15, 600
GIVEN_UP = "given up: the services begin with what is there"


def recover():
    """Ends when all is in place, however long that takes."""
    # Not by the clock, which may be set meanwhile.
    begin, told = time.monotonic(), None
    progress = Progress()
    while True:
        wanted = handover.pending(handover.read(RUN / "handover.json"))
        if not wanted:
            return
        try:
            attempt(wanted, begin, progress)
            return
        except FAULTS as fault:
            sentence = f"nothing starts until the backup is restored: {str(fault).rstrip('.')}"
            write(PROBLEM, f"{sentence} (it is tried again all the time; to begin without it: box restore --give-up)\n")
            progress.wait(str(fault))
            if sentence != told:
                progress.loudly(sentence)
            told = sentence
        time.sleep(PAUSE)


def attempt(wanted, begin, progress):
    config, services = described(), kept_services()
    state = handover.read(handover.RESTORING)
    if state.get("giving_up"):
        with lock():
            begin_without(state)
        progress.end(GIVEN_UP)
        return
    if not state.get("chosen"):
        progress.wait("asks for the backups")
        places, troubles = places_of(config, begin)
        if not handover.told().get("rehearsal"):
            with contextlib.suppress(Trouble):
                incarnation.claim(config, [place.name for place in places])
        chosen = choose(places, troubles, wanted, [OWN, *services])
        fits(chosen.values())
        one = handover.read(RUN / "handover.json")
        state = {"wanted": wanted, "incarnation": one.get("incarnation"), "began": int(time.time()), "chosen": chosen, "done": []}
        handover.write(handover.RESTORING, state)
    else:
        places, troubles = repository.opened(config, readonly=True)
    handover.place()
    with lock():
        set_aside(state, services)
        bring_back(state, services, ({place.name: place for place in places}, troubles), progress)
        finish(state)
    empty = [name for name in services if name not in state["chosen"]]
    progress.end(
        f"all of it is back; it took {int(time.time()) - state['began']} s"
        + (f"; there is no backup of {', '.join(empty)}, which begin empty" if empty else "")
    )


def places_of(config, begin):
    """Every target, or those that answer after a while: an older backup must not win because the internet came late."""
    places, troubles = repository.opened(config, readonly=True)
    if not places or (troubles and time.monotonic() - begin < PATIENCE):
        raise Trouble("; ".join(troubles))
    return places, troubles


def choose(places, troubles, wanted, names):
    """The snapshot of each service that is meant, by name. A box without its own passwords is none."""
    found = [{**one, "target": place.name} for place in places for one in place.list()]
    because = f" ({'; '.join(troubles)})" if troubles else ""
    if not found:
        raise Trouble(f"there is no backup of this box in {' or '.join(place.name for place in places)}{because}")
    meant = [one for one in found if is_meant(one, wanted, found)]
    chosen = {}
    for one in sorted(meant, key=lambda one: (one["time"], one["target"])):
        if one["name"] in names:
            chosen[one["name"]] = {key: one[key] for key in ("id", "name", "time", "bytes", "target")}
    if OWN not in chosen:
        before = "" if wanted == "latest" else f" as of {wanted}"
        raise Trouble(f"there is no backup{before} of the passwords that the box made, without which nothing else is of use{because}")
    return {name: chosen[name] for name in names if name in chosen}


def is_meant(one, wanted, found):
    if wanted == "latest":
        return True
    named = next((other for other in found if other["id"] == wanted), None)
    if not named:
        return report.seconds(one["time"]) <= restore.limit(wanted)
    # The others of the same night, some of which were written after it.
    if named["run"] and one["run"]:
        return one["run"] <= named["run"]
    return one["time"] <= named["time"]


def fits(chosen):
    free = os.statvfs(STATE)
    room, needed = free.f_bavail * free.f_frsize, sum(one["bytes"] for one in chosen)
    if needed > room * 0.95:
        raise Trouble(f"{amount(needed)} are to be restored, and this disk has room for {amount(room)}: flash a larger one")


def set_aside(state, services):
    """What this disk had before is no part of it, and is not lost. What a power cut left of the restore itself is not kept."""
    if state.get("aside"):
        return
    aside = restore.REPLACED / f"before-restore-{state['began']}"
    there = [name for name in services if (STATE / name).exists()]
    if there:
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    if there and not (aside / OWN).exists():
        # Its databases know the passwords that this disk had.
        unfinished = aside / f"{OWN}.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        own_folders()
        for name, path in OWN_PATHS.items():
            shutil.copytree(path, unfinished / name, symlinks=True)
        os.rename(unfinished, aside / OWN)
    for name in there:
        os.rename(STATE / name, aside / name)
    state["aside"] = True
    handover.write(handover.RESTORING, state)


def bring_back(state, services, known, progress):
    places, troubles = known
    total = sum(one["bytes"] for one in state["chosen"].values())
    # The box's passwords first: databases are made with them.
    for number, (name, one) in enumerate(state["chosen"].items(), start=1):
        if name in state["done"]:
            progress.skip(one["bytes"])
            continue
        if one["target"] not in places:
            raise Trouble("; ".join(troubles) or f"there is no target {one['target']} any more")
        title = services[name]["title"] if name in services else "the box's own passwords and keys"
        progress.begin(f"{title} as of {report.moment(one['time'])}, {number} of {len(state['chosen'])}", one["bytes"], total)
        with progress:
            fetch_and_place(places[one["target"]], one, services.get(name))
        state["done"].append(name)
        handover.write(handover.RESTORING, state)


def fetch_and_place(place, one, service):
    if not service:
        fetched = restore.fetch(place, one, OWN, None)
        restore.put_own(fetched)
        restore.drop(OWN)
        # They are read anew by whoever places them, and by sshd.
        restore.systemctl("start", "boxwright-secrets.service")
        restore.systemctl("try-restart", "ssh.service")
        return
    name, dumps = service["name"], service["backup"]["dumps"]
    if dumps:
        if not (RUN / "images" / name).exists():
            raise Trouble(f"{name}: its container images are not here yet")
        # Its databases, if an attempt was killed while they ran.
        start.compose(service, start.environment(service)[0], "down")
    if (STATE / name).exists():
        shutil.rmtree(STATE / name)
    fetched = restore.fetch(place, one, name, None)
    restore.load(service, fetched)
    made = restore.kept_aside(name)
    restore.swap(service, fetched, service["backup"]["paths"], True, made)
    if made.exists():
        # Only what the databases' first start made.
        shutil.rmtree(made)
    restore.drop(name)


def finish(state, gave_up=False):
    """Says that it is done before it lets anything start: a power cut in between does the rest of this again."""
    now = int(time.time())
    handover.write(handover.RESTORED, {
        "restore": state["wanted"], "incarnation": state.get("incarnation"), "began": state["began"], "ended": now,
        "seconds": now - state["began"], "gave_up": gave_up,
        "services": {name: one["time"] for name, one in state.get("chosen", {}).items() if not gave_up},
    })
    kept = handover.read(handover.KEPT)
    if kept.pop("restore", None):
        handover.write(handover.KEPT, kept)
    handover.RESTORING.unlink(missing_ok=True)
    subprocess.run(["sync", "--file-system", STATE], check=False)
    PROBLEM.unlink(missing_ok=True)
    handover.place()
    subprocess.run(["systemctl", "--no-block", "start", "boxwright-services.target", TIDY], check=False)


def give_up():
    """The owner begins without the backup: with what the disk had, or empty. What was restored by half is kept aside."""
    wanted = handover.pending(handover.read(RUN / "handover.json"))
    if not wanted:
        raise Trouble("nothing is to be restored")
    subprocess.run(["systemctl", "stop", "boxwright-restore.service"], check=False)
    one, state = handover.read(RUN / "handover.json"), handover.read(handover.RESTORING)
    state = {"wanted": wanted, "incarnation": one.get("incarnation"), "began": int(time.time()), **state}
    try:
        with lock():
            begin_without(state)
    except Busy:
        raise Trouble("another backup or restore is running: try again when it has ended") from None
    Progress().end(GIVEN_UP)


def begin_without(state):
    """Once it has begun, a power cut does not end it: what has been put back must not be taken for what was restored."""
    if state.get("chosen"):
        if not state.get("giving_up"):
            before = restore.REPLACED / f"before-restore-{state['began']}"
            state = {**state, "giving_up": True, "had": [name for name in kept_services() if (before / name).exists()]}
            handover.write(handover.RESTORING, state)
        undo(state)
    finish(state, gave_up=True)
    # It may be much: nothing waits for it.
    shutil.rmtree(restore.FETCHED, ignore_errors=True)


def undo(state):
    """Puts back what the disk had, and what was restored beside it. Done a second time it changes nothing."""
    before, half = (restore.REPLACED / f"{name}-{state['began']}" for name in ("before-restore", "half-restored"))
    half.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in kept_services():
        waits = (before / name).exists()
        if state.get("aside") and (STATE / name).exists() and (waits or name not in state["had"]):
            os.rename(STATE / name, half / name)
        if waits:
            os.rename(before / name, STATE / name)
    if (before / OWN).exists():
        restore.put_own(before / OWN)
        restore.systemctl("start", "boxwright-secrets.service")
    say(f"what was restored is in {half}: remove it when it is not needed")
