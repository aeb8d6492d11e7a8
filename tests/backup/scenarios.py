"""What a backup must do, on the box's own root filesystem; see on_box.py, which makes the surroundings."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import unittest

BACKUP = "/usr/lib/boxwright/backup"
STATE, RUN = pathlib.Path("/srv/state"), pathlib.Path("/run/boxwright")
SECRETS = RUN / "secrets/box"
PASSWORD, KEY_ID, SECRET_KEY = "correct horse battery staple", "AKIDCANARY", "s3cret-canary-value"
CALLS, KOPIA = pathlib.Path("/run/calls"), pathlib.Path("/run/kopia-calls")
CUT, CUT_HERE = pathlib.Path("/run/cut-at"), pathlib.Path("/run/kopia-calls/cut-here")
DISK = pathlib.Path("/srv/vault/backups")
# There while nextcloud is in its maintenance mode; and the note of that.
MODE, NOTE = STATE / "nextcloud/html/config/maintenance", STATE / ".backup/paused/nextcloud"
TIDY = "systemctl --no-block start boxwright-backup-tidy.service"
# Whom sonarr runs as, and nextcloud.
SONARR, NEXTCLOUD = 1000, 33


def run(*command, check=True, **options):
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if check and result.returncode:
        raise AssertionError(f"{command} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result


def backup(*words, check=True):
    return run(BACKUP, *words, check=check)


def write(path, text, uid=0, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.chown(path, uid, uid)
    path.chmod(mode)


def snapshots(service=None):
    return json.loads(backup("list", *([service] if service else []), "--json").stdout)


def surroundings():
    """What a box has by the time of its first backup."""
    bin_ = pathlib.Path("/var/lib/boxwright/bin")
    bin_.mkdir(parents=True, exist_ok=True)
    shutil.copy("/mnt/test/stand-ins/kopia", bin_ / "kopia")
    for name in ("docker", "systemctl"):
        # Before /usr/bin in the path of what is tested.
        shutil.copy(f"/mnt/test/stand-ins/{name}", f"/usr/sbin/{name}")
    KOPIA.mkdir(mode=0o777)
    KOPIA.chmod(0o777)
    for name, value in (("password", PASSWORD), ("boxes-key-id", KEY_ID), ("boxes-secret-key", SECRET_KEY)):
        write(SECRETS / f"backup-{name}", value, mode=0o400)
    write(STATE / ".secrets/sonarr.api-key", "made on the box", mode=0o600)
    write(pathlib.Path("/var/lib/boxwright/ssh/ssh_host_ed25519_key"), "host key", mode=0o600)


def server(*flags):
    """The S3 server, with a certificate that the box trusts."""
    folder = pathlib.Path("/run/s3")
    (folder / "data/boxes").mkdir(parents=True)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=s3.test", "-addext", "subjectAltName=DNS:s3.test", "-keyout", folder / "key", "-out", folder / "crt")
    with open("/etc/ssl/certs/ca-certificates.crt", "a", encoding="utf-8") as bundle:
        bundle.write((folder / "crt").read_text())
    with open("/etc/hosts", "a", encoding="utf-8") as hosts:
        hosts.write("127.0.0.1 s3.test\n")
    env = {**os.environ, "ROOT_ACCESS_KEY": KEY_ID, "ROOT_SECRET_KEY": SECRET_KEY}
    return lambda: subprocess.Popen(
        ["/mnt/tools/s3", "--port", "127.0.0.1:9000", "--cert", folder / "crt", "--key", folder / "key",
         "posix", *(flags or ["--nometa"]), folder / "data"],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )


def answers(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Backups(unittest.TestCase):
    """In the order of their names: what one leaves is what the next begins with."""

    @classmethod
    def setUpClass(cls):
        surroundings()
        cls.start_server = staticmethod(server())
        cls.s3 = cls.up()

    @classmethod
    def up(cls):
        process = cls.start_server()
        deadline = time.monotonic() + 60
        while not answers(9000):
            assert process.poll() is None and time.monotonic() < deadline, "the S3 server does not start"
            time.sleep(0.1)
        return process

    def problem(self):
        path = RUN / "problems/backup"
        return path.read_text() if path.exists() else None

    def sonarr(self, episodes):
        """A database with rows in its journal only, which is held open as the application does."""
        path = STATE / "sonarr/config/sonarr.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(STATE / "sonarr").chmod(0o711)
        database = sqlite3.connect(path)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        database.execute("CREATE TABLE IF NOT EXISTS episodes (title TEXT)")
        database.executemany("INSERT INTO episodes VALUES (?)", [(title,) for title in episodes])
        database.commit()
        for one in [path.parent, *path.parent.iterdir()]:
            os.chown(one, SONARR, SONARR)
        return database

    def rows(self):
        with contextlib.closing(sqlite3.connect(STATE / "sonarr/config/sonarr.db")) as database:
            return [title for (title,) in database.execute("SELECT title FROM episodes")]

    def test_01_a_first_backup_makes_both_repositories(self):
        type(self).database = self.sonarr(["pilot"])
        write(STATE / "sonarr/config/config.xml", "<key/>", SONARR, 0o600)
        write(STATE / "sonarr/config/logs/sonarr.txt", "noise", SONARR)
        write(STATE / "nextcloud/html/config/config.php", "<?php", NEXTCLOUD, 0o640)
        (STATE / "nextcloud/html").chmod(0o750)
        os.chown(STATE / "nextcloud/html", NEXTCLOUD, NEXTCLOUD)
        write(STATE / "nextcloud/html/version.php", "<?php // 34.0.4", NEXTCLOUD)
        write(STATE / "nextcloud/data/nathan/files/a.txt", "a", NEXTCLOUD)
        pathlib.Path("/run/database").write_text("rows of monday")
        said = backup("run").stdout
        self.assertIn("boxes: a new repository was made", said)
        self.assertIn("vault: a new repository was made", said)
        self.assertIn("uptime-kuma: it has never run", said)
        self.assertIsNone(self.problem())
        found = {(one["target"], one["name"]) for one in snapshots()}
        names = ("box", "nextcloud", "sonarr")
        self.assertEqual(found, {(target, name) for target in ("boxes", "vault") for name in names})
        self.assertTrue(json.loads((STATE / ".backup/last.json").read_text())["complete"])
        self.assertTrue((pathlib.Path("/run/s3/data/boxes/keeper")).is_dir(), "the prefix is not a folder")

    def test_02_nothing_secret_is_an_argument_and_nothing_is_left_behind(self):
        arguments = (KOPIA / "arguments").read_text()
        for value in (PASSWORD, KEY_ID, SECRET_KEY):
            self.assertNotIn(value, arguments)
        self.assertFalse((STATE / ".backup/work/sonarr").exists())
        # The access keys are in memory only, and the repository on the disk is the program's own.
        for path in pathlib.Path("/srv").rglob("*"):
            if path.is_file():
                self.assertNotIn(SECRET_KEY.encode(), path.read_bytes(), path)
        status = DISK.stat()
        self.assertEqual((status.st_uid, status.st_mode & 0o777), (64080, 0o700))

    def test_03_the_bulk_goes_before_the_application_is_paused(self):
        paused = [line for line in (KOPIA / "in-maintenance").read_text().splitlines() if "snapshot create" in line]
        created = [line for line in (KOPIA / "arguments").read_text().splitlines() if "snapshot create" in line and "nextcloud" in line]
        self.assertEqual((len(paused), len(created)), (2, 4))
        # The first pass is no backup, and takes no backup's place.
        deleted = [line for line in (KOPIA / "arguments").read_text().splitlines() if "snapshot delete" in line]
        self.assertEqual(len(deleted), 2)
        self.assertFalse(MODE.exists() or NOTE.exists())

    def test_03a_what_is_read_cannot_be_written_to(self):
        shown = [line.split() for line in (KOPIA / "view").read_text().splitlines()]
        below = {path.removeprefix("/run/boxwright/backup/view/"): set(options.split(",")) for path, options in shown}
        folders = {name for name in below if "/" not in name}
        self.assertEqual(folders, {"box", "nextcloud", "sonarr"})
        # What is bound into them: folders of services, the copy of a database, a dump, and the box's own.
        expected = {"box/secrets", "box/ssh", "sonarr/config", "sonarr/config/sonarr.db", "nextcloud/data"}
        expected.add("nextcloud/.dumps/nextcloud.pgdump")
        self.assertLessEqual(expected, set(below))
        for name in set(below) - folders:
            self.assertLessEqual({"ro", "nosuid", "nodev", "noexec"}, below[name], name)

    def test_04_a_service_comes_back_as_it_was(self):
        config = STATE / "sonarr/config"
        type(self).database.close()
        write(config / "config.xml", "spoilt", 0, 0o644)
        for path in config.glob("sonarr.db*"):
            path.unlink()
        CALLS.unlink(missing_ok=True)
        said = backup("restore", "sonarr").stdout
        self.assertIn("started again", said)
        self.assertEqual(self.rows(), ["pilot"])
        xml = (config / "config.xml").stat()
        self.assertEqual(((config / "config.xml").read_text(), xml.st_uid, xml.st_mode & 0o777), ("<key/>", SONARR, 0o600))
        self.assertEqual((config / "sonarr.db").stat().st_uid, SONARR)
        self.assertFalse((config / "logs/sonarr.txt").exists(), "what is excluded was restored")
        self.assertFalse(list(config.glob("*-wal")))
        self.assertEqual(
            [line for line in CALLS.read_text().splitlines() if line.startswith("systemctl")],
            ["systemctl stop boxwright-service-sonarr.service", "systemctl start boxwright-service-sonarr.service", TIDY],
        )
        aside = list((STATE / ".replaced").glob("sonarr-*"))
        self.assertEqual((aside[0] / "config/config.xml").read_text(), "spoilt")
        self.assertFalse((STATE / ".restore/sonarr").exists())

    def test_05_a_database_whose_file_looks_the_same_is_read_again(self):
        database = self.sonarr([])
        path = STATE / "sonarr/config/sonarr.db"
        backup("run", "sonarr")
        before = path.stat()
        database.execute("UPDATE episodes SET title = 'PILOT'")
        database.commit()
        after = path.stat()
        self.assertEqual((before.st_mtime_ns, before.st_size), (after.st_mtime_ns, after.st_size), "the test is no test")
        backup("run", "sonarr")
        database.close()
        backup("restore", "sonarr", "--path", "config/sonarr.db")
        self.assertEqual(self.rows(), ["PILOT"])

    def test_06_one_path_from_an_earlier_backup(self):
        write(STATE / "sonarr/config/config.xml", "<newer/>", SONARR)
        backup("run", "sonarr")
        first = min(snapshots("sonarr"), key=lambda one: one["time"])
        backup("restore", "sonarr", "--path", "config/config.xml", "--at", first["id"])
        self.assertEqual((STATE / "sonarr/config/config.xml").read_text(), "<key/>")
        early = backup("restore", "sonarr", "--at", "2001-01-01", check=False)
        self.assertIn("there is no backup of sonarr before 2001-01-01", early.stderr)
        outside = backup("restore", "sonarr", "--path", "../nextcloud/data", check=False)
        self.assertIn("is not below /srv/state/sonarr", outside.stderr)
        unkept = backup("restore", "sonarr", "--path", "other", check=False)
        self.assertIn("is no part of the backups of sonarr: they have config", unkept.stderr)

    def test_07_a_servers_database_is_loaded(self):
        pathlib.Path("/run/database").write_text("rows of tuesday")
        write(STATE / "nextcloud/data/nathan/files/a.txt", "newer", NEXTCLOUD)
        shutil.rmtree(STATE / "nextcloud/html")
        said = backup("restore", "nextcloud").stdout
        self.assertIn("nextcloud.pgdump is loaded into db", said)
        self.assertEqual(pathlib.Path("/run/database").read_text(), "rows of monday")
        self.assertEqual((STATE / "nextcloud/data/nathan/files/a.txt").read_text(), "a")
        html = (STATE / "nextcloud/html").stat()
        self.assertEqual((html.st_uid, html.st_mode & 0o777), (NEXTCLOUD, 0o750))
        # Without it, the image would install itself beside the database.
        self.assertEqual((STATE / "nextcloud/html/version.php").read_text(), "<?php // 34.0.4")
        dump = next((STATE / ".replaced").glob("nextcloud-*")) / ".dumps/nextcloud.pgdump"
        self.assertEqual((dump.read_text(), dump.stat().st_mode & 0o777), ("rows of tuesday", 0o600))
        self.assertIn(f"what was there before is in {dump.parent.parent}", said)

    def test_07a_folders_above_a_path_come_back_as_they_were(self):
        config = STATE / "plex/config"
        write(config / "Library/Application Support/Plex Media Server/Preferences.xml", "<p/>", SONARR)
        os.chown(config, SONARR, SONARR)
        config.chmod(0o750)
        backup("run", "plex")
        shutil.rmtree(config)
        backup("restore", "plex")
        status = config.stat()
        self.assertEqual((status.st_uid, status.st_mode & 0o777), (SONARR, 0o750))
        self.assertTrue((config / "Library/Application Support/Plex Media Server/Preferences.xml").exists())
        shutil.rmtree(STATE / "plex")

    def test_07b_the_mode_that_a_backup_was_made_in_is_ended(self):
        for words in ([], ["--path", "html/config"]):
            with self.subTest(words):
                CALLS.unlink()
                backup("restore", "nextcloud", *words)
                self.assertTrue(MODE.exists(), "the test is no test")
                calls = CALLS.read_text().splitlines()
                self.assertEqual(calls[-2:], ["systemctl start boxwright-service-nextcloud.service", TIDY])
                pathlib.Path("/run/stopped").mkdir(exist_ok=True)
                pathlib.Path("/run/stopped/nextcloud").touch()
                self.assertEqual(backup("tidy", check=False).returncode, 1, "it is not tried again")
                pathlib.Path("/run/stopped/nextcloud").unlink()
                backup("tidy")
                self.assertFalse(MODE.exists() or NOTE.exists())

    def test_07c_the_mode_ends_too_where_the_power_failed_before_the_service_was_started(self):
        CUT.write_text("systemctl start boxwright-service-nextcloud")
        process = subprocess.Popen([BACKUP, "restore", "nextcloud"], stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            deadline = time.monotonic() + 60
            while not CUT_HERE.exists():
                self.assertLess(time.monotonic(), deadline, "it never came to that")
                time.sleep(0.1)
        finally:
            CUT.unlink()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            CUT_HERE.unlink(missing_ok=True)
        self.assertTrue(MODE.exists(), "the test is no test")
        backup("tidy")
        self.assertFalse(MODE.exists())

    def test_08_what_cannot_be_loaded_changes_nothing(self):
        write(STATE / "nextcloud/data/nathan/files/a.txt", "kept", NEXTCLOUD)
        pathlib.Path("/run/database").write_text("rows of wednesday")
        aside = set((STATE / ".replaced").iterdir())
        for broken, sentence in (
            ("database", "what is in db now cannot be kept, so nothing was changed: `pg_dump` in nextcloud-db failed: pg_dump: error: "
                         "connection to server failed; if that database is broken, move /srv/state/nextcloud/db away and restore again"),
            ("load", "`pg_restore` in nextcloud-db failed: pg_restore: error: could not execute query"),
        ):
            pathlib.Path(f"/run/{broken}-broken").touch()
            try:
                result = backup("restore", "nextcloud", check=False)
            finally:
                pathlib.Path(f"/run/{broken}-broken").unlink()
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(sentence, result.stderr)
            self.assertEqual((STATE / "nextcloud/data/nathan/files/a.txt").read_text(), "kept")
            self.assertEqual(pathlib.Path("/run/database").read_text(), "rows of wednesday")
            self.assertEqual(set((STATE / ".replaced").iterdir()) == aside, broken == "database")

    def test_09_what_fails_is_said_and_the_rest_is_backed_up(self):
        pathlib.Path("/run/database-broken").touch()
        try:
            result = backup("run", check=False)
        finally:
            pathlib.Path("/run/database-broken").unlink()
        self.assertEqual(result.returncode, 1)
        self.assertIn("the last backup is not complete: nextcloud: `pg_dump` in nextcloud-db failed", self.problem())
        last = json.loads((STATE / ".backup/last.json").read_text())
        self.assertIn("boxes", last["services"]["sonarr"])
        self.assertLess(last["complete"], last["end"] + 1)
        self.assertFalse(MODE.exists())
        backup("run")
        self.assertIsNone(self.problem())

    def test_09a_a_file_that_goes_while_it_is_looked_at_costs_no_backup(self):
        before = {one["id"] for one in snapshots("sonarr")}
        (KOPIA / "gone").touch()
        said = backup("run", "sonarr").stdout
        self.assertIn("no such file; it is tried again", said)
        self.assertEqual(len({one["id"] for one in snapshots("sonarr")} - before), 2)

    def test_10_a_target_that_is_away_does_not_keep_the_other_from_its_backup(self):
        type(self).s3.kill()
        type(self).s3.wait()
        try:
            before = self.on_disk()
            result = backup("run", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("boxes: its server refuses the connection", self.problem())
            self.assertEqual(len(self.on_disk() - before), 1)
            said = backup("restore", "sonarr", "--path", "config/config.xml").stdout
            self.assertIn("boxes: its server refuses the connection", said)
        finally:
            type(self).s3 = self.up()

    def on_disk(self):
        """Sonarr's backups that are on the disk, while the other target is away."""
        result = backup("list", "sonarr", "--json", check=False)
        self.assertNotEqual(result.returncode, 0)
        return {one["id"] for one in json.loads(result.stdout) if one["target"] == "vault"}

    def test_11_a_wrong_password_makes_no_second_repository(self):
        (SECRETS / "backup-password").unlink()
        write(SECRETS / "backup-password", "another", mode=0o400)
        try:
            result = backup("run", check=False)
        finally:
            write(SECRETS / "backup-password", PASSWORD, mode=0o400)
        self.assertEqual(result.returncode, 1)
        self.assertIn("the password is not the one that this repository was made with", self.problem())
        self.assertGreater(len(snapshots("sonarr")), 3)

    def test_12_no_password_no_backup(self):
        (SECRETS / "backup-password").rename(SECRETS / "aside")
        try:
            self.assertEqual(backup("run", check=False).returncode, 1)
        finally:
            (SECRETS / "aside").rename(SECRETS / "backup-password")
        self.assertIn("the secret box/backup-password is missing", self.problem())

    def test_13_links_that_a_service_made_are_not_followed(self):
        html = STATE / "nextcloud/html"
        html.rename(html.with_name("aside"))
        html.symlink_to("/etc")
        (STATE / "sonarr/config/evil.db").symlink_to("/etc/shadow")
        try:
            result = backup("run", check=False)
        finally:
            html.unlink()
            html.with_name("aside").rename(html)
            (STATE / "sonarr/config/evil.db").unlink()
        self.assertIn("nextcloud: /srv/state/nextcloud/html is a link, or below one: it is not followed", result.stdout)
        self.assertIn("sonarr: /srv/state/sonarr/config/evil.db is a link, or below one: it is not followed", result.stdout)

    def test_13a_what_is_in_the_place_of_a_repository_is_left_alone(self):
        aside = DISK.with_name("aside")
        DISK.rename(aside)
        before = os.stat("/etc")
        try:
            DISK.symlink_to("/etc")
            link = backup("run", "sonarr", check=False)
            DISK.unlink()
            DISK.mkdir()
            folder = backup("run", "sonarr", check=False)
            DISK.rmdir()
            fresh = backup("run", "sonarr", check=False)
            shutil.rmtree(DISK)
        finally:
            aside.rename(DISK)
        after = os.stat("/etc")
        self.assertEqual((before.st_uid, before.st_mode), (after.st_uid, after.st_mode))
        self.assertIn("vault: /srv/vault/backups cannot be used for backups", link.stdout)
        self.assertIn("vault: /srv/vault/backups is not the backups' own", folder.stdout)
        self.assertIn("vault: what was kept there is gone, and a new repository was begun", fresh.stdout)

    def test_13b_the_boxs_own_passwords_and_keys(self):
        key = pathlib.Path("/var/lib/boxwright/ssh/ssh_host_ed25519_key")
        write(key, "another", mode=0o600)
        (STATE / ".secrets/sonarr.api-key").unlink()
        backup("restore", "box")
        self.assertEqual((key.read_text(), key.stat().st_mode & 0o777), ("host key", 0o600))
        self.assertEqual((STATE / ".secrets/sonarr.api-key").read_text(), "made on the box")

    def test_13ba_a_box_that_has_made_no_password_yet_has_backups_too(self):
        secrets = STATE / ".secrets"
        secrets.rename(STATE / "secrets-aside")
        backup("run")
        self.assertIsNone(self.problem())
        self.assertEqual((secrets.stat().st_mode & 0o777, list(secrets.iterdir())), (0o700, []))
        secrets.rmdir()
        backup("restore", "box")
        self.assertEqual(secrets.stat().st_mode & 0o777, 0o700)
        secrets.rmdir()
        (STATE / "secrets-aside").rename(secrets)
        backup("run")

    def test_13bb_what_was_fetched_of_another_backup_is_no_part_of_this_one(self):
        for of in (None, "another \n"):
            write(STATE / ".restore/sonarr/config/litter", "litter", SONARR)
            if of:
                write(STATE / ".restore/.sonarr.of", of)
            backup("restore", "sonarr")
            self.assertFalse((STATE / "sonarr/config/litter").exists())
            self.assertFalse((STATE / ".restore/sonarr").exists() or (STATE / ".restore/.sonarr.of").exists())

    def test_13c_a_file_in_a_folder_that_is_gone(self):
        write(STATE / "sonarr/config/Backups/one.zip", "zip", SONARR)
        for up in (STATE / "sonarr/config/Backups", STATE / "sonarr/config"):
            os.chown(up, SONARR, SONARR)
        backup("run", "sonarr")
        shutil.rmtree(STATE / "sonarr/config/Backups")
        backup("restore", "sonarr", "--path", "config/Backups/one.zip")
        folder = (STATE / "sonarr/config/Backups").stat()
        self.assertEqual(folder.st_uid, SONARR)
        self.assertEqual((STATE / "sonarr/config/Backups/one.zip").read_text(), "zip")

    def test_14_a_broken_database_is_backed_up_as_it_lies_there_and_told(self):
        write(STATE / "sonarr/config/old.db", "this was never a database, and is longer than one header" * 40, SONARR)
        try:
            result = backup("run", "sonarr", check=False)
        finally:
            (STATE / "sonarr/config/old.db").unlink()
        self.assertEqual(result.returncode, 1)
        self.assertIn("config/old.db was not copied as a database but as it lay there: file is not a database", result.stdout)
        backup("restore", "sonarr", "--path", "config/old.db")
        self.assertIn("never a database", (STATE / "sonarr/config/old.db").read_text())
        (STATE / "sonarr/config/old.db").unlink()

    def test_15_a_run_that_is_cut_short_leaves_no_application_paused(self):
        pathlib.Path("/run/cut-short").touch()
        process = subprocess.Popen([BACKUP, "run"], stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 120
        while not MODE.exists():
            self.assertLess(time.monotonic(), deadline, "it never came to that")
            time.sleep(0.1)
        busy = backup("run", check=False)
        self.assertIn("another backup or restore is running", busy.stderr)
        self.assertEqual(backup("tidy", check=False).returncode, 1, "it is not tried again")
        self.assertTrue(MODE.exists(), "a run that goes on was tidied away")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        pathlib.Path("/run/cut-short").unlink()
        self.assertTrue(MODE.exists(), "the test is no test")
        backup("tidy")
        self.assertFalse(MODE.exists())
        self.assertFalse((STATE / ".backup/work").exists())
        self.assertEqual(run("findmnt", "--noheadings", "/run/boxwright/backup/view/nextcloud", check=False).stdout, "")
        backup("run")

    def test_16_another_machine_under_the_same_name_has_the_same_backups(self):
        before = snapshots()
        run("hostname", "another")
        for path in ("/srv/state/kopia", "/run/boxwright/backup"):
            shutil.rmtree(path)
        self.assertEqual(snapshots(), before)
        shutil.rmtree(STATE / "sonarr")
        backup("restore", "sonarr")
        self.assertTrue((STATE / "sonarr/config/config.xml").exists())

    def test_16a_another_password(self):
        program = pathlib.Path("/usr/lib/boxwright/rotation/backup-password")
        given = {"former": PASSWORD, "value": "another canary of a password"}

        def rotate(verb, given=given):
            return run(program, verb, input=json.dumps(given), check=False)

        before = snapshots()
        type(self).s3.kill()
        type(self).s3.wait()
        try:
            result = rotate("check")
            self.assertEqual(result.returncode, 1)
            self.assertIn("one cannot be reached: boxes: its server refuses the connection", result.stderr)
            # As if it went away between the check and the change: the other target gets it.
            self.assertIn("boxes: its server refuses the connection", rotate("apply").stderr)
        finally:
            type(self).s3 = self.up()
        self.assertIn("the password is not the one", rotate("check").stderr)
        for _ in range(2):
            result = rotate("apply")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(backup("run", check=False).returncode, 1)
        self.assertIn("the password is not the one", self.problem())
        (SECRETS / "backup-password").unlink()
        write(SECRETS / "backup-password", given["value"], mode=0o400)
        self.assertLessEqual({one["id"] for one in before}, {one["id"] for one in snapshots()})
        backup("run")
        # And back, by the same way.
        self.assertEqual(rotate("check", {"former": given["value"], "value": PASSWORD}).returncode, 0)
        self.assertEqual(rotate("apply", {"former": given["value"], "value": PASSWORD}).returncode, 0)
        (SECRETS / "backup-password").unlink()
        write(SECRETS / "backup-password", PASSWORD, mode=0o400)
        backup("run")

    def test_17_only_so_many_are_kept(self):
        for target in ("boxes", "vault"):
            mine = [one for one in snapshots("sonarr") if one["target"] == target]
            # All are of today, which is one of three days and two weeks; and the latest three are kept in any case.
            self.assertEqual(len(mine), 3, mine)

    def test_18_damage_is_found(self):
        # Kopia's packs of contents and of folders.
        blobs = [path for path in DISK.rglob("*.f") if path.relative_to(DISK).parts[0][0] in "pq"]
        self.assertTrue(blobs)
        for path in blobs:
            # All of it: some of a pack means nothing any more.
            path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
        for path in (STATE / "kopia").iterdir():
            shutil.rmtree(path)
        self.assertEqual(backup("run", check=False).returncode, 1)
        self.assertIn("vault", self.problem())


if __name__ == "__main__":
    unittest.main(verbosity=2)
