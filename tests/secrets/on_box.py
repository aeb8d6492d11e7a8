"""Runs the box's own program for secrets in a folder that stands in for the box.

    on_box.py PROGRAM FOLDER    FOLDER has map.json, bundle.bin and values.json, made by tests/secrets.rs

systemctl is a stand-in. So is systemd-creds unless REAL_CREDS is set; in most tests it is not even a process, for speed.
"""

import contextlib
import io
import json
import os
import pathlib
import shutil
import stat
import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from unittest import mock

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).parent.parent / "support"))
from power_cut import Power, PowerCut  # noqa: E402

PROGRAM, INPUT = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
VALUES = json.loads((INPUT / "values.json").read_text())
BUNDLE = (INPUT / "bundle.bin").read_bytes()
PARTITION = 8 << 20

# "Encrypts" with a key in a file: what was encrypted under another key or name cannot be decrypted.
CREDS = """#!/usr/bin/python3 -IB
import base64, hashlib, os, pathlib, sys
def run(root, arguments, data):
    with open(root / "calls", "a") as calls:
        calls.write(" ".join(arguments) + "\\n")
    name = next(one for one in arguments if one.startswith("--name="))
    source = arguments[-2]
    kind = "tpm" if "--with-key=tpm2" in arguments or source.endswith(".tpm") else "key"
    if not (root / kind).exists():
        if kind == "tpm":
            raise OSError("no TPM")
        (root / kind).write_bytes(os.urandom(16))
    mark = hashlib.sha256((root / kind).read_bytes() + name.encode()).digest()
    if source != "-":
        data = pathlib.Path(source).read_bytes()
    if arguments[0] == "encrypt":
        return base64.b85encode(mark + bytes(byte ^ 170 for byte in data))
    data = base64.b85decode(data)
    if data[:32] != mark:
        raise OSError("decryption failed")
    return bytes(byte ^ 170 for byte in data[32:])
if __name__ == "__main__":
    try:
        data = sys.stdin.buffer.read() if sys.argv[-2] == "-" else b""
        sys.stdout.buffer.write(run(pathlib.Path(__file__).parent.parent, sys.argv[1:], data))
    except OSError as error:
        sys.exit(str(error))
"""
STANDIN = {"__name__": "standin"}
exec(CREDS, STANDIN)
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>"${0%/*}/../calls"
case $* in *is-active*) [ -e "${0%/*}/../booted" ];; esac
"""


class OneByOne(contextlib.nullcontext):
    def __enter__(self):
        return self

    map = staticmethod(map)


class Box(unittest.TestCase):
    def setUp(self):
        # In memory where possible, and without syncing all of the machine: that is what would take long here.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.root = pathlib.Path(tempfile.mkdtemp(dir=memory))
        self.patch(os, "sync", lambda: None)
        self.addCleanup(shutil.rmtree, self.root)
        loader = SourceFileLoader("secrets_on_box", str(PROGRAM))
        self.program = module_from_spec(spec_from_loader("secrets_on_box", loader))
        loader.exec_module(self.program)
        for folder in ["bin", "dev", "state", "run"]:
            (self.root / folder).mkdir()
        for name, path in {
            "MAP": "map.json", "DEVICE": "dev/secrets", "TPM": "dev/tpmrm0", "STATE": "state", "STORE": "store", "RUN": "run",
        }.items():
            setattr(self.program, name, self.root / path)
        self.handover = self.program.handover
        for name, path in {
            "RUN": "run", "HELD": "run/held", "PROBLEM": "run/problems/superseded", "RESTORING": "state/.restoring",
            "RESTORED": "state/.restored", "KEPT": "handover.json", "SUPERSEDED": "superseded.json",
        }.items():
            self.patch(self.handover, name, self.root / path)
        self.mounted = self.lasting = True
        self.patch(self.program, "lasts", lambda path: self.lasting)
        self.patch(os.path, "ismount", lambda path: self.mounted)
        self.tools()
        described = json.loads((INPUT / "map.json").read_text())
        if os.geteuid():
            for file in described["files"]:
                file["uid"], file["gid"] = os.geteuid(), os.getegid()
        self.described(described)
        self.insert(BUNDLE)

    def tools(self):
        tools = {"systemctl": SYSTEMCTL}
        if os.environ.get("REAL_CREDS"):
            os.environ["SYSTEMD_CREDENTIAL_SECRET"] = str(self.root / "key")
        else:
            tools["systemd-creds"] = CREDS
            self.in_process = mock.patch.object(self.program, "creds", self.creds)
            self.in_process.start()
        for name, text in tools.items():
            path = self.root / "bin" / name
            path.write_text(text)
            path.chmod(0o755)
        mock.patch.dict(os.environ, PATH=f"{self.root}/bin:{os.environ['PATH']}").start()
        self.addCleanup(mock.patch.stopall)

    def creds(self, verb, name, *arguments, data=None):
        try:
            return STANDIN["run"](self.root, [verb, f"--name={name}", *arguments], data)
        except OSError as error:
            raise self.program.Trouble(str(error)) from error

    def patch(self, thing, name, value):
        patcher = mock.patch.object(thing, name, value)
        patcher.start()
        self.addCleanup(patcher.stop)

    def described(self, described):
        self.map = described
        (self.root / "map.json").write_text(json.dumps(described))

    def insert(self, data):
        (self.root / "dev/secrets").write_bytes(data.ljust(PARTITION, b"\0"))

    def partition(self):
        return (self.root / "dev/secrets").read_bytes()

    def run_verb(self, verb):
        """Runs it as the unit would; what it says must have no value in it."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            with mock.patch.object(sys, "argv", ["secrets", verb]):
                self.program.main()
        self.assertNoValue(said.getvalue(), f"what `secrets {verb}` says")
        calls = self.root / "calls"
        self.assertNoValue(calls.read_text() if calls.exists() else "", "the arguments of a program")
        return said.getvalue()

    def boot(self):
        shutil.rmtree(self.root / "run")
        (self.root / "run").mkdir()
        return self.run_verb("import") + self.run_verb("place")

    def assertNoValue(self, text, where):
        for name, value in VALUES.items():
            self.assertNotIn(value, text, f"the value of {name} is in {where}")

    def placed(self):
        top = self.root / "run/secrets"
        return {str(path.relative_to(top)): path.read_bytes().decode() for path in top.rglob("*") if path.is_file()}

    def problems(self):
        return [path.read_text().strip() for path in sorted((self.root / "run/problems").iterdir())]

    def missing(self):
        return json.loads((self.root / "run/missing-secrets").read_text())

    def assertComplete(self):
        self.assertEqual(self.problems(), [])
        self.assertEqual(self.missing(), [])
        placed = self.placed()
        for file in self.map["files"]:
            if len(file["lines"]) == 1 and file["lines"][0]["secret"] in VALUES:
                self.assertEqual(placed[file["path"]], VALUES[file["lines"][0]["secret"]])

    # ---- handing over ----

    def test_secrets_are_taken_stored_encrypted_and_placed(self):
        if not os.environ.get("REAL_CREDS"):
            self.in_process.stop()
        said = self.boot()
        self.assertIn(f"took over {len(VALUES)} secrets", said)
        self.assertComplete()
        self.assertEqual(self.partition(), bytes(PARTITION))
        store = self.root / "store"
        self.assertEqual(stat.S_IMODE(store.stat().st_mode), 0o700)
        files = sorted(store.iterdir())
        self.assertEqual(len(files), len(VALUES))
        for path in files:
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertNoValue(path.read_bytes().decode("latin-1"), path)

    def test_files_belong_to_those_who_read_them(self):
        self.boot()
        for file in self.map["files"]:
            path = self.root / "run/secrets" / file["path"]
            status = path.stat()
            self.assertEqual((status.st_uid, status.st_gid), (file["uid"], file["gid"]), path)
            self.assertEqual(stat.S_IMODE(status.st_mode), 0o400, path)
            self.assertEqual(stat.S_IMODE(path.parent.stat().st_mode), 0o711, path)
        self.assertEqual(stat.S_IMODE((self.root / "run/secrets").stat().st_mode), 0o711)

    def test_a_share_gets_one_file_with_what_there_is(self):
        self.boot()
        user, password = VALUES["box/disk-media-user"], VALUES["box/disk-media-password"]
        self.assertEqual(self.placed()["box/disk-media"], f"username={user}\npassword={password}\n")

    def test_an_image_without_secrets_starts_and_says_what_is_missing(self):
        self.insert(b"")
        self.boot()
        required = {
            name for name, entry in self.map["secrets"].items() if entry["from"] == "owner" and any(entry["users"].values())
        }
        self.assertEqual({one["secret"] for one in self.missing()}, required)
        self.assertEqual(len(self.problems()), len(required))
        self.assertIn("it was not handed over", self.problems()[0])
        placed = self.placed()
        self.assertEqual(len(placed["nextcloud/db-password"]), 32)
        self.assertNotIn("box/ssh-tunnel", placed)
        # A container cannot be started without the file of an optional secret.
        self.assertEqual(placed["gluetun/wireguard-preshared-key"], "")

    def test_a_second_boot_and_a_second_flash_without_secrets_keep_them(self):
        self.boot()
        before = self.placed()
        self.boot()
        self.assertEqual(self.placed(), before)
        self.insert(b"")
        self.boot()
        self.assertEqual(self.placed(), before)
        self.assertComplete()

    def test_a_new_bundle_takes_the_place_of_old_values(self):
        self.boot()
        generated = self.placed()["nextcloud/db-password"]
        program = self.program
        payload = {"box": self.map["box"], "secrets": {"box/ssh-tunnel": "the new credential"}}
        self.insert(pack(program, payload))
        self.boot()
        placed = self.placed()
        self.assertEqual(placed["box/ssh-tunnel"], "the new credential")
        self.assertEqual(placed["cloudflared/tunnel"], VALUES["cloudflared/tunnel"])
        self.assertEqual(placed["nextcloud/db-password"], generated)
        self.assertEqual(self.partition(), bytes(PARTITION))

    # ---- what can go wrong ----

    # ---- what comes along with the secrets ----

    def told(self, **more):
        """The bundle again, with something besides the secrets."""
        self.insert(pack(self.program, {"box": self.map["box"], "secrets": VALUES, **more}))

    def held(self):
        folder = self.root / "run/held"
        return {path.name: path.read_text().strip() for path in folder.iterdir()} if folder.is_dir() else {}

    def test_a_bundle_that_says_nothing_more_holds_nothing_back(self):
        self.boot()
        self.assertEqual(self.held(), {})
        kept = json.loads((self.root / "handover.json").read_text())
        self.assertGreater(kept["incarnation"], 1_700_000_000)
        self.told()
        self.boot()
        self.assertEqual(json.loads((self.root / "handover.json").read_text())["incarnation"], kept["incarnation"])

    def test_a_rehearsal_and_a_restore_hold_back_what_must_not_start(self):
        self.told(rehearsal=True, restore="latest", unknown=1)
        self.boot()
        self.assertEqual(sorted(self.held()), ["alerts", "backup", "internet", "services", "tunnel", "vpn"])
        self.assertEqual(stat.S_IMODE((self.root / "run/held").stat().st_mode), 0o755)
        # The next disk is no rehearsal; what is half restored does not start whatever a bundle says.
        (self.root / "state/.restoring").write_text("{}")
        self.told(incarnation=1_790_000_000)
        self.boot()
        self.assertEqual(sorted(self.held()), ["backup", "services"])
        (self.root / "state/.restoring").unlink()
        self.boot()
        self.assertEqual(self.held(), {})

    def test_a_bundle_that_could_not_be_taken_is_heeded(self):
        self.lasting = False
        self.told(restore="latest", incarnation=1_790_000_000)
        self.boot()
        self.assertEqual(sorted(self.held()), ["backup", "services"])
        self.assertFalse((self.root / "handover.json").exists())

    def test_a_restore_that_is_done_is_not_done_again_by_a_bundle_that_is_taken_again(self):
        for _ in range(2):
            self.told(restore="latest", incarnation=1_790_000_000)
            self.boot()
            # As `backup recover` ends.
            kept = json.loads((self.root / "handover.json").read_text())
            kept.pop("restore", None)
            (self.root / "handover.json").write_text(json.dumps(kept))
        self.boot()
        self.assertEqual(self.held(), {})

    def test_a_new_number_makes_a_box_that_gave_way_the_one_again(self):
        self.told(incarnation=1_790_000_000)
        self.boot()
        (self.root / "superseded.json").write_text('{"newer": 1790500000}')
        self.boot()
        self.assertEqual(sorted(self.held()), ["backup", "tunnel"])
        self.assertIn("box take-over", self.problems()[0])
        self.told(incarnation=1_791_000_000)
        self.boot()
        self.assertEqual((self.held(), self.problems()), ({}, []))

    def test_a_damaged_bundle_is_not_taken_and_not_overwritten(self):
        torn = [BUNDLE[:40], BUNDLE[:-1], BUNDLE[:64], b"\0" * 64 + BUNDLE[64:], BUNDLE[:70] + b"!" + BUNDLE[71:]]
        other = pack(self.program, {"box": "other", "secrets": {}})
        strange = pack(self.program, {"box": self.map["box"], "secrets": {"../../etc/x": "y"}})
        for data in [*torn, other, strange, BUNDLE[:16] + b"\x02" + BUNDLE[17:]]:
            self.insert(data)
            self.run_verb("import")
            self.assertEqual(len(self.problems()), 1, data[:80])
            self.assertEqual(self.partition(), data.ljust(PARTITION, b"\0"))
            self.assertFalse((self.root / "store").exists() and list((self.root / "store").iterdir()))
        self.insert(BUNDLE)
        self.boot()
        self.assertComplete()

    def test_power_cuts_lose_nothing(self):
        """Cuts the power at every write, sync and rename in turn; the next boot must end well."""
        total = self.cut_at(1 << 30)
        self.assertGreater(total, 30)
        for cut in range(total):
            self.insert(BUNDLE)
            shutil.rmtree(self.root / "store")
            (self.root / "handover.json").unlink()
            self.assertEqual(self.cut_at(cut), cut + 1)
            self.boot()
            self.assertComplete()
            self.assertEqual(self.partition(), bytes(PARTITION), f"cut at {cut}")

    def cut_at(self, cut):
        """Runs the import, with the power gone at the call `cut`. Returns how many calls there were."""
        power = Power(cut)
        # One thread, so that the order is the same each time.
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(self.program, "ThreadPoolExecutor", OneByOne))
            for name in ["pwrite", "fsync", "fchmod", "sync"]:
                stack.enter_context(mock.patch.object(os, name, power.on(getattr(os, name))))
            stack.enter_context(mock.patch.object(pathlib.Path, "rename", power.on(pathlib.Path.rename)))
            with contextlib.suppress(PowerCut):
                self.program.take()
        return power.calls

    def test_what_would_not_last_is_used_but_not_taken(self):
        self.lasting = False
        self.boot()
        self.assertEqual(self.partition(), BUNDLE.ljust(PARTITION, b"\0"))
        self.assertEqual(len(self.problems()), 1)
        self.assertIn("stay in their partition", self.problems()[0])
        # The way in works all the same.
        self.assertEqual(self.placed()["box/ssh-tunnel"], VALUES["box/ssh-tunnel"])

    def test_a_full_system_partition_leaves_the_bundle(self):
        def full(*_, **__):
            raise OSError(28, "No space left on device", "/var/lib/boxwright/secrets/x")

        with mock.patch.object(os, "fchmod", full):
            with mock.patch.object(self.program, "problems", lambda kind, found: setattr(self, "found", found)):
                self.run_verb("import")
        self.assertIn("No space left on device: make room", self.found[0])
        self.assertEqual(self.partition(), BUNDLE.ljust(PARTITION, b"\0"))

    def test_a_lost_key_is_said_and_the_tpm_can_help(self):
        if os.environ.get("REAL_CREDS"):
            self.skipTest("no TPM here")
        self.boot()
        (self.root / "key").write_bytes(b"another")
        self.boot()
        reasons = {one["reason"] for one in self.missing()}
        self.assertEqual(reasons, {"it cannot be decrypted any more: hand it over again"})
        (self.root / "tpm").write_bytes(b"the TPM")
        (self.root / "dev/tpmrm0").touch()
        self.described(self.map | {"tpm": True})
        self.insert(BUNDLE)
        self.boot()
        self.assertEqual(len(list((self.root / "store").glob("*.tpm"))), len(VALUES))
        (self.root / "key").write_bytes(b"yet another")
        self.boot()
        self.assertComplete()
        # And from the TPM's copy the other one was made again.
        (self.root / "tpm").unlink()
        self.boot()
        self.assertComplete()

    def test_what_the_box_makes_waits_for_state_and_then_stays(self):
        self.mounted = False
        self.boot()
        self.assertIn("nextcloud/db-password", [one["secret"] for one in self.missing()])
        self.assertFalse((self.root / "state/.secrets").exists())
        self.assertEqual(self.placed()["box/ssh-tunnel"], VALUES["box/ssh-tunnel"])
        self.mounted = True
        self.run_verb("place")
        self.assertComplete()
        first = self.placed()
        self.assertRegex(first["nextcloud/db-password"], "^[A-Za-z0-9]{32}$")
        self.assertRegex(first["sonarr/api-key"], "^[0-9a-f]{32}$")
        self.assertEqual(stat.S_IMODE((self.root / "state/.secrets").stat().st_mode), 0o700)
        shutil.rmtree(self.root / "store")
        self.insert(BUNDLE)
        self.boot()
        self.assertEqual(self.placed(), first)

    def test_a_damaged_password_of_the_box_is_never_made_anew(self):
        self.boot()
        path = self.root / "state/.secrets/nextcloud.db-password"
        path.write_text("")
        self.boot()
        self.assertEqual([one["secret"] for one in self.missing()], ["nextcloud/db-password"])
        self.assertIn("bring it back from a backup", self.problems()[0])
        self.assertEqual(path.read_text(), "")

    def test_on_a_running_box_services_get_new_values(self):
        self.boot()
        calls = (self.root / "calls")
        self.assertNotIn("start", calls.read_text().replace("systemctl --quiet is-active", ""))
        (self.root / "booted").touch()
        self.insert(pack(self.program, {"box": self.map["box"], "secrets": {"cloudflared/tunnel": "a new one"}}))
        calls.unlink()
        self.run_verb("import")
        self.run_verb("place")
        text = calls.read_text()
        self.assertIn("systemctl --no-block try-restart boxwright-service-cloudflared.service\n", text)
        self.assertIn("systemctl --no-block start boxwright-services.target\n", text)
        # An unchanged file keeps its place: containers hold on to it.
        self.assertNotIn("boxwright-service-gluetun", text)


def pack(program, payload):
    import hashlib

    data = json.dumps(payload).encode()
    head = program.HEADER.pack(program.MAGIC, 1, 0, len(data), b"")[:32]
    return head + hashlib.sha256(head + data).digest() + data


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
