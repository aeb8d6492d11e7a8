#!/usr/bin/env python3
"""Holds the programs `seed` and `check` of cloudflared's folder against what a tunnel may serve, with and without owners.

tunnel.py TREE CLOUDFLARED    TREE is a rendered profile, CLOUDFLARED the stand-in, whose /config has the shape of the real one's
                              (2026.8, which adds every default of originRequest)
"""

import copy
import http.server
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from contextlib import redirect_stderr
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from unittest import mock

# As the box calls them.
sys.path[:0] = [str(pathlib.Path(sys.argv[1]) / part) for part in ("etc/boxwright/services/cloudflared", "usr/lib/boxwright")]
FOLDER = pathlib.Path(sys.argv[1]) / "etc/boxwright/services/cloudflared"
WORK = pathlib.Path(tempfile.mkdtemp())
STATE, OWNED = WORK / "state", WORK / "owned"
os.environ.update(STATE=str(STATE), OWNED=str(OWNED))
GATED = sorted({rule["gate"] for rule in json.loads((FOLDER / "ingress.json").read_text()) if rule["gate"]})


def program(name):
    loader = SourceFileLoader(name, str(FOLDER / name))
    module = module_from_spec(spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


CHECK, SEED = program("check"), program("seed")


def own(*names):
    """Makes exactly these services have an owner."""
    shutil.rmtree(OWNED, ignore_errors=True)
    for name in names:
        OWNED.mkdir(exist_ok=True)
        (OWNED / name).touch()


def printed():
    """What cloudflared says that it serves once it was started with what `seed` writes."""
    (STATE / "config").mkdir(parents=True, exist_ok=True)
    SEED.main()
    words = ["sh", sys.argv[2], "served", "--config", STATE / "config/config.yml"]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


class Metrics(http.server.BaseHTTPRequestHandler):
    config = None

    def do_GET(self):
        self.send_response(200 if self.path == "/config" else 404)
        self.end_headers()
        self.wfile.write(json.dumps(Metrics.config).encode())

    def log_message(self, *_):
        pass


class Tunnel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        server = http.server.HTTPServer(("127.0.0.1", 0), Metrics)
        CHECK.PORT = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def setUp(self):
        own(*GATED)
        Metrics.config = printed()
        self.rules = Metrics.config["config"]["ingress"]

    def check(self, address="127.0.0.1"):
        """Exit status, and what was said."""
        said = io.StringIO()
        with mock.patch.dict(os.environ, ADDRESS=address), redirect_stderr(said):
            try:
                CHECK.main()
            except SystemExit as end:
                return (end.code, said.getvalue()) if isinstance(end.code, int) else (1, end.code)
        return 0, said.getvalue()

    def test_what_the_release_says(self):
        self.assertGreater(len(self.rules), 5)
        self.assertEqual(self.check(), (0, ""))

    def test_defaults_are_no_difference(self):
        for rule in self.rules:
            access = rule["originRequest"].setdefault("access", {}) or {"teamName": "", "audTag": None}
            rule["originRequest"] = {"connectTimeout": 30, "noTLSVerify": False, "access": access}
            rule["Handlers"] = None
        self.assertEqual(self.check()[0], 0)

    def test_every_kind_of_other_rule(self):
        guarded = next(rule for rule in self.rules if rule["originRequest"].get("access", {}).get("required"))
        changes = {
            "another service": lambda rule: rule.update(service="http://10.0.0.1:22"),
            "another name": lambda rule: rule.update(hostname="other.example.com"),
            "a path": lambda rule: rule.update(path="^/admin"),
            "no Access": lambda rule: rule["originRequest"]["access"].update(required=False),
            "another team": lambda rule: rule["originRequest"]["access"].update(teamName="others"),
            "another application": lambda rule: rule["originRequest"]["access"].update(audTag=["0"]),
        }
        for name, change in changes.items():
            with self.subTest(name):
                before = copy.deepcopy(guarded)
                change(guarded)
                status, said = self.check()
                self.assertEqual(status, 3, said)
                self.assertIn("not of this release", said)
                guarded.clear()
                guarded.update(before)

    def test_rules_more_fewer_or_in_another_order(self):
        whole = list(self.rules)
        for name, rules in {
            "one more": [{"hostname": "ssh.example.com", "path": None, "service": "ssh://192.168.1.1:22"}, *whole],
            "one fewer": whole[1:],
            "another order": [whole[1], whole[0], *whole[2:]],
            "none": [],
        }.items():
            with self.subTest(name):
                Metrics.config["config"]["ingress"] = rules
                self.assertEqual(self.check()[0], 3)

    def led_to(self, config):
        """Where each host name leads."""
        return {rule["hostname"]: rule["service"] for rule in config["config"]["ingress"] if rule["path"] is None}

    def test_without_an_owner_there_is_nothing_but_503(self):
        self.assertIn("seerr", GATED)
        self.assertNotIn("sonarr", GATED)
        open_ = self.led_to(printed())
        self.assertEqual(open_["requests.example.com"], "http://seerr:5055")
        # Not even a folder: that is how a new box begins.
        own()
        shut = printed()
        gates = {rule["hostname"] for rule in json.loads((FOLDER / "ingress.json").read_text()) if rule["gate"]}
        for name, service in self.led_to(shut).items():
            self.assertEqual(service, "http_status:503" if name in gates else open_[name], name)
        before, after = Metrics.config["config"]["ingress"], shut["config"]["ingress"]
        for one, other in zip(before, after, strict=True):
            self.assertEqual({**one, "service": ""}, {**other, "service": ""})
        Metrics.config = shut
        self.assertEqual(self.check(), (0, ""))

    def test_an_owner_who_came_or_went_asks_for_a_start(self):
        own()
        status, said = self.check()
        self.assertEqual(status, 4, said)
        Metrics.config = printed()
        own("seerr")
        self.assertEqual(self.check()[0], 4)
        Metrics.config = printed()
        self.assertEqual(self.check(), (0, ""))

    def test_503_elsewhere_is_no_gate(self):
        rule = next(rule for rule in self.rules if rule["hostname"] == "sonarr.example.com")
        rule["service"] = "http_status:503"
        self.assertEqual(self.check()[0], 3)

    def test_a_gate_hides_no_other_change(self):
        own()
        for rule in self.rules:
            if rule["hostname"] == "sonarr.example.com":
                rule["service"] = "http://10.0.0.1:22"
        self.assertEqual(self.check()[0], 3)

    def test_rules_that_are_not_those_of_the_list_are_not_written(self):
        text = (FOLDER / "config.yml").read_text()
        for name, other in {
            "another": text.replace("http://sonarr:8989", "http://sonarr:1"),
            "one more": text.replace("  - service: http_status:404", "  - service: http_status:404\n  - service: http_status:404"),
            "one fewer": text.replace("  - service: http_status:404\n", ""),
        }.items():
            with self.subTest(name), self.assertRaises(SystemExit):
                self.assertNotEqual(other, text)
                SEED.served(other)

    def test_no_answer_stops_nothing(self):
        with mock.patch.object(CHECK, "PORT", 1):
            status, said = self.check()
        self.assertEqual(status, 1)
        self.assertIn("does not say what it serves", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
