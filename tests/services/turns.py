"""When the setup of a service that does not succeed is tried again."""

import pathlib
import sys

sys.dont_write_bytecode = True
system = pathlib.Path(sys.argv[1]).parents[6]
for folder in sorted(system.glob("*/root/usr/lib/boxwright")):
    sys.path.append(str(folder))
from services import steps, watch  # noqa: E402

steps.pending = lambda service: service["pending"]
known = {}


def tried(news=(), **changes):
    global known
    one = {"unit": "active", "paused": False, "setting_up": False, **changes}
    due = watch.is_due({"pending": "its setup has not succeeded yet"}, one, known, news)
    known = one
    return due


looks = [look for look in range(70) if tried()]
assert looks[:4] == [0, 1, 2, 3], looks
gaps = [later - earlier for earlier, later in zip(looks, looks[1:])]
assert gaps == sorted(gaps) and gaps[-1] == gaps[-2] == watch.LONGEST + 1, gaps
# Something that it may have waited for got ready.
assert not tried()
assert tried(news=["sonarr"]) and tried() and tried()
for changes in ({"unit": "inactive"}, {"paused": True}, {"setting_up": True}):
    assert not tried(news=["sonarr"], **changes)
assert not watch.is_due({"pending": None}, {"unit": "active", "paused": False, "setting_up": False}, {}, ["sonarr"])
