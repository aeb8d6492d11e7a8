#!/usr/bin/env python3
"""A share whose server is gone, a disk that fails, and what the box still says then.

places.py SYSTEM    SYSTEM is the folder overlays/system
"""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

sys.dont_write_bytecode = True
SYSTEM = pathlib.Path(sys.argv.pop(1))
# Behind the modules of Python, and without the folder of this program: it has the name of one of theirs.
sys.path[:] = [path for path in sys.path[1:]] + [str(path) for path in sorted(SYSTEM.glob("*/root/usr/lib/boxwright"))]
import places  # noqa: E402
import status  # noqa: E402
import units  # noqa: E402
from services import space, watch  # noqa: E402

READY = SYSTEM / "boot/root/usr/lib/boxwright/ready.d/20-services"
NAMES = ("media", "photos", "old disk", "stick")
BOX = {"name": "attic", "disks": [{"name": name, "path": f"/srv/{name}", "unit": f"srv-{name}.mount"} for name in NAMES]}
# All but the stick.
ALL = ("/", "/srv/state", "/var/lib/boxwright", "/srv/media", "/srv/photos", r"/srv/old\040disk")
REAL = os.statvfs


class Places(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        lines = [f"1 2 0:3 / {path} rw - ext4 x rw" for path in ALL]
        (self.folder / "mounts").write_text("\n".join(lines) + "\n")
        (self.folder / "box.json").write_text(json.dumps(BOX))
        self.gone = threading.Event()
        self.addCleanup(self.gone.set)
        for target, name, value in (
            (places, "MOUNTS", self.folder / "mounts"), (places, "PATIENCE", 0.3), (os, "statvfs", self.statvfs),
            (os.path, "ismount", self.never), (status, "DESCRIPTION", self.folder / "box.json"), (status, "RUN", self.folder),
            (status, "LAST_BACKUP", self.folder / "last"), (status, "output", lambda *_: ""), (status, "patched", lambda: "today"),
            (units, "look", lambda names: {}),
        ):
            patch = mock.patch.object(target, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.began = time.monotonic()

    def tearDown(self):
        self.assertLess(time.monotonic() - self.began, 5, "something waited for the server")

    def statvfs(self, path):
        if path == "/srv/media":
            self.gone.wait(60)
        if path == "/var/lib/boxwright":
            raise OSError(5, "Input/output error")
        if path in ("/srv/media", "/srv/photos"):
            raise OSError(116, "Stale file handle")
        room = list(REAL("/"))
        # One block of a hundred is free, as for root so for others.
        room[1:5] = 1 << 20, 1 << 30, (1 << 30) // 100, (1 << 30) // 100
        return os.statvfs_result(room)

    def never(self, path):
        raise AssertionError(f"{path} is asked for without a limit")

    def test_a_server_that_is_gone_is_told_like_what_is_wrong_besides(self):
        told = "\n".join(status.problems())
        for sentence in (
            "the disk media does not answer; ", "the disk photos cannot be read: Stale file handle; ",
            "the system partition cannot be read: Input/output error; ", "the disk stick is not there; ",
            "/srv/state is more than 85% full", "/srv/old disk is more than 85% full",
        ):
            self.assertIn(sentence, told)
        self.assertNotIn("/srv/media is", told)

    def test_services_are_looked_after_all_the_same(self):
        service = {"name": "plex", "role": "media", "requires": [], "secrets": [], "disks": BOX["disks"]}
        self.assertEqual([why for why in watch.waits(service, {}) if "disk" in why], ["the disk stick is not there"])
        self.assertIsNone(space.filled("/srv/media"))
        self.assertAlmostEqual(space.filled("/srv/old disk"), 0.99, 2)

    def test_the_box_is_not_ready_with_it(self):
        text = READY.read_text().replace("/etc/boxwright/", f"{self.folder}/")
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(text, str(READY), "exec"), {"__file__": str(READY), "__name__": "ready"})
        self.assertEqual(said.getvalue().splitlines(), [
            "srv-media.mount (does not answer)", "srv-photos.mount (cannot be read: Stale file handle)", "srv-stick.mount (missing)",
        ])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
