"""Writes a backup: each service in turn, to every target."""

import pathlib
import subprocess
import time

import handover
from backups import incarnation, report, repository
from backups.config import OWN, STATE, WORK, Trouble, described, kept_services, say
from backups.view import View, bind, held, inside_container
from services.config import write

# Of what is kept, so much is read back each night.
PERCENT = 1
# How often a snapshot is tried: a file that goes between being listed and being read ends it.
TRIES = 3
# A file for each application that is, or may be, in the mode that it has for its backup.
PAUSED = WORK / "paused"
TIDY = "boxwright-backup-tidy.service"
# What the box itself has: passwords that it made, and the keys by which SSH's clients know it.
BOX = {"name": OWN, "backup": {"paths": [], "exclude": [], "sqlite": [], "dumps": [], "before": None, "after": None}}
OWN_PATHS = {"secrets": STATE / ".secrets", "ssh": pathlib.Path("/var/lib/boxwright/ssh")}
# What may go wrong with one service without keeping the others from their backup.
FAULTS = (Trouble, OSError, subprocess.SubprocessError)


def run(names):
    """Returns the exit status; what went wrong is in the journal, and in `box status`."""
    config, services = described(), kept_services()
    unknown = [name for name in names if name not in services]
    if unknown:
        raise Trouble(f"{unknown[0]} keeps nothing that is backed up; there are: {', '.join(services)}")
    held = handover.held("backup")
    if held:
        raise Trouble(f"no backup is written: {held}")
    tidy()
    begin = time.time()
    targets, wrong = repository.opened(config, before=report.last().get("targets", []))
    targets, more = incarnation.ours(targets)
    wrong += more
    tags = {"run": int(begin), **incarnation.tag()}
    done = {}
    if targets:
        if not names:
            done[OWN], more = attempt(BOX, targets, tags)
            wrong += more
        for name in names or services:
            done[name], more = attempt(services[name], targets, tags)
            wrong += more
        wrong += verified(targets) + guarded(targets)
    report.ended(begin, done, wrong, [target.name for target in targets], whole=not names)
    return 1 if wrong else 0


def attempt(service, targets, tags):
    """Backs up one service. Returns what each target has of it now, and what is wrong."""
    name = service["name"]
    if service is not BOX and not (STATE / name).is_dir():
        say(f"{name}: it has never run")
        return {}, []
    say(f"{name}: …")
    try:
        if service["backup"]["before"]:
            # The bulk goes while people work; what is done while they cannot is only what has changed since.
            drafts, _ = written(service, targets, {}, draft=True)
            try:
                return paused(service, targets, tags)
            finally:
                forget(drafts, targets)
        return written(service, targets, tags)
    except FAULTS as fault:
        return {}, [f"{name}: {fault}"]


def paused(service, targets, tags):
    """Backs up an application in the mode that it has for that."""
    mark = marked(service)
    try:
        inside_container(service, service["backup"]["before"])
        return written(service, targets, tags)
    finally:
        resume(service, mark)


def marked(service):
    """Notes that an application may be in that mode: `tidy` ends it. Returns the note."""
    WORK.mkdir(mode=0o711, parents=True, exist_ok=True)
    write(PAUSED / service["name"], "")
    return PAUSED / service["name"]


def forget(drafts, targets):
    """A draft must not take the place of a backup among those that are kept."""
    for target in targets:
        if target.name in drafts:
            try:
                target.forget(drafts[target.name]["id"])
            except Trouble as trouble:
                # Retention takes it in time.
                say(f"a draft is still there: {trouble}")


def resume(service, mark):
    if service["backup"]["after"]:
        inside_container(service, service["backup"]["after"])
    mark.unlink(missing_ok=True)


def written(service, targets, tags, draft=False):
    done, wrong = {}, []
    with View(service) as view:
        if service is BOX:
            own(view)
        wrong += [f"{view.name}: {sentence}" for sentence in view.wrong]
        for target in targets:
            try:
                done[target.name] = taken(target, view, draft, tags)
                say(f"{view.name}: {done[target.name]['bytes']} bytes in {done[target.name]['files']} files at {target.name}")
            except Trouble as trouble:
                wrong.append(f"{view.name}: {trouble}")
    return done, wrong


def taken(target, view, draft, tags):
    """A snapshot of a view; most services run on while it is read."""
    for left in reversed(range(TRIES)):
        try:
            return target.snapshot(view.name, view.path, draft, tags)
        except Trouble as trouble:
            if not left:
                raise
            say(f"{view.name}: {trouble}; it is tried again")


def own_folders():
    """Makes what the box has had no need of yet: it makes a folder with the first thing that goes there."""
    for path in OWN_PATHS.values():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)


def own(view):
    own_folders()
    for name, path in OWN_PATHS.items():
        (view.path / name).mkdir(mode=0o700)
        bind(held(path.parent, path.name), view.path / name)


def verified(targets):
    wrong = []
    for target in targets:
        try:
            target.verify(PERCENT)
        except FAULTS as trouble:
            wrong.append(f"what is kept is damaged, or cannot be read: {trouble}")
    return wrong


def guarded(targets):
    """Whether the box is able to delete its backups where it must not be."""
    wrong = []
    for target in targets:
        try:
            found = target.guard()
        except FAULTS as trouble:
            found = str(trouble)
        if found:
            wrong.append(f"{target.name}: the box must not be able to delete its backups, but {found}")
    return wrong


def tidy():
    """Ends what a run that was cut short, or a restore, has left: an application in its maintenance mode, copies of databases.
    Returns whether all of it could be."""
    left = False
    services = kept_services()
    for mark in sorted(PAUSED.iterdir()) if PAUSED.is_dir() else []:
        try:
            if mark.name in services:
                resume(services[mark.name], mark)
        except FAULTS as fault:
            say(f"{mark.name}: {fault}")
            left = True
    subprocess.run(["rm", "-rf", "--one-file-system", WORK / "work"], check=False)
    WORK.mkdir(mode=0o711, parents=True, exist_ok=True)
    return not left
