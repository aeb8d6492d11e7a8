#!/usr/bin/env python3
"""What is done to a state partition that cannot be mounted, and to patches on a system partition without room.

state.py SYSTEM    SYSTEM is the folder overlays/system
"""

import shutil
import sys
import unittest

sys.dont_write_bytecode = True
SYSTEM = sys.argv.pop(1)
from rig import Rig  # noqa: E402 (its folder is that of this program)


class Repair(unittest.TestCase):
    def setUp(self):
        self.rig = Rig(self, SYSTEM)
        self.rig.take("boot", "state-repair")
        for name in ("mount", "umount", "systemctl"):
            self.rig.command(name, f'echo {name} "$*" >>calls')

    def repair(self, mounts, *ends):
        """What is called where mounting succeeds or does not, and xfs_repair ends with these, one after the other."""
        self.rig.command("mount", f"echo mount >>calls\nexit {0 if mounts else 32}")
        self.rig.place("ends", "".join(f"{end}\n" for end in ends))
        self.rig.command("xfs_repair", 'echo "xfs_repair $*" >>calls\nend=$(head -n 1 ends)\nsed -i 1d ends\nexit $end')
        run = self.rig.run("state-repair")
        return run.returncode, [call.split(f"{self.rig.root}")[0].strip() for call in self.rig.read("calls").splitlines()]

    MOUNTED = ["systemctl reset-failed srv-state.mount", "systemctl start srv-state.mount",
               "systemctl start --no-block default.target docker.service"]

    def test_what_can_be_mounted_after_all_is_not_touched(self):
        self.assertEqual(self.repair(True), (0, ["mount", "umount", *self.MOUNTED]))

    def test_a_log_is_given_up_only_where_no_mount_can_replay_it(self):
        self.assertEqual(self.repair(False, 2, 0), (0, ["mount", "xfs_repair", "xfs_repair -L", *self.MOUNTED]))

    def test_other_damage_is_repaired_with_the_log(self):
        self.assertEqual(self.repair(False, 0), (0, ["mount", "xfs_repair", *self.MOUNTED]))

    def test_what_cannot_be_repaired_stays_as_it_is(self):
        self.assertEqual(self.repair(False, 1), (1, ["mount", "xfs_repair"]))
        self.assertIn("cannot be repaired (xfs_repair ended with 1); it stays as it is", self.rig.read("said"))


class Patches(unittest.TestCase):
    def setUp(self):
        self.rig = Rig(self, SYSTEM)
        for overlay, name in (("boot", "room.sh"), ("boot", "keep-yesterday"), ("updates", "room-for-patches")):
            self.rig.take(overlay, name)
        self.rig.place("run/upper/upper/file", "today\n")
        self.rig.place("run/upper/yesterday/file", "yesterday\n")
        self.rig.place("run/upper/yesterday.new/file", "half\n")
        self.rig.place("run/good", "")
        self.has(8 << 20, 4 << 20)

    def has(self, size, free):
        """The system partition has so many KiB."""
        self.rig.command("df", f"echo 1K-blocks Avail\necho {size} {free}")

    def test_patches_need_room_and_it_is_said_that_they_have_none(self):
        for size, free, end in ((8 << 20, 524288, 0), (8 << 20, 524287, 1), (800000, 100000, 0), (800000, 99999, 1)):
            self.has(size, free)
            self.assertEqual(self.rig.run("room-for-patches").returncode, end, (size, free))
            said = self.rig.read("run/problems/patches")
            self.assertEqual(said and said.splitlines()[0][:27], "no patches are installed, s" if end else None)
        self.rig.command("df", "exit 1")
        self.assertEqual(self.rig.run("room-for-patches").returncode, 1)

    def test_yesterday_is_kept_where_there_is_room(self):
        self.rig.place("run/problems/yesterday", "as before\n")
        self.assertEqual(self.rig.run("keep-yesterday").returncode, 0)
        self.assertEqual(self.rig.read("run/upper/yesterday/file"), "today\n")
        self.assertIsNone(self.rig.read("run/problems/yesterday"))

    def test_without_room_the_copy_of_before_stays_and_the_box_says_so(self):
        self.has(8 << 20, 524289)
        self.assertEqual(self.rig.run("keep-yesterday").returncode, 1)
        self.check("there is no room for a copy")

    def test_a_copy_that_fails_leaves_nothing(self):
        copy = shutil.which("cp")
        self.rig.command("cp", f'{copy} "$@"\nexit 1')
        self.assertEqual(self.rig.run("keep-yesterday").returncode, 1)
        self.check("could not be copied")

    def check(self, reason):
        self.assertEqual(self.rig.read("run/upper/yesterday/file"), "yesterday\n")
        self.assertFalse((self.rig.root / "run/upper/yesterday.new").exists())
        self.assertIn(reason, self.rig.read("run/problems/yesterday"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
