#!/usr/bin/env python3
"""What the initrd does with a system partition that is full, damaged or of another box: its scripts on ext4 in a file.

initrd.py SCRIPTS    SCRIPTS is the folder firmware/initrd/boxwright. It needs root, for loop devices.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(sys.argv.pop(1))
# Around the scripts: the messages, and one partition that is the whole device.
HEAD = """
set -u
mount -t tmpfs tmpfs /run
mkdir -p /run/boxwright
TYPE_SYSTEM=system TYPE_STATE=state box=attic release=aaaa made=
partition_of() { echo "$device"; }
device_of() { echo "$2"; }
is_of_this_box() { return 1; }
is_encrypted() { return 1; }
note() { echo "note $*"; }
fail() { echo "fail $*"; exit 9; }
for part in partitions system; do . "$scripts/$part.sh"; done
system=$folder/system
"""
# Takes every block.
FILL = """
for size in 64k 1k; do dd if=/dev/zero of="$1/fill-$size" bs=$size 2>/dev/null || :; done
sync -f "$1"
"""


@unittest.skipIf(os.geteuid(), "only root can mount")
class Initrd(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.image = self.folder / "image"
        with self.image.open("wb") as file:
            file.truncate(32 << 20)
        (self.folder / "system").mkdir()

    def make(self, owner="attic", more="", label="boxwright-sys"):
        """A system partition; `more` is run in its folder."""
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-m", "1", "-L", label, self.image], check=True)
        self.inside(f"[ -z '{owner}' ] || echo {owner} >box\n{more}")

    def shell(self, script, *options):
        """What a script prints in mounts of its own, with the image as $device."""
        attach = ["losetup", "--find", "--show", *options, self.image]
        device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "device": device, "folder": str(self.folder), "scripts": str(SCRIPTS),
        }
        try:
            command = ["unshare", "--mount", "sh", "-c", script]
            run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
        finally:
            subprocess.run(["losetup", "--detach", device], check=True)
        return run.stdout + run.stderr

    def inside(self, script):
        """The same in the folder of what is on the partition."""
        return self.shell(f'mount "$device" "$folder/system" && cd "$folder/system" && set -eu\n{script}')

    def start(self, *options):
        """What a start says of the partition, and what is there afterwards."""
        return self.shell(HEAD + 'open_system; choose_upper; echo "degraded: $degraded"; cat "$system/box" "$uppers/boots"', *options)

    def test_a_first_start_says_whose_the_partition_is(self):
        self.make(owner="")
        self.assertEqual(self.start(), "degraded: \nattic\n1\n")
        self.assertEqual(self.start(), "degraded: \nattic\n2\n")

    def test_a_copy_that_was_cut_short_makes_room(self):
        self.make(more="mkdir -p uppers/aaaa/yesterday.new uppers/aaaa/upper uppers/aaaa/work\nset -- uppers/aaaa/yesterday.new" + FILL)
        self.assertEqual(self.start(), "degraded: \nattic\n1\n")
        self.assertEqual(self.inside("ls uppers/aaaa"), "boots\nupper\nwork\n")

    def test_a_full_partition_is_used_as_it_is(self):
        self.make(more="mkdir -p uppers/aaaa/upper uppers/aaaa/work\necho 1 >uppers/aaaa/boots\nset -- ." + FILL)
        said = self.start()
        self.assertIn("note the system partition is full: this start is not counted", said)
        self.assertTrue(said.endswith("degraded: \nattic\n1\n"), said)
        self.make(owner="", more="mkdir -p uppers/aaaa/upper uppers/aaaa/work\nset -- ." + FILL)
        said = self.start()
        self.assertIn("note the system partition is full: it does not say yet that it is of attic", said)
        self.assertIn("degraded: \n", said)

    def test_one_that_takes_no_change_is_not_used(self):
        self.make()
        said = self.start("--read-only")
        self.assertRegex(said, "degraded: the system partition /dev/loop[0-9]+ cannot be written")

    def damage(self, request):
        """Changes the filesystem behind its own back, and says that there was an error, as the kernel does when it meets one."""
        for line in (request, "ssv state 2"):
            subprocess.run(["debugfs", "-w", "-R", line, self.image], check=True, capture_output=True)

    def holds(self, more=""):
        """Whether the partition is taken for this box's, and what is said about it."""
        return self.shell(HEAD + more + '\nif holds_ours system "$device"; then echo kept; else echo formatted; fi')

    def test_only_the_system_of_this_box_is_kept(self):
        self.assertEqual(self.holds(), "formatted\n", "an empty disk")
        self.make()
        self.assertIn("kept", self.holds())
        self.make(owner="shed")
        self.assertEqual(self.holds(), "formatted\n", "another box's")
        self.make(owner="")
        self.assertEqual(self.holds(), "formatted\n", "one that was just made")
        self.make(label="media")
        self.assertEqual(self.holds(), "formatted\n", "anything else")
        self.make()
        with self.image.open("r+b") as file:
            file.write(bytes(16 << 20))
        self.assertEqual(self.holds(), "formatted\n", "what flash --erase-state leaves")

    def test_a_damaged_one_is_repaired_first(self):
        self.make()
        # Nothing that is repaired without a question, and nothing is mounted before it is.
        self.damage("set_bg 1 block_bitmap 0")
        said = self.holds()
        self.assertIn("note the system partition was damaged and is being repaired\n", said)
        self.assertTrue(said.endswith("kept\n"), said)

    def test_one_of_nobody_knows_whom_is_never_formatted(self):
        never = "fail /dev/loop[0-9]+ has the system of a box from before.* Nothing was formatted: .*\n$"
        self.make()
        self.assertRegex(self.holds("mount() { return 32; }"), "^" + never)
        # Without the folder of all folders, the name is among what was found, or gone.
        self.damage("clri <2>")
        self.assertRegex(self.holds(), "(?s)damaged and is being repaired\n" + never)

    def test_what_was_begun_to_be_formatted_is_formatted(self):
        names = HEAD + """
table="system system_new"
partition_of() { case $table in "$1 ${2:-}") echo "$device" ;; esac; }
name_partition() { table="$TYPE_SYSTEM $2"; echo "named $2"; }
make_filesystem() { echo made; }
"""
        self.make(owner="shed")
        self.assertEqual(self.shell(names + "finish_partition system system"), "named system_making\nmade\nnamed system\n")
        self.make()
        self.damage("clri <2>")
        again = names + 'table="system system_making"\nfinish_partition system system'
        self.assertEqual(self.shell(again), "made\nnamed system\n")
        self.make()
        said = self.shell(names + "finish_partition system system")
        self.assertEqual(said, "note this disk has belonged to attic before: its data are kept\nnamed system\n")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
