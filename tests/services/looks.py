"""What a look makes of a service that fails at each start, and of containers that crash or never get healthy."""

import pathlib
import sys
import tempfile
import unittest
from unittest import mock

sys.dont_write_bytecode = True
system = pathlib.Path(sys.argv[1]).parents[6]
for folder in sorted(system.glob("*/root/usr/lib/boxwright")):
    sys.path.append(str(folder))
import status  # noqa: E402 (found by the lines above)
import units  # noqa: E402
from services import steps, watch  # noqa: E402

UNIT = "boxwright-service-one.service"
SERVICE = {
    "name": "one", "title": "One", "unit": UNIT, "role": None, "requires": [], "secrets": [], "disks": [], "gated": [],
    "setup": False, "check": False, "downloads": False, "containers": [{"name": "one", "namespace": None, "main": True}],
}
CHECK = {"Interval": 30 * 10**9, "Timeout": 10 * 10**9, "StartPeriod": 120 * 10**9, "Retries": 3}
# One start may take two minutes, and four times 40 s for the checks.
LONG = (120 + 4 * 40) // 30


def container(health, restarts=0, identity="a"):
    state = {"Status": "running", "StartedAt": "2026-11-21T00:00:00Z", "Health": {"Status": health}}
    return {"one": {"Id": identity, "RestartCount": restarts, "Config": {"Healthcheck": CHECK}, "State": state}}


class Looks(unittest.TestCase):
    def setUp(self):
        self.before = {}
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for module in (watch, steps, watch.space):
            changed = mock.patch.object(module, "NOTES", pathlib.Path(folder.name))
            changed.start()
            self.addCleanup(changed.stop)

    def look(self, found, state="active", restarts=0):
        """The word for the container, and what is told."""
        states = {UNIT: units.Unit(state, False, restarts)}
        self.before, _ = watch.look(SERVICE, states, found, self.before)
        return self.before["containers"]["one"], watch.sentence(self.before)

    def test_what_fails_at_each_start_is_told(self):
        for restarts in range(units.TRIES):
            self.assertEqual(self.look({}, "activating", restarts), ("missing", None))
        steps.unstarted(SERVICE).write_text("the key is wrong\n")
        self.assertEqual(self.look({}, "activating", units.TRIES)[1], "One: it does not start: the key is wrong; see: box logs one")
        self.assertTrue(self.before["failing"])
        # It runs, though it took so many tries.
        self.assertEqual(self.look(container("healthy"), "active", units.TRIES), ("healthy", None))
        self.assertFalse(self.before["failing"])

    def test_a_first_start_that_is_slow_is_not_told(self):
        for _ in range(60):
            self.assertIsNone(self.look({"one": {"Id": "a", "State": {"Status": "created"}}}, "activating")[1])

    def test_what_crashes_while_its_unit_starts_is_told(self):
        told = [self.look(container("starting", times), "activating")[1] for times in range(30)]
        self.assertIsNone(told[watch.crashes.CRASHES])
        self.assertEqual(told[-1], "One: its container one is restarting")

    def test_what_crashes_between_looks_is_broken(self):
        words = [self.look(container("starting", times))[0] for times in range(6)]
        self.assertEqual(words, ["starting"] * 3 + ["restarting"] * 3)
        self.assertEqual(self.before["broken"], 3)
        self.assertFalse(self.before["ready"])
        # Once it is healthy and stays so, it is.
        words = [self.look(container("healthy", 5))[0] for _ in range(5)]
        self.assertEqual(words[-1], "healthy")

    def test_what_is_healthy_between_crashes_is_broken(self):
        words = [self.look(container("starting" if at % 2 else "healthy", at // 2))[0] for at in range(20)]
        self.assertEqual(set(words[8:]), {"restarting"})

    def test_few_crashes_are_none_of_it(self):
        words = [self.look(container("starting" if at % 30 == 0 else "healthy", at // 30))[0] for at in range(120)]
        self.assertNotIn("restarting", words)

    def test_what_starts_for_too_long_is_unhealthy(self):
        words = [self.look(container("starting"))[0] for _ in range(LONG + 2)]
        self.assertEqual(words, ["starting"] * LONG + ["unhealthy"] * 2)
        # A new container may take its time as well.
        self.assertEqual(self.look(container("starting", identity="b"))[0], "starting")

    def test_box_status_names_other_units_that_fail_at_each_start(self):
        names = ["ssh.service", "boxwright-networks.service", UNIT]
        shown = {"ssh.service": 7, "boxwright-networks.service": 1, UNIT: 9}

        def output(*command):
            return "".join(f"{name} loaded activating auto-restart It\n" for name in names) if "--state=activating" in command else ""

        look = lambda asked: {name: units.Unit("activating", False, shown[name]) for name in asked}  # noqa: E731
        described = {"disks": [], "backup": None}
        with mock.patch.multiple(status, output=output, described=lambda: described), mock.patch.object(units, "look", look):
            told = [line for line in status.problems() if "each start" in line]
        self.assertEqual(told, ["ssh.service fails at each start; see: journalctl -u ssh.service"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
