"""What is decided about backups without a repository: which one is meant, which disk is the box, and when somebody is told; see
on_box.py, which makes the surroundings."""

import contextlib
import io
import json
import os
import pathlib
import sys
import time
import unittest
from unittest import mock

import scenarios
from scenarios import RUN, STATE, run, write

sys.path.insert(0, "/usr/lib/boxwright")
import status  # noqa: E402 (found by the line above)
from backups import incarnation, recover, restore  # noqa: E402 (found by the line above)
from backups.config import OWN, Trouble  # noqa: E402 (found by the line above)

LAST, SSH = STATE / ".backup/last.json", pathlib.Path("/var/lib/boxwright/ssh")
HOUR = 3600


class Stale(unittest.TestCase):
    """Nights without a complete backup."""

    @classmethod
    def setUpClass(cls):
        scenarios.surroundings()

    def said(self):
        """What `box status` says of that."""
        problems = json.loads(run("box", "status", "--json").stdout)["problems"]
        return [one for one in problems if "complete" in one]

    def ended(self, **last):
        write(LAST, json.dumps(last))

    def test_one_night_may_be_missed_and_two_are_told(self):
        now = time.time()
        self.ended(complete=int(now - 51 * HOUR))
        self.assertEqual(len(self.said()), 1)
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(int(now - 51 * HOUR)))
        self.assertEqual(self.said(), [f"the last complete backup is of {day}"])
        self.ended(complete=int(now - 49 * HOUR))
        self.assertEqual(self.said(), [])

    def test_a_box_that_never_had_one_is_told_when_it_is_old_enough(self):
        for last in ({}, {"complete": None}):
            self.ended(**last)
            os.utime(SSH, (time.time() - 51 * HOUR,) * 2)
            self.assertEqual(self.said(), ["no backup has been complete yet"])
            os.utime(SSH, (time.time() - 49 * HOUR,) * 2)
            self.assertEqual(self.said(), [])

    def test_a_box_without_backups_is_not_told(self):
        self.ended(complete=1)
        self.assertEqual(list(status.stale_backup({})), [])


def snapshot(identity, moment, name, night=None):
    return {"id": identity, "time": moment, "name": name, "bytes": 1, "files": 1, "run": night, "incarnation": None}


class Place:
    """A target that has these snapshots, or cannot be asked."""

    def __init__(self, name, *snapshots, newest=0):
        self.name, self.snapshots, self.number = name, snapshots, newest

    def list(self):
        return list(self.snapshots)

    def newest(self):
        if self.number is None:
            raise Trouble(f"{self.name}: its server does not answer")
        return self.number


# Two nights, a day apart: of the box itself and of a service, which was written a minute later. In UTC, as Kopia has it; at home
# it is an hour or two later, on the same days.
NIGHTS = [
    [snapshot(f"{name}-{day}", f"2026-11-{day}T02:3{minute}:00.5Z", name, day) for minute, name in enumerate((OWN, "sonarr"))]
    for day in (20, 21)
]
# A time → the night that is meant.
MEANT = {
    "2026-11-20": 20, "2026-11-20 23:59": 20, "2026-11-21 02:00": 20, "2026-11-21": 21, "2026-11-21 12:00": 21, "2030-01-01": 21,
}


class PointInTime(unittest.TestCase):
    """Of some backups the one that was there at a time; what no other test has, whose backups are all of one minute."""

    def places(self):
        everything = [one for night in NIGHTS for one in night]
        return [Place("boxes", *everything), Place("vault", *everything[:2])]

    def test_a_new_disk_begins_with_the_night_before(self):
        for wanted, day in {**MEANT, "latest": 21, "box-20": 20, "box-21": 21, "sonarr-20": 20}.items():
            with self.subTest(wanted):
                chosen = recover.choose(self.places(), [], wanted, [OWN, "sonarr"])
                self.assertEqual({name: one["id"] for name, one in chosen.items()}, {name: f"{name}-{day}" for name in (OWN, "sonarr")})
        with self.assertRaisesRegex(Trouble, "there is no backup as of 2026-11-19"):
            recover.choose(self.places(), [], "2026-11-19", [OWN, "sonarr"])

    def test_each_snapshot_is_meant_or_not(self):
        (_, early), (_, late) = NIGHTS
        for wanted, day in MEANT.items():
            self.assertTrue(recover.is_meant(early, wanted, []), wanted)
            self.assertEqual(recover.is_meant(late, wanted, []), day == 21, wanted)

    def test_one_service_goes_back_to_the_night_before(self):
        for at, day in {**MEANT, None: 21, "sonarr-20": 20}.items():
            with self.subTest(at):
                _, found = restore.chosen(self.places(), [], "sonarr", at)
                self.assertEqual(found["id"], f"sonarr-{day}")
        with self.assertRaisesRegex(Trouble, "there is no backup of sonarr before 2026-11-19"):
            restore.chosen(self.places(), [], "sonarr", "2026-11-19")


class Stand(unittest.TestCase):
    """Which disk is the box, where not every repository can be asked."""

    def stand(self, *targets):
        """What comes of it: which later number this disk gives way to, which targets are told of this one, and what is said."""
        patches = [
            mock.patch.object(incarnation, "described", return_value={"targets": [{"name": target.name} for target in targets]}),
            mock.patch.object(incarnation.repository, "opened", lambda _, only, **more: ([one for one in targets if one.name == only], [])),
            mock.patch.object(incarnation, "mine", return_value=5),
            mock.patch.object(incarnation.handover, "held", return_value=None),
        ]
        with contextlib.ExitStack() as stack, contextlib.redirect_stdout(io.StringIO()) as said:
            for patch in patches:
                stack.enter_context(patch)
            superseded = stack.enter_context(mock.patch.object(incarnation, "superseded"))
            claim = stack.enter_context(mock.patch.object(incarnation, "claim"))
            incarnation.stand()
        return [one.args[0] for one in superseded.call_args_list], [one.args[1] for one in claim.call_args_list], said.getvalue()

    def test_one_that_does_not_answer_keeps_no_other_from_being_asked(self):
        away = Place("boxes", newest=None)
        for targets in ([away, Place("vault", newest=9)], [Place("vault", newest=9), away]):
            gone, told, _ = self.stand(*targets)
            self.assertEqual((gone, told), ([9], []))
        gone, told, said = self.stand(away, Place("vault", newest=3), Place("attic", newest=5))
        self.assertEqual((gone, told), ([], [["vault"]]))
        self.assertIn("boxes: its server does not answer", said)


class Patience(unittest.TestCase):
    """How long a target that does not answer is waited for where another one does."""

    def test_a_clock_that_is_set_does_not_end_it(self):
        begin = time.monotonic()
        here, away = Place("vault"), ["boxes: its server does not answer"]
        with mock.patch.object(recover.repository, "opened", return_value=([here], away)):
            with mock.patch("time.time", return_value=time.time() + 10 * 365 * 24 * HOUR), self.assertRaises(Trouble):
                recover.places_of({}, begin)
            with mock.patch("time.monotonic", return_value=begin + recover.PATIENCE + 1):
                self.assertEqual(recover.places_of({}, begin), ([here], away))

    def test_it_is_begun_without_the_clock(self):
        with mock.patch("time.time", return_value=0), mock.patch.object(recover, "attempt") as attempt:
            with mock.patch.object(recover.handover, "pending", return_value="latest"):
                recover.recover()
        self.assertLess(abs(attempt.call_args.args[1] - time.monotonic()), 60)


if __name__ == "__main__":
    RUN.mkdir(parents=True, exist_ok=True)
    unittest.main(verbosity=2)
