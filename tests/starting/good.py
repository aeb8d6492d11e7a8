#!/usr/bin/env python3
"""How a box judges its release, and what it does where that is not good.

good.py SYSTEM    SYSTEM is the folder overlays/system
"""

import sys
import unittest

sys.dont_write_bytecode = True
SYSTEM = sys.argv.pop(1)
from rig import Rig  # noqa: E402 (its folder is that of this program)

LATE = "this release is not good yet: no ethernet port has an address\n"


class Good(unittest.TestCase):
    def setUp(self):
        self.rig = Rig(self, SYSTEM)
        for name in ("good", "ready", "entries.sh"):
            self.rig.take("boot", name)
        self.rig.place("lib/good.d/10", f'#!/bin/sh\n[ -e {self.rig.root}/cable ] || {{ echo "no ethernet port has an address"; exit 1; }}\n')
        self.rig.place("lib/ready.d/10", "#!/bin/sh\n")
        self.rig.command("systemctl", 'echo "$*" >>systemctl.log')
        self.rig.command("mountpoint", "exit 0")
        # A quarter of an hour has gone by. The cable is plugged in while the third minute is slept.
        self.rig.place("uptime", "901.00 0.00\n")
        self.rig.command("sleep", "echo $1 >>slept\ncat run/problems/good >>seen\n[ $(wc -l <slept) -lt 3 ] || touch cable")
        self.rig.place("efi/loader/entries/attic-aaaa+2-1.conf", "")
        variable = "sys/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
        self.rig.place(variable, "1234" + "".join(letter + "\0" for letter in r"\loader\entries\attic-aaaa+2-1.conf"))

    def entries(self):
        return sorted(path.name for path in (self.rig.root / "efi/loader/entries").iterdir())

    def test_a_network_that_comes_late_makes_it_good_late(self):
        run = self.rig.run("good")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(self.rig.read("said").splitlines(), [
            "release aaaa is not good: no ethernet port has an address",
            "staying as it is: there is no other release, and no patch to take back",
            "release aaaa is good",
        ])
        self.assertEqual(self.rig.read("slept"), "60\n" * 3)
        self.assertEqual(self.rig.read("seen"), LATE * 3)
        self.assertIsNone(self.rig.read("run/problems/good"))
        self.assertIsNotNone(self.rig.read("run/good"))
        self.assertEqual(self.entries(), ["attic-aaaa.conf"])
        self.assertEqual(self.rig.read("systemctl.log"), "start --no-block boxwright-good.target\n")

    def test_another_release_is_started_at_once(self):
        self.rig.place("efi/loader/entries/attic-bbbb.conf", "")
        self.assertEqual(self.rig.run("good").returncode, 0)
        self.assertEqual(self.rig.read("systemctl.log"), "reboot\n")
        self.assertIsNone(self.rig.read("slept"))
        self.assertEqual(self.entries(), ["attic-aaaa+2-1.conf", "attic-bbbb.conf"], "its tries are still counted")

    def test_patches_are_taken_back_by_starting_again(self):
        self.rig.place("run/upper/upper/var/lib/dpkg/status", "")
        self.assertEqual(self.rig.run("good").returncode, 0)
        self.assertEqual(self.rig.read("systemctl.log"), "reboot\n")
        self.assertIsNone(self.rig.read("run/good"))

    def test_what_it_waits_for_is_said(self):
        # Its loop has no end but an error.
        self.rig.command("sleep", "echo $1 >>slept\n[ $(wc -l <slept) -lt 6 ]")
        self.rig.run("ready")
        waits = "release aaaa waits for: boxwright-good.service (waiting)"
        self.assertEqual(self.rig.read("said").splitlines(), [waits])
        self.rig.place("run/problems/good", LATE)
        (self.rig.root / "slept").unlink()
        self.rig.run("ready")
        self.assertEqual(self.rig.read("said").splitlines()[-1], "release aaaa is not ready: boxwright-good.service (not good)")
        self.assertIsNone(self.rig.read("run/ready"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
