"""What a backup to a server over SFTP must do: the real Kopia and the box's own sshd, as a server with nothing but SFTP; see on_box.py,
which makes the surroundings."""

import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import time
import unittest

import scenarios
from scenarios import KOPIA, RUN, SECRETS, SONARR, STATE, backup, run, snapshots, write

CONFIG = pathlib.Path("/etc/boxwright/backup.json")
NAS = pathlib.Path("/run/nas")
ACCOUNT = pathlib.Path("/home/attic")
SECRET = SECRETS / "backup-nas.test-private-key"
FILES = RUN / "backup/repositories/nas.test"
KINDS = ("ecdsa", "ed25519", "rsa")
PROGRAM = 64080


def key(name, kind="ed25519"):
    """A pair of keys: its public half. Its private one is at that path."""
    run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"{name} of a test", "-f", NAS / name)
    return (NAS / f"{name}.pub").read_text()


def body(name):
    """A private key as the box has it: what stands between the first and the last line."""
    return "".join((NAS / name).read_text().splitlines()[1:-1])


def place(name):
    SECRET.unlink(missing_ok=True)
    write(SECRET, body(name), mode=0o400)


def target(**changes):
    """The profile's server, with something changed."""
    config = json.loads(CONFIG.read_text())
    config["targets"] = [{**config["targets"][0], **changes}]
    CONFIG.write_text(json.dumps(config))


def nas():
    """A server with an account that may do nothing but SFTP, and host keys of all kinds, as servers have them."""
    NAS.mkdir()
    with open("/etc/passwd", "a", encoding="utf-8") as users, open("/etc/shadow", "a", encoding="utf-8") as shadow:
        users.write(f"attic:x:2000:2000::{ACCOUNT}:/bin/sh\n")
        shadow.write("attic:*:20000::::::\n")
    with open("/etc/hosts", "a", encoding="utf-8") as hosts:
        hosts.write("127.0.0.1 nas.test\n")
    ACCOUNT.mkdir(parents=True)
    os.chown(ACCOUNT, 2000, 2000)
    key("user"), key("stranger")
    shutil.copy(NAS / "user.pub", NAS / "authorized_keys")
    host_keys = [key(f"host_{kind}", kind) for kind in KINDS]
    lines = [f"HostKey {NAS}/host_{kind}" for kind in KINDS]
    lines += ["ListenAddress 127.0.0.1:22", "ListenAddress 127.0.0.1:2222", f"AuthorizedKeysFile {NAS}/authorized_keys"]
    lines += ["Subsystem sftp internal-sftp", "ForceCommand internal-sftp", "PidFile none", "UsePAM no", "LogLevel VERBOSE"]
    (NAS / "config").write_text("".join(f"{line}\n" for line in lines))
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    return host_keys


class Backups(unittest.TestCase):
    """In the order of their names: what one leaves is what the next begins with."""

    @classmethod
    def setUpClass(cls):
        scenarios.surroundings()
        cls.host_keys = nas()
        place("user")
        target(**{"host-key": cls.host_keys})
        cls.up()

    @classmethod
    def up(cls):
        cls.sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", NAS / "config", "-E", NAS / "log"])
        deadline = time.monotonic() + 60
        while not scenarios.answers(2222):
            assert cls.sshd.poll() is None and time.monotonic() < deadline, (NAS / "log").read_text()
            time.sleep(0.1)

    @classmethod
    def tearDownClass(cls):
        cls.sshd.kill()

    def wrong(self):
        """What the box says of a backup that cannot be written. None of it is on the server."""
        before = self.there()
        self.assertEqual(backup("run", check=False).returncode, 1)
        self.assertEqual(self.there(), before)
        return (RUN / "problems/backup").read_text()

    def there(self):
        return {path: path.stat().st_mtime_ns for path in ACCOUNT.rglob("*")}

    def logins(self):
        return (NAS / "log").read_text().count("Accepted publickey for attic")

    def test_01_a_first_backup_makes_the_repository(self):
        path = STATE / "sonarr/config/sonarr.db"
        path.parent.mkdir(parents=True)
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE episodes (title TEXT)")
            database.execute("INSERT INTO episodes VALUES ('pilot')")
            database.commit()
        os.chown(path.parent, SONARR, SONARR), os.chown(path, SONARR, SONARR)
        write(path.with_name("config.xml"), "<key/>", SONARR, 0o600)
        said = backup("run").stdout
        self.assertIn("nas.test: a new repository was made", said)
        self.assertFalse((RUN / "problems/backup").exists())
        self.assertEqual({(one["target"], one["name"]) for one in snapshots()}, {("nas.test", "box"), ("nas.test", "sonarr")})
        self.assertTrue((ACCOUNT / "boxes/keeper").is_dir() and self.logins())

    def test_02_the_private_key_is_nobody_elses(self):
        secret, arguments = body("user"), (KOPIA / "arguments").read_text()
        self.assertIn(f"--keyfile={FILES}/private-key", arguments)
        # What is the same in every key is in its first line.
        parts = [secret[at:at + 40] for at in range(100, len(secret) - 40, 20)]
        for part in parts:
            self.assertNotIn(part, arguments)
        self.assertEqual(FILES.stat().st_mode & 0o777, 0o700)
        run("ssh-keygen", "-y", "-P", "", "-f", FILES / "private-key")
        others = [path for top in ("/srv", RUN / "backup", "/var/lib/boxwright", "/tmp", "/var/log") for path in pathlib.Path(top).rglob("*")]
        # Who looks while a backup is written has a folder of its own.
        copies = {FILES / "private-key", FILES.with_name("nas.test-read") / "private-key"}
        self.assertEqual({(path.stat().st_uid, path.stat().st_mode & 0o777) for path in copies}, {(PROGRAM, 0o600)})
        for path in others:
            if path.is_file() and path not in copies:
                found = path.read_bytes().replace(b"\n", b"").replace(b"\\n", b"")
                self.assertFalse(any(part.encode() in found for part in parts), path)

    def test_03_a_service_comes_back(self):
        shutil.rmtree(STATE / "sonarr")
        backup("restore", "sonarr")
        config = STATE / "sonarr/config"
        with contextlib.closing(sqlite3.connect(config / "sonarr.db")) as database:
            self.assertEqual(database.execute("SELECT title FROM episodes").fetchall(), [("pilot",)])
        xml = (config / "config.xml").stat()
        self.assertEqual((xml.st_uid, xml.st_mode & 0o777), (SONARR, 0o600))
        # Restoring is root's part, and the next backup again the program's.
        backup("run")
        self.assertEqual((FILES / "private-key").stat().st_uid, PROGRAM)

    def test_04_who_only_looks_writes_nothing(self):
        before = self.there()
        self.assertTrue(snapshots("sonarr"))
        self.assertEqual(self.there(), before)

    def test_05_a_server_with_another_host_key_gets_nothing(self):
        before = self.logins()
        for others in ([key("another")], [key("one_more", "ecdsa"), self.host_keys[1]]):
            target(**{"host-key": others})
            try:
                self.assertIn("nas.test: its server shows another host key than those of the profile", self.wrong())
            finally:
                target(**{"host-key": self.host_keys})
        self.assertEqual(self.logins(), before)

    def test_06_one_key_is_enough_if_it_is_the_one_that_is_shown(self):
        target(**{"host-key": self.host_keys[KINDS.index("ecdsa")]})
        backup("run")
        # The server has an ECDSA key as well, which is the one that Kopia asks for: `check` has a note about that.
        target(**{"host-key": self.host_keys[KINDS.index("ed25519")]})
        try:
            self.assertIn("shows another host key", self.wrong())
        finally:
            target(**{"host-key": self.host_keys})

    def test_07_a_key_that_the_server_does_not_know_is_told(self):
        place("stranger")
        try:
            self.assertIn("nas.test: the server does not let this user in with the private key", self.wrong())
        finally:
            place("user")
        target(user="somebody")
        try:
            self.assertIn("nas.test: the server does not let this user in", self.wrong())
        finally:
            target(user="attic")
        SECRET.rename(SECRET.with_name("aside"))
        try:
            self.assertIn("the secret box/backup-nas.test-private-key is missing", self.wrong())
        finally:
            SECRET.with_name("aside").rename(SECRET)
        backup("run")

    def test_08_another_key_is_used_from_the_next_backup_on(self):
        shutil.copy(NAS / "stranger.pub", NAS / "authorized_keys")
        place("stranger")
        backup("run")
        self.assertEqual(backup("restore", "sonarr", "--path", "config/config.xml").returncode, 0)

    def test_09_a_server_that_is_away_is_told(self):
        self.sshd.kill()
        self.sshd.wait()
        try:
            self.assertIn("nas.test: its server refuses the connection", self.wrong())
        finally:
            self.up()
        backup("run")

    def test_10_a_folder_that_the_account_may_not_make_is_told(self):
        target(prefix="/srv/boxes")
        try:
            self.assertIn("nas.test: the folder for it cannot be made", self.wrong())
        finally:
            target(prefix="boxes/keeper")

    def test_11_where_the_port_and_the_folder_are_the_usual_ones(self):
        target(port=None, prefix=None)
        said = backup("run", check=False).stdout
        self.assertIn("nas.test: a new repository was made", said)
        self.assertTrue((ACCOUNT / "backups").is_dir())

    def test_12_the_repository_is_read_in_another_box(self):
        target(port=2222, prefix=str(ACCOUNT / "boxes/keeper"))
        for path in ("/srv/state/kopia", RUN / "backup"):
            shutil.rmtree(path)
        self.assertTrue(snapshots("sonarr"))

    def test_13_who_only_looks_makes_no_repository(self):
        target(prefix="elsewhere")
        self.assertIn("there is no repository of backups yet", backup("list", check=False).stderr)
        # Kopia's own note of how it spreads files over folders; overlays/system/backup/README.md says so.
        self.assertEqual([path.name for path in (ACCOUNT / "elsewhere").iterdir()], [".shards"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
