"""Who looks after a repository that nobody can delete from, and that its locks are renewed; see on_box.py, which makes the
surroundings.

Nothing of ours calls Kopia's maintenance: it runs by itself whenever its owner has written a backup and it is time.
"""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import shutil
import sys
import time
import unittest

import scenarios
from scenarios import PASSWORD, RUN, backup

sys.path.insert(0, "/usr/lib/boxwright")
import s3  # noqa: E402 (found by the line above)

CONFIG = pathlib.Path("/etc/boxwright/backup.json")
PROGRAM = "/etc/boxwright/services/kopia/repository"
KEYS = {"key-id": scenarios.KEY_ID, "secret-key": scenarios.SECRET_KEY}
DAY = 24 * 3600 * 10**9
BUCKET = s3.Bucket("s3.test:9000", "boxes", KEYS)


def repository(config):
    """The program's own way into the repository, with a folder and a cache apart from the box's."""
    loader = importlib.machinery.SourceFileLoader("repository", PROGRAM)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("repository", loader))
    loader.exec_module(module)
    folder = RUN / "maintenance"
    folder.mkdir(parents=True)
    own = {"box": "keeper", "run": str(folder), "cache": str(folder), "password": PASSWORD, "keys": KEYS}
    os.environ["PATH"] = f"/var/lib/boxwright/bin:{os.environ['PATH']}"
    found = module.Repository({**own, "target": config["targets"][0]})
    assert found.connect().returncode == 0
    return found


def locked_until():
    """The name of each object that Kopia wrote → until when its only version cannot be deleted."""
    found = {}
    for path in sorted(pathlib.Path("/run/s3/data/boxes/keeper").iterdir()):
        # Its logs and what it knows of its own runs come and go.
        if path.name.startswith(("p", "q", "kopia.repository")):
            _, headers, _ = BUCKET.call("HEAD", f"keeper/{path.name}")
            headers = {name.lower(): value for name, value in headers.items()}
            found[path.name] = headers["x-amz-object-lock-retain-until-date"]
    return found


class Maintenance(unittest.TestCase):
    """In the order of their names: what one leaves is what the next begins with."""

    @classmethod
    def setUpClass(cls):
        scenarios.surroundings()
        pathlib.Path("/run/s3/versions").mkdir(parents=True)
        cls.start_server = staticmethod(scenarios.server("--versioning-dir", "/run/s3/versions"))
        shutil.rmtree("/run/s3/data/boxes")
        cls.s3 = scenarios.Backups.up.__func__(cls)
        status, _, body = BUCKET.call("PUT", "", headers=[("x-amz-bucket-object-lock-enabled", "true")])
        assert status == 200, body
        config = json.loads(CONFIG.read_text())
        config["targets"] = [{**config["targets"][0], "locked": "30d"}]
        CONFIG.write_text(json.dumps(config))
        scenarios.Backups.sonarr(cls, ["pilot"]).close()
        backup("run")
        cls.repository = repository(config)

    def info(self):
        return json.loads(self.repository.kopia("maintenance", "info", "--json").stdout)

    def ran(self, name):
        """How often a part of it has been done."""
        return len(self.info()["schedule"]["runs"].get(name) or [])

    def assertRenewed(self, before):
        after = locked_until()
        self.assertLessEqual(set(before), set(after))
        for name, until in before.items():
            self.assertGreater(after[name], until, name)

    def test_1_it_is_the_boxs_own_and_renews_locks(self):
        info = self.info()
        # Only its owner's runs do it: with the name of a machine it would be nobody's on the next one.
        self.assertEqual(info["owner"], "box@keeper")
        self.assertIs(info["extendObjectLocks"], True)
        self.assertTrue(info["full"]["enabled"] and info["quick"]["enabled"], info)
        # A lock must not end between two of them.
        self.assertLess(info["full"]["interval"], 2 * DAY)

    def test_2_a_full_one_renews_every_lock(self):
        before = locked_until()
        self.assertGreater(len(before), 2)
        time.sleep(1.1)  # Locks end at a second.
        self.repository.kopia("maintenance", "run", "--full")
        self.assertRenewed(before)

    def test_3_a_backup_of_the_boxs_does_it_when_it_is_time(self):
        before, runs = locked_until(), self.ran("extend-blob-retention-time")
        backup("run")
        self.assertEqual(self.ran("extend-blob-retention-time"), runs, "the test is no test")
        self.repository.kopia("maintenance", "set", "--full-interval=1s")
        self.repository.kopia("maintenance", "set", "--pause-full=1s")
        time.sleep(2.1)
        backup("run")
        self.assertGreater(self.ran("extend-blob-retention-time"), runs)
        self.assertRenewed(before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
