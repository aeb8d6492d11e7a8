"""Puts what a service keeps back to what it was.

Everything is fetched first; then the service is stopped, its dumps are loaded into its databases, and its folders change places
with those of the backup. Whatever fails before that leaves the service as it is. What was there before is kept aside, databases as
dumps. What has been fetched stays until it is in place: the next attempt goes on with it.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import time

import handover
from backups import report, repository
from backups.config import OWN, STATE, Trouble, described, kept_services, say
from backups.run import FAULTS, OWN_PATHS, marked
from backups.view import BESIDE, DUMPS, inside, inside_container, write_out
from services import start

FETCHED = STATE / ".restore"
REPLACED = STATE / ".replaced"


def restore(name, at, path, target):
    if handover.held("services"):
        raise Trouble("a restore of everything is on its way: see box status")
    config, services = described(), kept_services()
    if name != OWN and name not in services:
        raise Trouble(f"{name} keeps nothing that is backed up; there are: {', '.join([OWN, *services])}")
    service = services.get(name)
    if path and not service:
        raise Trouble(f"what the box itself keeps is restored as a whole: box restore {OWN}")
    wanted = below(service, path) if path else None
    repositories, troubles = repository.opened(config, readonly=True, only=target)
    place, snapshot = chosen(repositories, troubles, name, at)
    say(f"{name}: the backup of {report.moment(snapshot['time'])} from {place.name}, {snapshot['bytes'] / 1e6:.1f} MB")
    fetched = fetch(place, snapshot, name, wanted)
    if not service:
        of_the_box(fetched)
        return
    say(f"{name}: all is here; {service['title']} is stopped")
    unit, aside = service["unit"], kept_aside(name)
    systemctl("stop", unit)
    try:
        if not wanted:
            load(service, fetched, aside)
        swap(service, fetched, [wanted] if wanted else service["backup"]["paths"], not wanted, aside)
    finally:
        if aside.exists():
            say(f"what was there before is in {aside}: remove it when all is well")
        systemctl("start", unit)
    drop(name)
    say(f"{name}: done, and started again")


def kept_aside(name):
    """Where what a restore replaces is put."""
    return REPLACED / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def of_the_box(fetched):
    """Passwords that the box made, and the keys by which SSH's clients know it: in use after the next start."""
    aside = kept_aside(OWN)
    for name, place in OWN_PATHS.items():
        if place.exists():
            shutil.copytree(place, aside / name, symlinks=True)
    put_own(fetched)
    aside.chmod(0o700)
    drop(OWN)
    say(f"{OWN}: done; what was there before is in {aside}")
    say("restart the box, so that everything uses what came back: sudo systemctl reboot")


def put_own(fetched):
    """Each file in one step."""
    for name, place in OWN_PATHS.items():
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in sorted(one for one in (fetched / name).iterdir() if one.is_file()):
            new = place / f".{file.name}.new"
            shutil.copy2(file, new)
            os.chown(new, 0, 0)
            os.rename(new, place / file.name)
    subprocess.run(["sync", "--file-system", *OWN_PATHS.values()], check=False)


def below(service, path):
    """A path of the owner's, relative to the service's folder."""
    full = pathlib.PurePosixPath(os.path.normpath(STATE / service["name"] / path))
    try:
        found = full.relative_to(STATE / service["name"])
    except ValueError:
        found = None
    if not found or found == pathlib.PurePosixPath("."):
        raise Trouble(f"{path} is not below {STATE / service['name']}")
    kept = [pathlib.PurePosixPath(one) for one in service["backup"]["paths"]]
    if not any(one == found or one in found.parents for one in kept):
        raise Trouble(f"{found} is no part of the backups of {service['name']}: they have {', '.join(map(str, kept))}")
    return str(found)


def chosen(repositories, troubles, name, at):
    """The newest backup that is meant, and where it is."""
    found = []
    for place in repositories:
        try:
            found += [(one["time"], place, one) for one in place.list() if one["name"] == name]
        except Trouble as trouble:
            troubles.append(str(trouble))
    if at:
        found = [one for one in found if one[2]["id"] == at] or [one for one in found if report.seconds(one[0]) <= limit(at)]
    if not found:
        reasons = f" ({'; '.join(troubles)})" if troubles else ""
        raise Trouble(f"there is no backup of {name}{' before ' + at if at else ''}{reasons}; see: box backups {name}")
    for trouble in troubles:
        say(trouble)
    _, place, snapshot = max(found, key=lambda one: one[0])
    return place, snapshot


def limit(at):
    """The end of the day or minute that is written."""
    for pattern, length in (("%Y-%m-%d %H:%M", 60), ("%Y-%m-%d", 24 * 3600)):
        try:
            return time.mktime(time.strptime(at, pattern)) + length - 1
        except ValueError:
            continue
    raise Trouble(f"{at} is neither a backup nor a time: write it as 2026-11-20 or \"2026-11-20 03:00\"")


def fetch(place, snapshot, name, path):
    """Everything, or one path, from the repository. Returns the folder that has it, laid out as the service's own."""
    fetched, there = FETCHED / name, begun(snapshot, name, path)
    free = os.statvfs(STATE)
    room = free.f_bavail * free.f_frsize + there
    if not path and snapshot["bytes"] > room * 0.95:
        raise Trouble(f"{snapshot['bytes'] / 1e9:.1f} GB are to be restored, and {STATE} has room for {room / 1e9:.1f} GB")
    to = fetched / path if path else fetched
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.restore(snapshot["id"], path, to)
    return fetched


def begun(snapshot, name, path):
    """Keeps what an attempt that was cut short has fetched, if it is of the same snapshot. Returns how many bytes that is."""
    of, what = note(name), f"{snapshot['id']} {path or ''}\n"
    if not of.exists() or of.read_text(encoding="utf-8") != what:
        drop(name)
        FETCHED.mkdir(mode=0o700, exist_ok=True)
        handover.write(of, what)
        return 0
    return sum(
        os.lstat(os.path.join(folder, file)).st_blocks * 512
        for folder, _, files in os.walk(FETCHED / name) for file in files
    )


def note(name):
    """Says of which snapshot it is what has been fetched for a service."""
    return FETCHED / f".{name}.of"


def drop(name):
    """Removes what was fetched."""
    note(name).unlink(missing_ok=True)
    shutil.rmtree(FETCHED / name, ignore_errors=True)


def load(service, fetched, aside=None):
    """Loads the dumps into databases that run alone. What these had goes to `aside` before, if that is given."""
    dumps = [dump for dump in service["backup"]["dumps"] if (fetched / DUMPS / dump["file"]).exists()]
    if not dumps:
        return
    keys = sorted({dump["container"] for dump in dumps})
    try:
        start.prepare(service, keys)
    except SystemExit as stopped:
        # With a sentence, as the service's own start ends.
        raise Trouble(f"{service['name']}: {stopped}") from None
    variables, _ = start.environment(service)
    try:
        flags = ["--detach", "--no-build", "--no-deps", "--wait", "--wait-timeout", "900"]
        if start.compose(service, variables, "up", *flags, *keys):
            raise Trouble(f"{', '.join(keys)} of {service['name']} did not come up: nothing was changed")
        for dump in dumps if aside else []:
            keep(service, dump, aside / DUMPS)
        for dump in dumps:
            say(f"{service['name']}: {dump['file']} is loaded into {dump['container']}")
            with open(fetched / DUMPS / dump["file"], "rb") as file:
                inside_container(service, {**dump, "command": dump["load"]}, stdin=file, stdout=subprocess.DEVNULL)
    finally:
        start.compose(service, variables, "down")


def keep(service, dump, folder):
    """Writes out what is in a database before something else is loaded into it."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        write_out(service, dump, folder / dump["file"])
        subprocess.run(["sync", "--file-system", STATE], check=False)
    except FAULTS as fault:
        with contextlib.suppress(OSError):
            # Where there is nothing else.
            folder.rmdir()
            folder.parent.rmdir()
        # Of a database that cannot be read any more, its files are what is left to keep.
        container = next(one for one in service["containers"] if one["key"] == dump["container"])
        files = ", ".join(volume["source"] for volume in container["volumes"] if volume["make"])
        advice = f"; if that database is broken, move {files} away and restore again" if files else ""
        raise Trouble(f"what is in {dump['container']} now cannot be kept, so nothing was changed: {fault}{advice}") from fault


def swap(service, fetched, paths, whole, aside):
    """The folders of the backup take the places of the service's, which go to `aside`."""
    if service["backup"]["after"]:
        # The backup was made in the mode that this ends, and has it where the application keeps it.
        marked(service)
    for path in paths:
        new, live = fetched / path, STATE / service["name"] / path
        if not new.exists():
            continue
        made = missing_parents(fetched if whole else None, service, path)
        # A journal of the database that was there would be played into the one that comes.
        for old in (live, *(live.with_name(live.name + suffix) for suffix in BESIDE)):
            if os.path.lexists(old):
                (aside / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.rename(old, (aside / path).with_name(old.name))
        os.rename(new, live)
        for folder, status in made:
            os.chown(folder, status.st_uid, status.st_gid)
            os.chmod(folder, status.st_mode & 0o7777)
    subprocess.run(["sync", "--file-system", STATE], check=False)


def missing_parents(fetched, service, path):
    """Makes the folders above a path. Those that were not there get the owner and mode that `fetched`, the whole backup, says; or
    those of the folder above."""
    made, above = [], None
    for up in reversed(pathlib.PurePosixPath(path).parents):
        folder = STATE / service["name"] / up
        if not folder.exists():
            folder.mkdir(mode=0o711)
            known = fetched / up if fetched else above
            if known and known.is_dir() and str(up) != ".":
                made.append((folder, known.stat()))
        inside(folder)
        above = above if made and not fetched else folder
    return made


def systemctl(verb, unit):
    result = subprocess.run(["systemctl", verb, unit], capture_output=True, text=True, check=False)
    if result.returncode:
        said = re.sub(r"\s+", " ", result.stderr.strip())
        raise Trouble(f"{unit} could not be {'stopped' if verb == 'stop' else 'started'}: {said}; see: box logs")
