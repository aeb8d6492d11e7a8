"""Runs the box's own programs for new secrets in a folder that stands in for the box.

    on_box.py PROJECT FOLDER    FOLDER has what tests/rotation.rs made: keys, the map, secrets, a file signed by the builder

ssh-keygen is the real one. systemd-creds is not even a process here, systemctl and `service` are stand-ins.
"""

import contextlib
import io
import json
import os
import pathlib
import stat
import sys

from rig import FIRST, SECOND, Rig, main, message, pack, sign, signed

sys.path.append(str(pathlib.Path(__file__).parent.parent / "support"))
from power_cut import Power, PowerCut  # noqa: E402

NEW = {"box/heartbeat": "https://hc-ping.com/a-canary", "cloudflared/tunnel": "another-canary"}


class Refusals(Rig):
    """Whatever is wrong with a file: one sentence, and nothing is changed."""

    def refused(self, data, *words):
        before = self.tree()
        with self.assertRaises(self.secrets.Trouble) as caught:
            self.taking.take(data)
        sentence = str(caught.exception)
        for word in words:
            self.assertIn(word, sentence)
        self.assertIn("nothing was changed", sentence)
        self.assertNotIn("\n", sentence)
        self.assertNotIn("canary", sentence)
        self.assertEqual(self.tree(), before)
        self.assertEqual(self.calls(), [])

    def tree(self):
        return {path: path.read_bytes() for part in ("store", "run/secrets") for path in (self.root / part).rglob("*") if path.is_file()}

    def test_what_is_no_such_file(self):
        self.refused(b"", "no file of new secrets")
        self.refused(b"PK\3\4 something else" * 9, "no file of new secrets")
        self.refused(bytes(2 << 20), "too large")
        whole = signed(NEW)
        self.refused(whole[:-1], "not whole")
        self.refused(whole + b"\n", "not whole")
        self.refused(whole[:20], "no file of new secrets")
        self.refused(pack(message(NEW), sign(message(NEW)), version=2), "version 2")

    def test_signatures(self):
        payload = message(NEW)
        self.refused(pack(payload, b""), "not signed")
        self.refused(pack(payload, b"-----BEGIN SSH SIGNATURE-----\nAAAA\n"), "nobody who is an admin")
        self.refused(signed(NEW, key="keys/stranger"), "nobody who is an admin")
        self.refused(pack(payload, sign(message({"box/heartbeat": "x"}))), "does not fit")
        self.refused(signed(NEW, namespace="git"), "does not fit")
        for position in (32, 60, len(payload) + 31):
            whole = bytearray(pack(payload, sign(payload)))
            whole[position] ^= 1
            self.refused(bytes(whole), "does not fit")

    def test_a_box_without_admins_takes_nothing(self):
        self.taking.SIGNERS = self.root / "nothing"
        self.refused(signed(NEW), "names no admins")

    def test_nothing_is_parsed_before_it_is_verified(self):
        self.patch(self.taking.json, "loads", lambda *_: self.fail("parsed"))
        self.refused(signed(NEW, key="keys/stranger"), "nobody who is an admin")

    def test_another_boxs(self):
        self.refused(signed(NEW, box="nas"), "of the box 'nas', and this is 'servarr'")

    def test_what_cannot_be_read(self):
        for payload in (b"[]", b"{}", b"\xff", message({"../../etc/x": "y"}), message({"box/x": 5}), message(NEW, serial=0), message(NEW, serial="9")):
            self.refused(pack(payload, sign(payload)), "cannot be read")

    def test_older_ones(self):
        self.taking.take(signed({"box/heartbeat": "https://hc-ping.com/later"}, serial=1_900_000_000))
        self.apply()
        (self.root / "calls").write_text("")
        self.refused(signed(NEW, serial=1_899_999_999), "others on 2030-", "that have been taken")
        # The same file once more is no mistake, and does nothing.
        said = self.taking.take(signed({"box/heartbeat": "https://hc-ping.com/later"}, serial=1_900_000_000))
        self.assertEqual(said, ["these secrets were taken before: there is nothing to do"])

    def test_older_ones_while_the_later_are_not_applied_yet(self):
        # As if the power had failed between the two.
        self.patch(self.store, "settle", lambda: None)
        self.taking.take(signed({"box/heartbeat": "https://hc-ping.com/later"}, serial=1_900_000_000))
        self.refused(signed(NEW, serial=1_800_000_000), "that have been taken")

    def test_those_of_before_the_disk_was_written(self):
        self.secrets.handover.KEPT.write_text('{"incarnation": 1, "took": {"incarnation": 1950000000}}')
        self.refused(signed(NEW, serial=1_949_999_999), "that have been taken")
        self.taking.take(signed({"box/heartbeat": "https://hc-ping.com/later"}, serial=1_950_000_001))

    def test_one_that_counts_at_the_first_start_alone(self):
        self.refused(signed({**NEW, "amp/licence": "a-canary"}), "amp/licence: amp takes it at its first start only; enter it in AMP")

    def test_one_that_the_boxs_own_program_refuses(self):
        (self.root / "fails-backup-password-check").write_text("noise\nthe disk vault is not there\n")
        with self.assertRaises(self.secrets.Trouble) as caught:
            self.taking.take(signed({**NEW, "box/backup-password": "a-canary"}))
        self.assertEqual(str(caught.exception), "box/backup-password: the disk vault is not there: nothing was changed")
        self.assertEqual(self.stored(), FIRST)
        self.assertEqual(self.calls(), ["backup-password check"])

    def test_where_nothing_would_last(self):
        self.lasting = False
        with self.assertRaises(self.secrets.Trouble) as caught:
            self.taking.take(signed(NEW))
        self.assertIn("nothing would last", str(caught.exception))
        self.assertEqual(self.stored(), FIRST)


class Rotation(Rig):
    def test_a_whole_file_of_the_builders_with_one_changed_value(self):
        self.assertEqual(self.taking.take(SECOND), ["taken over: box/heartbeat"])
        self.assertTrue(self.apply())
        self.assertEqual(self.stored(), FIRST | {"box/heartbeat": "https://hc-ping.com/second-value"})
        self.assertEqual(self.placed("box/heartbeat"), "https://hc-ping.com/second-value")
        # Who reads it does so each time.
        self.assertEqual([call for call in self.calls() if "restart" in call or "service " in call], [])
        [line] = self.logged
        self.assertIn("signed by ann", line)
        self.assertNotIn("hc-ping", line)
        self.assertFalse((self.root / "store/rotation").exists())
        self.assertEqual(self.problems(), [])

    def test_those_who_use_it_start_again_and_no_others(self):
        self.taking.take(signed({"cloudflared/tunnel": "new", "box/ssh-tunnel": "new too", "box/disk-media-password": "p"}))
        self.assertTrue(self.apply())
        units = "/srv/media boxwright-service-cloudflared.service boxwright-ssh-tunnel.service"
        self.assertIn(f"systemctl --no-block try-restart {units}", self.calls())
        self.assertEqual(self.placed("cloudflared/tunnel"), "new")
        self.assertIn("password=p\n", self.placed("box/disk-media"))
        self.assertEqual(stat.S_IMODE((self.root / "run/secrets/cloudflared/tunnel").stat().st_mode), 0o400)

    def test_one_that_several_use_reaches_each_in_its_way(self):
        self.taking.take(signed({"box/mail-password": "new mail"}))
        self.assertTrue(self.apply())
        calls = self.calls()
        self.assertIn("service rotated immich mail-password", calls)
        self.assertIn("service rotated seerr mail-password", calls)
        [restart] = [call for call in calls if "try-restart" in call]
        self.assertEqual(restart, "systemctl --no-block try-restart boxwright-service-nextcloud.service")
        for service in ("immich", "seerr", "nextcloud"):
            self.assertEqual(self.placed(f"{service}/mail-password"), "new mail")

    def test_a_program_of_the_boxs_own_gets_both_values_and_no_argument(self):
        self.taking.take(signed({"box/backup-password": "new one"}))
        given = {"value": "new one", "former": FIRST["box/backup-password"]}
        self.assertEqual(json.loads((self.root / "given-check").read_text()), given)
        self.assertFalse((self.root / "given-apply").exists())
        self.assertTrue(self.apply())
        self.assertEqual(json.loads((self.root / "given-apply").read_text()), given)
        self.assertEqual([call for call in self.calls() if "backup" in call], ["backup-password check", "backup-password apply"])
        self.assertFalse((self.root / "store/rotation").exists())

    def test_one_that_counts_at_the_first_start_alone_is_fine_as_it_was_and_before(self):
        same = {"amp/licence": FIRST["amp/licence"], "box/heartbeat": "https://hc-ping.com/x"}
        self.assertEqual(self.taking.take(signed(same)), ["taken over: box/heartbeat"])
        for path in self.secrets.stored("amp/licence"), self.secrets.stored("amp/licence", "tpm"):
            path.unlink(missing_ok=True)
        self.assertEqual(self.taking.take(signed({"amp/licence": "late"}, serial=2_000_000_001)), ["taken over: amp/licence"])
        # One that was lost brings an application back that cannot start without it.
        (self.root / "state/amp").mkdir()
        self.secrets.stored("amp/licence").unlink()
        self.assertEqual(self.taking.take(signed({"amp/licence": "again"}, serial=2_000_000_002)), ["taken over: amp/licence"])
        # One that can start without has done so.
        self.secrets.stored("amp/licence").unlink()
        self.map["secrets"]["amp/licence"]["users"]["amp"] = False
        (self.root / "map.json").write_text(json.dumps(self.map))
        with self.assertRaises(self.secrets.Trouble):
            self.taking.take(signed({"amp/licence": "too late"}, serial=2_000_000_003))

    def test_what_this_release_does_not_know_is_left_out_and_said(self):
        said = self.taking.take(signed({"newer/key": "a-canary", "box/heartbeat": "https://hc-ping.com/x", "nextcloud/db-password": "mine"}))
        self.assertEqual(said[:2], ["newer/key was left out: this release has no use for it", "nextcloud/db-password was left out: this release has no use for it"])
        self.assertEqual(said[2:], ["taken over: box/heartbeat"])

    def test_what_the_box_has_already_is_taken_for_its_serial_only(self):
        said = self.taking.take(signed(FIRST, serial=1_900_000_000))
        self.assertEqual(said, ["the box has all of these already: there is nothing to do"])
        self.assertTrue(self.apply())
        self.assertFalse([call for call in self.calls() if "restart" in call])
        with self.assertRaises(self.secrets.Trouble):
            self.taking.take(signed(NEW, serial=1_800_000_000))

    def test_what_does_not_work_yet_is_told_and_done_later(self):
        (self.root / "fails-immich").write_text("immich does not run yet\n")
        (self.root / "status-immich").write_text("1")
        self.taking.take(signed({"box/mail-password": "new mail", "cloudflared/tunnel": "new"}))
        self.assertFalse(self.apply())
        [problem] = self.problems()
        self.assertEqual(problem, "immich has not got the new box/mail-password yet, and it is tried again: immich does not run yet")
        [left] = self.store.journal()["todo"]
        self.assertEqual((left["user"], left["secret"]), ("immich", "box/mail-password"))
        # The others have been told, once.
        self.assertEqual(len([call for call in self.calls() if "try-restart" in call]), 1)
        (self.root / "fails-immich").unlink()
        self.reboot()
        (self.root / "calls").write_text("")
        self.assertTrue(self.apply())
        self.assertEqual([call for call in self.calls() if call.startswith("service")], ["service rotated immich mail-password"])
        self.assertFalse([call for call in self.calls() if "try-restart" in call])
        self.assertEqual(self.problems(), [])
        self.assertFalse((self.root / "store/rotation").exists())

    def test_what_has_started_since_is_not_started_again(self):
        self.taking.take(signed({"cloudflared/tunnel": "new"}))
        self.reboot()
        self.assertEqual(self.placed("cloudflared/tunnel"), "new")
        self.assertTrue(self.apply())
        self.assertEqual([call for call in self.calls() if "restart" in call], [])
        self.assertFalse((self.root / "store/rotation").exists())

    def test_what_only_the_owner_can_do_is_told_and_not_tried_again(self):
        (self.root / "fails-seerr").write_text("enter it there yourself\n")
        (self.root / "status-seerr").write_text("4")
        self.taking.take(signed({"box/mail-password": "new mail"}))
        self.assertTrue(self.apply())
        self.assertEqual(self.problems(), ["enter it there yourself"])
        self.assertIsNone(self.store.journal())

    def test_a_second_one_before_everyone_has_the_first(self):
        (self.root / "fails-backup-password-apply").write_text("away\n")
        self.taking.take(signed({"box/backup-password": "second", "box/heartbeat": "https://hc-ping.com/2"}, serial=2_000_000_000))
        self.assertFalse(self.apply())
        self.taking.take(signed({"cloudflared/tunnel": "new"}, serial=2_000_000_001))
        for name in ("fails-backup-password-apply", "given-apply"):
            (self.root / name).unlink()
        self.assertTrue(self.apply())
        given = json.loads((self.root / "given-apply").read_text())
        self.assertEqual(given, {"value": "second", "former": FIRST["box/backup-password"]})
        self.assertEqual(self.stored(), FIRST | {"box/backup-password": "second", "box/heartbeat": "https://hc-ping.com/2", "cloudflared/tunnel": "new"})
        self.assertIn("boxwright-service-cloudflared.service", "".join(self.calls()))

    def test_a_power_cut_anywhere_leaves_all_of_it_or_nothing(self):
        """And what was taken is applied at the next start."""
        new = {"box/mail-password": "new mail", "cloudflared/tunnel": "new", "box/backup-password": "second"}
        serial, outcomes = 2_000_000_000, set()
        for step in range(200):
            with self.subTest(step=step):
                for name, value in FIRST.items():
                    self.secrets.keep(name, value)
                self.secrets.placed()
                serial += 1
                finished = self.cut(step, signed(new, serial=serial))
                self.reboot()
                (self.root / "calls").write_text("")
                stored = self.stored()
                self.assertIn(stored, (FIRST, FIRST | new))
                outcomes.add(stored == FIRST)
                took = stored != FIRST
                self.assertTrue(self.apply())
                self.assertEqual(self.placed("cloudflared/tunnel"), stored["cloudflared/tunnel"])
                self.assertFalse((self.root / "store/rotation").exists())
                # Nothing that is nobody's stays.
                names = {path.name for path in (self.root / "store").iterdir()} - {"serial"}
                self.assertEqual(names, {f"{self.store.flat(name)}.cred" for name in FIRST})
                if took and not finished:
                    self.assertTrue(self.told)
            if finished:
                break
        self.assertTrue(finished)
        self.assertEqual(outcomes, {True, False})

    def cut(self, step, data):
        """Takes and applies, but the power fails at so manieth change of a name or sync. Returns whether it did not come to that."""
        power = Power(step)
        (self.root / "calls").write_text("")
        with contextlib.ExitStack() as stack:
            for thing, name in ((os, "replace"), (os, "link"), (os, "fsync"), (pathlib.Path, "rename")):
                original = getattr(thing, name)
                setattr(thing, name, power.on(original))
                stack.callback(setattr, thing, name, original)
            try:
                self.taking.take(data)
                self.applying.apply_all()
            except PowerCut:
                return False
            finally:
                self.before = self.calls()
        return True

    @property
    def told(self):
        """Whether everyone was told, before the cut or after it; what starts anew with the box need not be."""
        calls = self.before + self.calls()
        wanted = ["service rotated immich mail-password", "service rotated seerr mail-password", "backup-password apply"]
        return all(call in calls for call in wanted)

    def test_the_list_has_no_value(self):
        self.taking.take(SECOND)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.listing.show()
        lines = {line.split()[0]: line for line in said.getvalue().splitlines()}
        self.assertEqual(set(lines), set(self.map["secrets"]))
        self.assertRegex(lines["box/ssh-tunnel"], r"  since \d{4}-\d\d-\d\d \d\d:\d\d  a new one restarts ssh$")
        self.assertIn("is handed to immich, restarts nextcloud, is handed to seerr", lines["box/mail-password"])
        self.assertIn("is read by alerts each time", lines["box/heartbeat"])
        self.assertIn("at the first start of amp alone", lines["amp/licence"])
        self.assertIn("restarts /srv/media", lines["box/disk-media-user"])
        self.assertIn("not given", lines["gluetun/wireguard-preshared-key"])
        self.assertIn("the box made it", lines["nextcloud/db-password"])
        for value in FIRST.values():
            self.assertNotIn(value, said.getvalue())


main()
