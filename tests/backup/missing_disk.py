"""What a new disk must bring back of a service that has a database on it, and its files on a disk that is not there; see on_box.py,
which makes the surroundings."""

import json
import pathlib
import unittest

import recovery
import scenarios
from recovery import CALLS, handover, services_config, units, watch
from scenarios import NEXTCLOUD, RUN, STATE, backup, run, write

CLOUD = pathlib.Path("/srv/cloud")
DATABASE = pathlib.Path("/run/database")


class MissingDisk(unittest.TestCase):
    """In the order of their names: what one leaves is what the next begins with."""

    @classmethod
    def setUpClass(cls):
        scenarios.surroundings()
        pathlib.Path("/usr/lib/boxwright/say").write_text("#!/bin/sh\necho \"$*\" >>/run/said\n")
        write(RUN / "images/nextcloud", "")
        for name in ("admin-password", "db-password"):
            write(RUN / "secrets/nextcloud" / name, "made on the box", mode=0o400)
        recovery.start(incarnation=recovery.OLD)
        write(STATE / "nextcloud/html/config/config.php", "<?php", NEXTCLOUD)
        DATABASE.write_text("rows of monday")
        backup("run")

    def test_01_the_database_comes_back_without_the_disk(self):
        self.assertFalse(CLOUD.is_mount(), "the test is no test")
        recovery.new_disk()
        recovery.start(incarnation=recovery.NEW, restore="latest")
        process = recovery.recovering()
        _, said = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, said)
        self.assertEqual(DATABASE.read_text(), "rows of monday")
        self.assertEqual((STATE / "nextcloud/html/config/config.php").read_text(), "<?php")
        self.assertIsNone(handover.held("services"))
        self.assertIn("systemctl --no-block start boxwright-services.target", CALLS.read_text())
        # Nothing was made where the disk will be.
        self.assertEqual(list(CLOUD.iterdir()), [])

    def test_02_then_the_service_waits_for_its_disk_and_says_so(self):
        service = services_config.planned()["nextcloud"]
        shown, _ = watch.look(service, {service["unit"]: units.Unit("inactive", False)}, {}, {})
        self.assertEqual(shown["waits"], ["the disk cloud is not there"])
        (RUN / "services.status").write_text(json.dumps({"services": {"nextcloud": shown}}))
        self.assertIn("waits for its disk", run("box", "status").stdout)
        started = run("/usr/lib/boxwright/service", "start", "nextcloud", check=False)
        self.assertEqual((started.returncode, started.stderr), (1, "the disk `cloud` is not mounted at /srv/cloud\n"))

    def test_03_what_cannot_be_made_ready_is_a_reason_and_no_end(self):
        recovery.new_disk()
        write(STATE / "nextcloud/db", "no folder")
        said = backup("restore", "nextcloud", check=False)
        self.assertEqual(said.returncode, 1)
        self.assertIn("/srv/state/nextcloud/db is a link, or no folder", said.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
