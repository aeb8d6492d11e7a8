"""What the tests of rotation share: the box's programs, loaded from the sources, on a folder that stands in for the box."""

import base64
import hashlib
import importlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

sys.dont_write_bytecode = True
PROJECT, INPUT = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
PROGRAMS = PROJECT / "overlays/system/secrets/root/usr/lib/boxwright"
sys.path.insert(0, str(PROGRAMS))
FIRST = json.loads((INPUT / "first.json").read_text())["secrets"]
SECOND = (INPUT / "second.signed").read_bytes()
MAP = json.loads((INPUT / "map.json").read_text())
BOOT = "11111111-0000-4000-8000-000000000000\n"

SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>"${0%/*}/../calls"
case $* in *is-active*) [ -e "${0%/*}/../booted" ];; esac
"""
# A service's setup: what it is told, it writes down; it fails as a file says.
SERVICE = """#!/bin/sh
here=${0%/*}/..
echo "service $*" >>"$here/calls"
[ ! -e "$here/fails-$2" ] || { cat "$here/fails-$2" >&2; exit "$(cat "$here/status-$2")"; }
"""
# A program of the box's own: it writes down what it is given, which only a test may do.
OWN = """#!/bin/sh
here=${0%/*}/..
echo "${0##*/} $*" >>"$here/calls"
cat >"$here/given-$1"
[ ! -e "$here/fails-${0##*/}-$1" ] || { cat "$here/fails-${0##*/}-$1" >&2; exit 1; }
"""


def sign(payload, key="home/.ssh/id_ann", namespace="boxwright-secrets"):
    done = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", INPUT / key], input=payload, capture_output=True, check=True
    )
    return done.stdout


def pack(payload, signature, magic=b"BOXWRIGHTSIGNED\n", version=1):
    return struct.pack("<16sIIQ", magic, version, len(signature), len(payload)) + payload + signature


def message(values, serial=2_000_000_000, box="servarr"):
    return json.dumps({"box": box, "serial": serial, "secrets": values}).encode()


def signed(values, serial=2_000_000_000, box="servarr", **how):
    payload = message(values, serial, box)
    return pack(payload, sign(payload, **how))


class Rig(unittest.TestCase):
    def setUp(self):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.root = pathlib.Path(tempfile.mkdtemp(dir=memory))
        # Who verifies is nobody.
        self.root.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.root)
        for name in [name for name in sys.modules if name.split(".")[0] == "rotation"]:
            del sys.modules[name]
        self.store = importlib.import_module("rotation.store")
        self.taking = importlib.import_module("rotation.taking")
        self.applying = importlib.import_module("rotation.applying")
        self.stick = importlib.import_module("rotation.stick")
        self.listing = importlib.import_module("rotation.listing")
        self.secrets = self.store.secrets
        for folder in ("bin", "dev", "state", "run", "store"):
            (self.root / folder).mkdir()
        places = {"MAP": "map.json", "DEVICE": "dev/secrets", "TPM": "dev/tpm", "STATE": "state", "STORE": "store", "RUN": "run"}
        for name, path in places.items():
            setattr(self.secrets, name, self.root / path)
        self.secrets.handover.KEPT = self.root / "handover.json"
        self.taking.SIGNERS, self.taking.BOOT = INPUT / "allowed_signers", self.root / "boot_id"
        self.applying.SERVICE = str(self.root / "bin/service")
        self.taking.BOOT.write_text(BOOT)
        self.lasting = True
        self.patch(self.secrets, "lasts", lambda path: self.lasting)
        self.patch(self.secrets, "key_lasts", lambda: True)
        self.patch(self.secrets, "creds", self.creds)
        self.patch(os.path, "ismount", lambda path: True)
        self.patch(os, "sync", lambda: None)
        self.patch(self.taking.syslog, "syslog", self.log)
        self.logged = []
        for name, text in {"systemctl": SYSTEMCTL, "service": SERVICE, "backup-password": OWN}.items():
            (self.root / "bin" / name).write_text(text)
            (self.root / "bin" / name).chmod(0o755)
        self.patch_path()
        self.map = json.loads(json.dumps(MAP).replace("/usr/lib/boxwright/rotation", str(self.root / "bin")))
        if os.geteuid():
            for file in self.map["files"]:
                file["uid"], file["gid"] = os.geteuid(), os.getegid()
        (self.root / "map.json").write_text(json.dumps(self.map))
        self.first_boot()

    def first_boot(self):
        for name, value in FIRST.items():
            self.secrets.keep(name, value)
        self.secrets.placed()
        (self.root / "booted").touch()
        (self.root / "calls").write_text("")

    def patch_path(self):
        patcher = mock.patch.dict(os.environ, PATH=f"{self.root}/bin:{os.environ['PATH']}")
        patcher.start()
        self.addCleanup(patcher.stop)

    def patch(self, thing, name, value):
        patcher = mock.patch.object(thing, name, value)
        patcher.start()
        self.addCleanup(patcher.stop)

    def log(self, sentence):
        self.logged.append(sentence)

    def creds(self, verb, name, *arguments, data=None):
        """"Encrypts" so that a value is not to be found, and only under its own name."""
        mark = hashlib.sha256(name.encode()).digest()[:8]
        if verb == "encrypt":
            return base64.b85encode(mark + bytes(byte ^ 170 for byte in data))
        data = base64.b85decode(pathlib.Path(arguments[-2]).read_bytes())
        if data[:8] != mark:
            raise self.secrets.Trouble("decryption failed")
        return bytes(byte ^ 170 for byte in data[8:])

    # ---- what is seen of the box ----

    def stored(self):
        return {name: self.secrets.kept(name) for name in FIRST}

    def placed(self, path):
        return (self.root / "run/secrets" / path).read_text()

    def calls(self):
        return (self.root / "calls").read_text().splitlines()

    def problems(self):
        folder = self.root / "run/problems"
        return [path.read_text().strip() for path in sorted(folder.iterdir())] if folder.is_dir() else []

    def reboot(self):
        """A start as the units order it."""
        shutil.rmtree(self.root / "run")
        (self.root / "run").mkdir()
        self.taking.BOOT.write_text(BOOT.replace("1111", hashlib.sha256(self.taking.BOOT.read_bytes()).hexdigest()[:4], 1))
        self.taking.settle_alone()
        self.secrets.placed()

    def apply(self):
        """Whether everyone got everything."""
        try:
            self.applying.apply_all()
        except SystemExit:
            return False
        return True


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
