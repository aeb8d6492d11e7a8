"""Runs the box's program for encryption with stand-ins for cryptsetup and systemd-cryptenroll, which keep a header as JSON.

Call it with the path of the program.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(sys.argv.pop(1))
# The header's file is the device; a slot holds what opens it. The volume's key is the name of the partition, in hexadecimal.
STANDIN = """#!/usr/bin/python3
import json, os, pathlib, sys
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
def after(flag):
    return words[words.index(flag) + 1]
if name == "dmsetup":
    broken = os.environ.get("KERNEL") == "broken"
    sys.exit("no such device" if broken else print("0 8 crypt aes-xts-plain64", words[-1].encode().hex(), "0 254:1 32768"))
place = pathlib.Path(words[-1])
header = json.loads(place.read_text())
if name == "systemd-cryptenroll":
    slot = words[0].removeprefix("--wipe-slot=")
    del header["keyslots"][slot]
    header["tokens"] = {number: token for number, token in header["tokens"].items() if token["keyslots"] != [slot]}
elif words[0] == "luksDump":
    print(json.dumps(header))
elif words[0] == "open":
    sys.exit(0 if header["keyslots"].get(after("--key-slot")) == pathlib.Path(after("--key-file")).read_text() else 2)
elif words[0] == "luksAddKey":
    assert pathlib.Path(after("--volume-key-file")).read_text() == "boxwright-" + place.name.removesuffix("-encrypted")
    header["keyslots"][after("--new-key-slot")] = pathlib.Path(after("--new-keyfile")).read_text()
elif words[0] == "token":
    header["tokens"][str(max(map(int, header["tokens"]), default=-1) + 1)] = json.load(sys.stdin)
place.write_text(json.dumps(header))
"""


class Box(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name in ("bin", "dev", "efi", "run/secrets"):
            (self.root / name).mkdir(parents=True)
        for name in ("cryptsetup", "dmsetup", "systemd-cryptenroll"):
            (self.root / "bin" / name).write_text(STANDIN)
            (self.root / "bin" / name).chmod(0o755)
        text = PROGRAM.read_text()
        for old, new in (
            ("/dev/boxwright", "dev"),
            ("/run/boxwright/secrets/box/recovery-key", "run/secrets/recovery-key"),
            ("/run/boxwright", "run"),
            ("/efi/loader/entries", "efi"),
        ):
            text = text.replace(f'"{old}', f'"{self.root}/{new}')
        self.program = self.root / "encryption"
        self.program.write_text(text)
        (self.root / "run/release").write_text("aaaa\n")
        self.key("one")
        for role in ("system", "state"):
            self.write(role, {"0": "sealed"}, {"aaaa": "0"})

    def key(self, text):
        (self.root / "run/secrets/recovery-key").write_text(text)

    def place(self, role):
        return self.root / "dev" / f"{role}-encrypted"

    def write(self, role, keyslots, purposes):
        tokens = [{"type": "boxwright", "keyslots": [slot], "for": purpose} for purpose, slot in purposes.items()]
        tokens += [{"type": "systemd-tpm2", "keyslots": [slot]} for slot in purposes.values()]
        header = {"keyslots": keyslots, "tokens": {str(number): token for number, token in enumerate(tokens)}}
        self.place(role).write_text(json.dumps(header))

    def run_it(self, kernel="right"):
        environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "KERNEL": kernel}
        subprocess.run([sys.executable, "-IB", self.program], env=environment, check=True, capture_output=True)

    def opened(self, role="state"):
        """What a slot is for → what opens it."""
        header = json.loads(self.place(role).read_text())
        tokens = [token for token in header["tokens"].values() if token["type"] == "boxwright"]
        self.assertEqual({slot for token in tokens for slot in token["keyslots"]}, set(header["keyslots"]))
        self.assertEqual(len(tokens), len(header["keyslots"]), "each slot is for one thing")
        found = {token["for"]: header["keyslots"][token["keyslots"][0]] for token in tokens}
        self.assertEqual(len(found), len(tokens), "each thing has one slot")
        return found

    def problem(self):
        place = self.root / "run/problems/encryption"
        return place.read_text() if place.exists() else None

    def test_the_recovery_key_is_let_in_once_and_replaced_by_another(self):
        for key in ("one", "one", "two"):
            self.key(key)
            self.run_it()
            for role in ("system", "state"):
                self.assertEqual(self.opened(role), {"aaaa": "sealed", "recovery": key})
        self.assertIsNone(self.problem())
        before = self.place("state").read_text()
        self.run_it()
        self.assertEqual(self.place("state").read_text(), before, "nothing is written where nothing has changed")

    def test_a_key_that_cannot_be_let_in_leaves_that_of_before_and_the_box_says_so(self):
        self.run_it()
        self.key("two")
        self.run_it(kernel="broken")
        self.assertEqual(self.opened(), {"aaaa": "sealed", "recovery": "one"})
        self.assertIn(
            "the recovery key may not open the state partition: dmsetup table: no such device", self.problem()
        )
        self.run_it()
        self.assertEqual(self.opened()["recovery"], "two")
        self.assertIsNone(self.problem())

    def test_releases_that_are_gone_lose_their_slot_once_the_box_is_good(self):
        purposes = {"aaaa": "0", "bbbb": "1", "cccc": "2", "dddd": "3", "system": "4"}
        self.write("state", {"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}, purposes)
        for name in ("vault-aaaa+2-1.conf", "vault-bbbb+0-3.conf", "vault-cccc.conf"):
            (self.root / "efi" / name).touch()
        everyone = {"aaaa": "a", "bbbb": "b", "cccc": "c", "dddd": "d", "system": "e", "recovery": "one"}
        self.run_it()
        self.assertEqual(self.opened(), everyone, "the release is still on trial")
        (self.root / "run/good").touch()
        (self.root / "efi/vault-aaaa+2-1.conf").unlink()
        self.run_it()
        self.assertEqual(self.opened(), everyone, "an ESP without the entry of this very release is not to be believed")
        (self.root / "efi/vault-aaaa.conf").touch()
        self.run_it()
        del everyone["dddd"]
        self.assertEqual(self.opened(), everyone)

    def test_a_box_that_is_not_encrypted_or_has_no_key_yet_is_left_alone(self):
        (self.root / "run/secrets/recovery-key").unlink()
        self.place("system").unlink()
        self.run_it()
        self.assertEqual(self.opened(), {"aaaa": "sealed"})
        self.assertIsNone(self.problem())


if __name__ == "__main__":
    unittest.main()
