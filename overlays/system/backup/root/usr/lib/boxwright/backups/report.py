"""How backups went: /srv/state/.backup/last.json, what `box status` shows, and the list of what there is."""

import calendar
import json
import time

from backups import repository
from backups.config import WORK, Trouble, described, say
from services.config import RUN, write

LAST = WORK / "last.json"
PROBLEM = RUN / "problems" / "backup"


def last():
    """How the last whole backup went, and when one was complete."""
    try:
        return json.loads(LAST.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def ended(begin, done, wrong, targets, whole):
    """Keeps how a run went."""
    for sentence in wrong:
        say(sentence)
    if not whole:
        return
    before = last()
    found = {"begin": int(begin), "end": int(time.time()), "wrong": wrong, "services": done}
    found["targets"] = sorted({*targets, *before.get("targets", [])})
    found["complete"] = found["end"] if not wrong else before.get("complete")
    write(LAST, json.dumps(found, indent=1, sort_keys=True) + "\n")
    problem(wrong)


def failed(sentence):
    """A run that could not even begin."""
    problem([sentence])


def problem(wrong):
    if wrong:
        more = f" (and {len(wrong) - 1} more; see: journalctl -u boxwright-backup)" if len(wrong) > 1 else ""
        write(PROBLEM, f"the last backup is not complete: {wrong[0]}{more}\n")
    else:
        PROBLEM.unlink(missing_ok=True)


def show(service, as_json):
    """Prints what there is, by target."""
    targets, troubles = repository.opened(described(), readonly=True)
    found = [{"target": target.name, **one} for target in targets for one in target.list()]
    found = [one for one in found if service in (None, one["name"])]
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        for one in found:
            print(f"{moment(one['time'])}  {one['name']:<20}  {one['bytes'] / 1e6:>10.1f} MB  {one['target']}  {one['id']}")
    if troubles:
        raise Trouble("\n".join(troubles))
    if not found and not as_json:
        print("there is no backup yet")


def moment(text):
    """A time of the repository's, in UTC, as the box's people write it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds(text)))


def seconds(text):
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
