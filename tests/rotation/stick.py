"""Sticks: images on loop devices, mounted by the box's own program. It is started in a mount namespace of its own.

    stick.py PROJECT FOLDER    FOLDER has what tests/rotation.rs made
"""

import contextlib
import io
import os
import pathlib
import shutil
import subprocess
import tempfile

from rig import FIRST, Rig, main, signed

NAME = "boxwright-servarr.secrets"
CANARY = "https://hc-ping.com/a-canary-on-a-stick"
MAKERS = {
    "vfat": ["mkfs.vfat", "-n", "STICK"],
    "ext4": ["mkfs.ext4", "-q", "-F", "-L", "stick"],
    "exfat": ["mkfs.exfat", "-q"],
}


def kinds():
    """Those that this machine can make and mount; a kernel may lack one, or get it with a module."""
    for kind in MAKERS if shutil.which("modprobe") else ():
        subprocess.run(["modprobe", "--quiet", kind], check=False)
    known = pathlib.Path("/proc/filesystems").read_text().split()
    return [kind for kind, maker in MAKERS.items() if shutil.which(maker[0]) and kind in known]


def run(*command):
    return subprocess.run([str(one) for one in command], check=True, capture_output=True, text=True).stdout


class Sticks(Rig):
    def setUp(self):
        super().setUp()
        self.stick.OWN = self.root / "dev/disk"
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.image, self.at = self.folder / "stick.img", self.folder / "at"
        self.at.mkdir()
        self.loop = None

    def make(self, kind, fill):
        """A stick that `fill` has put files on."""
        self.image.unlink(missing_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(16 << 20)
        run(*MAKERS[kind], self.image)
        self.attach()
        run("mount", "-t", kind, self.loop, self.at)
        try:
            fill(self.at)
        finally:
            run("umount", self.at)

    def attach(self, *flags):
        self.loop = pathlib.Path(run("losetup", "--find", "--show", *flags, self.image).strip())
        self.addCleanup(self.detach, self.loop)

    def detach(self, loop):
        subprocess.run(["losetup", "--detach", loop], capture_output=True, check=False)

    def plug(self):
        """What the unit says on the console; then the stick is out again."""
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                self.stick.plugged_in(self.loop.name)
            self.assertNotIn(str(self.secrets.RUN), pathlib.Path("/proc/self/mountinfo").read_text())
        finally:
            self.detach(self.loop)
        self.assertNotIn("canary", said.getvalue())
        return said.getvalue()

    def holding(self, data, name=NAME):
        return lambda at: (at / name).write_bytes(data)

    def test_new_secrets_are_taken_and_overwritten(self):
        serial = 2_000_000_000
        for kind in KINDS:
            with self.subTest(kind=kind):
                serial += 1
                value = f"{CANARY}-{kind}"
                self.make(kind, self.holding(signed({"box/heartbeat": value}, serial=serial)))
                self.assertIn(value.encode(), self.image.read_bytes())
                mounted = []
                read = self.stick.read

                def look(path, mounted=mounted, read=read):
                    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                    mounted.extend(line for line in lines if f" {path.parent} " in line)
                    return read(path)

                self.patch(self.stick, "read", look)
                said = self.plug()
                self.assertIn("taken over: box/heartbeat", said)
                self.assertEqual(self.stored()["box/heartbeat"], value)
                [line] = mounted
                for option in ("ro", "nosuid", "nodev", "noexec", "nosymfollow"):
                    self.assertIn(option, line.split()[5].split(","))
                # Not anywhere on the stick, in whatever block.
                self.assertNotIn(value.encode(), self.image.read_bytes())
                self.assertIn("systemctl --no-block start boxwright-secrets-apply.service", self.calls())
                self.assertEqual(self.problems(), [])
                self.attach()
                run("mount", "-t", kind, "-o", "ro", self.loop, self.at)
                text = (self.at / NAME).read_text()
                run("umount", self.at)
                self.detach(self.loop)
                self.assertIn("The box has taken these secrets", text)
                self.patch(self.stick, "read", read)

    def test_a_stick_for_something_else_is_none_of_the_boxs_business(self):
        for fill in (lambda at: None, self.holding(b"x", "boxwright-nas.secrets"), self.holding(b"x", "photo.jpg")):
            self.make(KINDS[0], fill)
            self.assertEqual(self.plug(), "")
        self.image.write_bytes(os.urandom(1 << 20))
        self.attach()
        self.assertEqual(self.plug(), "")
        self.assertEqual(self.problems(), [])

    def test_what_is_refused_is_told_and_stays_on_the_stick(self):
        data = signed({"box/heartbeat": CANARY}, key="keys/stranger")
        self.make(KINDS[0], self.holding(data))
        said = self.plug()
        self.assertIn("signed by nobody who is an admin", said)
        [problem] = self.problems()
        self.assertTrue(problem.startswith(f"{NAME} on the stick {self.loop.name}: the new secrets are signed by nobody"), problem)
        self.assertIn(data, self.image.read_bytes())
        self.assertEqual(self.stored(), FIRST)
        self.assertEqual(self.calls(), [])
        # The right one takes the sentence away.
        self.make(KINDS[0], self.holding(signed({"box/heartbeat": CANARY})))
        self.plug()
        self.assertEqual(self.problems(), [])

    def test_nothing_on_a_stick_is_followed_or_waited_for(self):
        secret = self.folder / "secret"
        secret.write_bytes(signed({"box/heartbeat": CANARY}))
        for fill in (
            lambda at: (at / NAME).symlink_to(secret),
            lambda at: os.mkfifo(at / NAME),
            lambda at: os.mknod(at / NAME, 0o600 | 0o020000, os.makedev(1, 5)),
            lambda at: (at / NAME).mkdir(),
        ):
            if "ext4" in KINDS:
                self.make("ext4", fill)
                self.assertEqual(self.plug(), "")
        self.make(KINDS[0], self.holding(bytes(3 << 20)))
        self.assertIn("too large", self.plug())
        self.assertEqual(self.stored(), FIRST)

    def test_a_stick_that_cannot_be_written(self):
        self.make(KINDS[0], self.holding(signed({"box/heartbeat": CANARY})))
        self.detach(self.loop)
        self.attach("--read-only")
        self.assertIn("taken over", self.plug())
        [problem] = self.problems()
        self.assertIn("could not be overwritten: remove it yourself", problem)
        self.assertEqual(self.stored()["box/heartbeat"], CANARY)

    def test_the_boxs_own_disk_is_no_stick(self):
        self.make(KINDS[0], self.holding(signed({"box/heartbeat": CANARY})))
        self.stick.OWN.symlink_to(f"../{self.loop.name}")
        self.assertEqual(self.plug(), "")
        self.assertEqual(self.stored(), FIRST)
        for device in ("../sda", "null", "sda1;reboot", "nothing0", ""):
            self.stick.plugged_in(device)


KINDS = kinds()
if KINDS:
    print("sticks with", ", ".join(KINDS))
    main()
else:
    print("SKIPPED: this machine can mount none of", ", ".join(MAKERS))
