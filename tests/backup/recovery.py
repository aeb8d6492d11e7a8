"""What a new disk must do that is to bring back what another one kept; see on_box.py, which makes the surroundings.

The S3 server has object lock. A start of the box is its `handover.place`, and then `backup recover`, as its units do it.
"""

import contextlib
import http.server
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import unittest
from unittest import mock

import scenarios
from scenarios import BACKUP, CUT, CUT_HERE, MODE, NEXTCLOUD, PASSWORD, RUN, SECRETS, SONARR, STATE, backup, run, write

sys.path.insert(0, "/usr/lib/boxwright")
import handover  # noqa: E402 (found by the line above)
import s3  # noqa: E402 (found by the line above)
import units  # noqa: E402 (found by the line above)
from backups import incarnation  # noqa: E402 (found by the line above)
from services import config as services_config  # noqa: E402 (found by the line above)
from services import watch  # noqa: E402 (found by the line above)

BOX = pathlib.Path("/var/lib/boxwright")
CONFIG = pathlib.Path("/etc/boxwright/backup.json")
CALLS, SAID = pathlib.Path("/run/calls"), pathlib.Path("/run/said")
KEYS = {"key-id": scenarios.KEY_ID, "secret-key": scenarios.SECRET_KEY}
OLD, NEW = 1_790_000_000, 1_790_500_000
BULK = os.urandom(12 << 20)


def bucket(name):
    return s3.Bucket("s3.test:9000", name, KEYS)


def target(**changes):
    """The profile's bucket alone, with something changed."""
    config = json.loads(CONFIG.read_text())
    config["targets"] = [{**config["targets"][0], "locked": "30d", **changes}]
    CONFIG.write_text(json.dumps(config))


def start(**told):
    """What the box does before its services: takes what it was told, and holds back what must not start."""
    shutil.rmtree(handover.HELD, ignore_errors=True)
    for path in (RUN / "restore.json", CALLS, SAID, RUN / "problems/restore"):
        path.unlink(missing_ok=True)
    CALLS.touch()
    if told:
        handover.take(told)
    handover.place()


def new_disk(size=None):
    """Nothing is left but the programs and what the box makes at its first start."""
    if os.path.ismount(STATE):
        run("umount", STATE)
    run("mount", "-t", "tmpfs", "-o", f"mode=0755{',size=' + size if size else ''}", "tmpfs", STATE)
    for path in (BOX / "ssh", handover.KEPT, handover.SUPERSEDED):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    write(STATE / ".secrets/sonarr.api-key", "another one", mode=0o600)
    write(BOX / "ssh/ssh_host_ed25519_key", "another key", mode=0o600)
    pathlib.Path("/run/database").unlink(missing_ok=True)
    shutil.rmtree("/run/boxwright/backup", ignore_errors=True)


def recovering():
    return subprocess.Popen([BACKUP, "recover"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)


def shown():
    try:
        return json.loads((RUN / "restore.json").read_text())["text"]
    except (OSError, ValueError):
        return ""


def cut(process):
    """Takes the power away; what was being written is there or not."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


class Recovery(unittest.TestCase):
    """In the order of their names: what one leaves is what the next begins with."""

    @classmethod
    def setUpClass(cls):
        scenarios.surroundings()
        pathlib.Path("/usr/lib/boxwright/say").write_text("#!/bin/sh\necho \"$*\" >>/run/said\n")
        for name in ("nextcloud", "sonarr"):
            write(RUN / "images" / name, "")
        for name in ("versions", "sidecar"):
            pathlib.Path("/run/s3", name).mkdir(parents=True)
        cls.start_server = staticmethod(scenarios.server("--versioning-dir", "/run/s3/versions"))
        shutil.rmtree("/run/s3/data/boxes")
        cls.s3 = scenarios.Backups.up.__func__(cls)
        for name, lock in (("boxes", "true"), ("open", "false"), ("empty", "true")):
            status, _, body = bucket(name).call("PUT", "", headers=[("x-amz-bucket-object-lock-enabled", lock)])
            assert status == 200, body
        target()

    def stop_server(self):
        type(self).s3.kill()
        type(self).s3.wait()

    def until(self, wanted, process=None):
        deadline = time.monotonic() + 90
        while not wanted():
            if process and process.poll() is not None:
                self.fail(f"it ended: {process.communicate()[1]}")
            self.assertLess(time.monotonic(), deadline, f"it says {shown()!r}")
            time.sleep(0.05)

    def cut_at(self, moment, process):
        """Takes the power away when it comes to that."""
        CUT.write_text(moment)
        CUT_HERE.unlink(missing_ok=True)
        try:
            self.until(CUT_HERE.exists, process)
        finally:
            CUT.unlink()
            cut(process)

    def ends(self, process):
        _, said = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, said)

    def assertHeld(self):
        """What the units of the services look at."""
        handover.place()
        self.assertIn("being restored", handover.held("services") or "")
        self.assertNotIn("start boxwright-services.target", CALLS.read_text())

    def assertBack(self, rows=("pilot", "finale"), database="rows of monday"):
        with contextlib.closing(sqlite3.connect(STATE / "sonarr/config/sonarr.db")) as base:
            self.assertEqual([title for (title,) in base.execute("SELECT title FROM episodes")], list(rows))
        self.assertEqual((STATE / "sonarr/config/bulk").read_bytes(), BULK)
        self.assertEqual((STATE / "sonarr/config/bulk").stat().st_uid, SONARR)
        self.assertEqual((STATE / "nextcloud/data/nathan/files/a.txt").read_text(), "a")
        self.assertEqual(pathlib.Path("/run/database").read_text(), database)
        self.assertEqual((STATE / ".secrets/sonarr.api-key").read_text(), "made on the box")
        self.assertEqual((BOX / "ssh/ssh_host_ed25519_key").read_text(), "host key")
        self.assertFalse(handover.RESTORING.exists())
        self.assertIsNone(handover.held("services"))
        self.assertIn("systemctl --no-block start boxwright-services.target", CALLS.read_text())
        self.assertEqual(list((STATE / ".restore").iterdir()), [])
        # The mode that its backup was made in, which the box ends once the service runs; also in a rehearsal.
        self.assertTrue(MODE.exists(), "the test is no test")
        self.assertRegex(CALLS.read_text(), "systemctl --no-block start .*boxwright-backup-tidy.service")
        backup("tidy")
        self.assertFalse(MODE.exists())

    def newest(self):
        return max(one["incarnation"] or 0 for one in json.loads(backup("list", "--json").stdout))

    def test_01_a_box_writes_backups_that_it_cannot_delete(self):
        start(incarnation=OLD)
        database = scenarios.Backups.sonarr(self, ["pilot"])
        write(STATE / "sonarr/config/bulk", "", SONARR)
        (STATE / "sonarr/config/bulk").write_bytes(BULK)
        write(STATE / "nextcloud/html/config/config.php", "<?php", NEXTCLOUD)
        write(STATE / "nextcloud/data/nathan/files/a.txt", "a", NEXTCLOUD)
        pathlib.Path("/run/database").write_text("rows of monday")
        backup("run")
        self.assertFalse((RUN / "problems/backup").exists())
        type(self).first = json.loads(backup("list", "sonarr", "--json").stdout)[0]
        time.sleep(1.1)  # Kopia's times, and so the order of snapshots, are in seconds here.
        database.execute("INSERT INTO episodes VALUES ('finale')")
        database.commit()
        database.close()
        backup("run")
        self.assertEqual(self.newest(), OLD)
        shown = [path for path in pathlib.Path("/run/s3/data/boxes/keeper").iterdir() if path.name.startswith(("p", "q"))]
        for path in shown:
            versions = [("versionId", self.version(f"keeper/{path.name}"))]
            status, _, body = bucket("boxes").call("DELETE", f"keeper/{path.name}", versions)
            self.assertEqual(status, 403, body)
        self.assertTrue(shown)

    def version(self, key):
        return {name.lower(): value for name, value in bucket("boxes").call("HEAD", key)[1].items()}["x-amz-version-id"]

    def test_02_a_lock_that_does_not_hold_is_told(self):
        try:
            target(s3="open")
            first = backup("run", check=False)
        finally:
            target(s3="boxes")
        self.assertEqual(first.returncode, 1)
        self.assertRegex(first.stdout + first.stderr, "(?i)object lock")
        # A server that takes the words of a lock and does not heed them.
        said = self.guarded(lambda verb, path: 200 if verb in ("PUT", "HEAD") else 204)
        self.assertEqual(said, {"wrong": "a locked object could be deleted: the lock does not hold"})
        said = self.guarded(lambda verb, path: 403 if verb == "DELETE" else 200)
        self.assertEqual(said, {"wrong": "what is kept there is not locked"})
        said = self.guarded(lambda verb, path: 403 if verb == "PUT" else 200)
        self.assertIn("nothing can be locked there: its server answered 403", said["wrong"])

    def guarded(self, answer):
        """What the program says of a server that answers so."""
        class Server(http.server.BaseHTTPRequestHandler):
            def answer(self):
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(answer(self.command, self.path))
                self.send_header("x-amz-version-id", "one")
                self.send_header("content-length", "0")
                self.end_headers()

            do_PUT = do_DELETE = do_HEAD = answer

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Server)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("/run/s3/crt", "/run/s3/key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        config = json.loads(CONFIG.read_text())
        request = {
            "box": "keeper", "run": "/run/guard", "cache": "/run/guard", "password": PASSWORD, "keys": KEYS,
            "target": {**config["targets"][0], "endpoint": f"s3.test:{server.server_port}"},
        }
        pathlib.Path("/run/guard").mkdir(exist_ok=True)
        try:
            said = run("/etc/boxwright/services/kopia/repository", "guard", input=json.dumps(request)).stdout
        finally:
            server.shutdown()
        return json.loads(said)

    def test_03_sizes_are_known_before_the_first_backup(self):
        said = backup("sizes").stdout
        self.assertRegex(said, r"sonarr +12\.[0-9] MB")
        self.assertIn("nextcloud.pgdump of nextcloud", said)

    def test_03b_a_snapshot_stands_for_its_night_and_a_time_for_all_before(self):
        new_disk()
        start(incarnation=OLD + 1, restore=self.first["id"])
        self.ends(recovering())
        self.assertBack(rows=["pilot"])
        new_disk()
        start(incarnation=OLD + 1, restore="2001-01-01")
        process = recovering()
        self.until(lambda: "there is no backup as of 2001-01-01" in shown(), process)
        self.assertHeld()
        cut(process)

    def test_04_the_repository_is_waited_for_and_then_everything_is_back(self):
        self.stop_server()
        new_disk()
        start(incarnation=NEW, restore="latest")
        process = recovering()
        self.until(lambda: "refuses the connection" in shown(), process)
        self.assertHeld()
        self.assertIn("nothing starts until the backup is restored: boxes: its server refuses", (RUN / "problems/restore").read_text())
        self.assertFalse(handover.RESTORING.exists() or (STATE / "sonarr").exists())
        status = run("box", "status").stdout
        self.assertIn("restore: waits: boxes: its server refuses the connection", status)
        self.assertIn("to begin without it: box restore --give-up", status)
        refused = backup("run", check=False)
        self.assertIn("no backup is written: its data is being restored", refused.stderr)
        type(self).s3 = scenarios.Backups.up.__func__(type(self))
        self.ends(process)
        self.assertBack()
        self.assertIn("restore: all of it is back", SAID.read_text())
        self.assertFalse((RUN / "problems/restore").exists() or (RUN / "restore.json").exists())
        self.assertEqual((handover.read(handover.KEPT)["incarnation"], handover.pending(handover.told())), (NEW, None))

    def test_05_the_disk_that_was_before_gives_way(self):
        handover.write(handover.KEPT, {"incarnation": OLD})
        start()
        backup("stand")
        calls = CALLS.read_text()
        self.assertIn("systemctl --no-block stop boxwright-ssh-tunnel.service", calls)
        self.assertIn("was flashed again, onto another disk", SAID.read_text())
        for name in ("tunnel", "backup"):
            self.assertIn("was flashed again", handover.held(name))
        self.assertIn("was flashed again", backup("run", check=False).stderr)
        start()
        self.assertIn("was flashed again", handover.held("tunnel"), "it is forgotten at the next start")
        self.assertIn("box take-over", (RUN / "problems/superseded").read_text())
        # A backup that begins before anybody has looked finds it out, too, and writes nothing.
        handover.SUPERSEDED.unlink()
        handover.place()
        before = len(json.loads(backup("list", "--json").stdout))
        self.assertIn("was flashed again", backup("run", check=False).stderr)
        self.assertEqual(len(json.loads(backup("list", "--json").stdout)), before)
        backup("take-over")
        self.assertIsNone(handover.held("tunnel"))
        backup("run")
        handover.write(handover.KEPT, {"incarnation": NEW})
        self.assertIn("was flashed again", backup("run", check=False).stderr)
        backup("take-over")

    def test_05a_a_target_that_swallows_what_it_is_sent_keeps_no_other_from_being_asked(self):
        config = CONFIG.read_text()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            target(endpoint=f"s3.test:{silent.getsockname()[1]}", name="silent")
            both = json.loads(CONFIG.read_text())
            both["targets"] += json.loads(config)["targets"]
            CONFIG.write_text(json.dumps(both))
            handover.write(handover.KEPT, {"incarnation": OLD})
            handover.SUPERSEDED.unlink(missing_ok=True)
            start()
            try:
                with mock.patch.object(incarnation, "PATIENCE", 4), contextlib.redirect_stdout(io.StringIO()) as said:
                    incarnation.stand()
            finally:
                CONFIG.write_text(config)
        self.assertIn("silent: it did not answer within 4 seconds", said.getvalue())
        self.assertIn("was flashed again", handover.held("tunnel"))

    def test_06_a_wrong_password_is_said_and_nothing_begins(self):
        new_disk()
        write(SECRETS / "backup-password", "another", mode=0o400)
        start(incarnation=2 * NEW, restore="latest")
        process = recovering()
        self.until(lambda: "the password is not the one" in shown(), process)
        self.assertHeld()
        self.assertEqual(sorted(path.name for path in STATE.iterdir()), [".secrets", "kopia"])
        write(SECRETS / "backup-password", PASSWORD, mode=0o400)
        self.ends(process)
        self.assertBack()

    def test_07_a_disk_that_is_too_small_is_refused_before_anything_is_written(self):
        new_disk("8m")
        start(incarnation=2 * NEW, restore="latest")
        process = recovering()
        self.until(lambda: "this disk has room for" in shown(), process)
        self.assertHeld()
        self.assertFalse(handover.RESTORING.exists() or (STATE / ".restore").exists())
        cut(process)

    def test_08_power_that_fails_at_any_moment_is_gone_on_after(self):
        for moment in (
            "kopia --no-progress repository connect", "kopia --no-progress restore", "systemctl start boxwright-secrets.service",
            "docker compose --progress plain --ansi never up", "docker exec --interactive", "docker compose --progress plain --ansi never down",
            "systemctl --no-block start boxwright-services.target",
        ):
            with self.subTest(moment):
                new_disk()
                start(incarnation=2 * NEW, restore="latest")
                self.cut_at(moment, recovering())
                last = moment.endswith("boxwright-services.target")
                done = handover.read(handover.RESTORING).get("done", [])
                handover.place()
                self.assertEqual(handover.held("services") is None, last)
                before = KOPIA_RESTORES()
                if not last:
                    self.ends(recovering())
                    self.assertEqual(KOPIA_RESTORES() - before, 3 - len(done), "what was in place is fetched again")
                self.assertBack()

    def test_09_power_that_fails_again_and_again(self):
        new_disk()
        start(incarnation=2 * NEW, restore="latest")
        tries, chosen = 0, None
        while handover.pending(handover.told()):
            tries += 1
            self.assertLess(tries, 60)
            shutil.rmtree("/run/boxwright/backup", ignore_errors=True)
            process = recovering()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.4 + 0.25 * tries)
            cut(process)
            now = handover.read(handover.RESTORING).get("chosen")
            self.assertIn(now, (chosen, None) if chosen else (now,), "a restart chose other backups")
            chosen = now or chosen
            if handover.pending(handover.told()):
                self.assertHeld()
        self.assertGreater(tries, 2, "the test is no test")
        self.assertBack()

    def test_11_without_a_backup_nothing_starts_until_the_owner_says_so(self):
        target(s3="empty")
        try:
            new_disk()
            start(incarnation=2 * NEW, restore="latest")
            process = recovering()
            self.until(lambda: "there is no repository of backups yet" in shown(), process)
            self.assertHeld()
            cut(process)
            backup("give-up")
            self.assertIsNone(handover.held("services"))
            self.assertIn("start boxwright-services.target", CALLS.read_text())
            start()
            self.assertIsNone(handover.held("services"), "it is asked for again at the next start")
        finally:
            target(s3="boxes")

    def test_12_what_a_disk_had_is_kept_aside_and_comes_back_if_the_owner_gives_up(self):
        new_disk()
        write(STATE / "sonarr/config/config.xml", "of this disk", SONARR)
        start(incarnation=2 * NEW, restore="latest")
        self.cut_at("docker exec --interactive", recovering())
        aside = list((STATE / ".replaced").glob("before-restore-*/sonarr/config/config.xml"))
        self.assertEqual([path.read_text() for path in aside], ["of this disk"])
        backup("give-up")
        self.assertEqual((STATE / "sonarr/config/config.xml").read_text(), "of this disk")
        self.assertEqual((STATE / ".secrets/sonarr.api-key").read_text(), "another one")
        self.assertIsNone(handover.held("services"))

    def test_12a_giving_up_that_is_cut_short_is_brought_to_its_end(self):
        for moment in ("systemctl start boxwright-secrets.service", "systemctl --no-block start boxwright-services.target"):
            with self.subTest(moment):
                new_disk()
                write(STATE / "nextcloud/data/nathan/files/a.txt", "of this disk", NEXTCLOUD)
                start(incarnation=2 * NEW, restore="latest")
                self.cut_at("docker exec --interactive", recovering())
                shutil.rmtree(handover.HELD)
                self.cut_at(moment, subprocess.Popen([BACKUP, "give-up"], stdout=subprocess.DEVNULL, start_new_session=True))
                handover.place()
                if moment.endswith("secrets.service"):
                    self.assertHeld()
                    self.ends(recovering())
                self.assertEqual((STATE / "nextcloud/data/nathan/files/a.txt").read_text(), "of this disk")
                self.assertEqual((STATE / ".secrets/sonarr.api-key").read_text(), "another one")
                self.assertIsNone(handover.held("services"))
                self.assertTrue(handover.read(handover.RESTORED)["gave_up"])

    def test_12b_what_has_been_fetched_is_not_fetched_again(self):
        new_disk()
        shutil.rmtree(STATE / ".secrets")
        write(STATE / "sonarr/config/config.xml", "of a disk that has made no password", SONARR)
        start(incarnation=2 * NEW, restore="latest")
        self.cut_at("docker exec --interactive", recovering())
        fetched = STATE / ".restore/nextcloud"
        whole, part = fetched / "data/nathan/files/a.txt", fetched / "html/config/config.php"
        before = whole.stat()
        part.write_text("?????")
        self.ends(recovering())
        self.assertBack()
        after = (STATE / "nextcloud/data/nathan/files/a.txt").stat()
        self.assertEqual((after.st_ino, after.st_ctime_ns), (before.st_ino, before.st_ctime_ns))
        self.assertEqual((STATE / "nextcloud/html/config/config.php").read_text(), "<?php")

    def test_13_a_rehearsal_restores_and_writes_nothing_there(self):
        def content():
            return {str(path): path.stat().st_mtime_ns for path in pathlib.Path("/run/s3").rglob("*") if path.is_file()}

        new_disk()
        start(restore="latest", rehearsal=True)
        before = content()
        self.ends(recovering())
        self.assertEqual(content(), before)
        self.assertBack()
        for name in ("tunnel", "vpn", "backup", "alerts", "internet"):
            self.assertEqual(handover.held(name), "this is a rehearsal")
        self.assertIn("no backup is written: this is a rehearsal", backup("run", check=False).stderr)
        self.assertIn("this is a rehearsal", backup("take-over", check=False).stderr)
        backup("stand")
        self.assertEqual(content(), before)
        status = json.loads(run("box", "status", "--json").stdout)
        self.assertEqual(sorted(status["restored"]["services"]), ["box", "nextcloud", "sonarr"])
        self.assertEqual(sorted(status["held"]), ["alerts", "backup", "internet", "tunnel", "vpn"])
        self.assertIn("(a rehearsal: no tunnel", run("box", "status").stdout)


    def test_14_what_waits_for_a_restore_is_awaited_and_what_a_rehearsal_holds_back_is_not(self):
        service = {**next(one for one in services_config.planned().values() if one["name"] == "sonarr"), "requires": ["vpn.service"]}
        states = {service["unit"]: units.Unit("inactive", False)}

        def missing():
            """Of what it said at the last look, with what is held back now."""
            return [line for line in run("/usr/lib/boxwright/ready.d/20-services").stdout.splitlines() if "sonarr" in line]

        def look():
            shown, _ = watch.look(service, states, {}, {})
            (RUN / "services.status").write_text(json.dumps({"services": {"sonarr": shown}}))
            return shown["waits"]

        start(rehearsal=True)
        self.assertEqual((look(), missing()), (["held back: this is a rehearsal"], []))
        start(restore="latest", incarnation=5 * NEW)
        self.assertEqual(look(), ["held back: its data is being restored"])
        self.assertEqual(len(missing()), 1)
        self.assertTrue(missing()[0].startswith("~sonarr"))
        # The restore has just ended, and nobody has looked since.
        shutil.rmtree(handover.HELD)
        self.assertTrue(missing() and missing()[0].startswith("~sonarr"), "a box is ready before its services have started")
        look()
        self.assertFalse(missing()[0].startswith("~"))


def KOPIA_RESTORES():
    lines = pathlib.Path("/run/kopia-calls/arguments").read_text().splitlines()
    return sum(line.startswith("--no-progress restore ") for line in lines)


if __name__ == "__main__":
    unittest.main(verbosity=2)
