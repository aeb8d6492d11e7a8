#!/usr/bin/env python3
"""What a restart at night waits for.

restart.py PROGRAM    PROGRAM is reboot-if-needed
"""

import fcntl
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from unittest import mock

sys.dont_write_bytecode = True
PROGRAM = sys.argv.pop(1)


class Restart(unittest.TestCase):
    def setUp(self):
        loader = SourceFileLoader("restart", PROGRAM)
        self.restart = module_from_spec(spec_from_loader("restart", loader))
        loader.exec_module(self.restart)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.lock = pathlib.Path(folder.name) / "backup/lock"
        self.active, self.calls, self.slept = set(), [], []
        self.while_asleep = lambda: None
        self.restart.BACKUP = self.lock
        self.restart.reason = lambda: "a patch asks for it"
        for target, name, value in (
            (subprocess, "run", self.run_it), (self.restart.time, "sleep", self.sleep), (sys, "argv", ["reboot-if-needed"]),
        ):
            patch = mock.patch.object(target, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def run_it(self, words, **_):
        if words[1] != "show":
            self.calls.append(words)
        return types.SimpleNamespace(stdout="active\n" if words[-1] in self.active else "inactive\n")

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.while_asleep()

    def hold(self):
        """The lock, as `box restore` has it."""
        self.lock.parent.mkdir(exist_ok=True)
        file = self.lock.open("w")
        self.addCleanup(file.close)
        fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def test_nothing_in_the_way(self):
        self.restart.main()
        self.assertEqual((self.calls, self.slept), ([["systemctl", "reboot"]], []))
        self.hold().close()
        self.restart.main()
        self.assertEqual(len(self.calls), 2, "a lock that nobody has is none")

    def test_a_restore_is_waited_for_and_never_cut(self):
        held = self.hold()
        self.restart.main()
        self.assertEqual((self.calls, len(self.slept)), ([], 60))
        held.close()
        self.active.add("boxwright-restore.service")
        self.restart.main()
        self.assertEqual((self.calls, len(self.slept)), ([], 120))

    def test_it_restarts_once_the_restore_has_ended(self):
        self.while_asleep = self.hold().close
        self.restart.main()
        self.assertEqual((self.calls, self.slept), ([["systemctl", "reboot"]], [60]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
