#!/usr/bin/env python3
"""Holds the program `check` of cloudflared's folder against what a tunnel may serve.

tunnel.py TREE CLOUDFLARED    TREE is a rendered profile, CLOUDFLARED the stand-in, whose /config has the shape of the real one's
                              (2026.8, which adds every default of originRequest)
"""

import copy
import http.server
import io
import json
import os
import pathlib
import subprocess
import sys
import threading
import unittest
from contextlib import redirect_stderr
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from unittest import mock

FOLDER = pathlib.Path(sys.argv[1]) / "etc/boxwright/services/cloudflared"
PRINTED = subprocess.run(
    ["sh", sys.argv[2], "served", "--config", FOLDER / "config.yml"], check=True, capture_output=True, text=True,
).stdout
LOADER = SourceFileLoader("check", str(FOLDER / "check"))
CHECK = module_from_spec(spec_from_loader("check", LOADER))
LOADER.exec_module(CHECK)


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
        Metrics.config = json.loads(PRINTED)
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

    def test_no_answer_stops_nothing(self):
        with mock.patch.object(CHECK, "PORT", 1):
            status, said = self.check()
        self.assertEqual(status, 1)
        self.assertIn("does not say what it serves", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
