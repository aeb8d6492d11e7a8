#!/usr/bin/env python3
"""Hands lists to the box's program `edge`. edge.py EDGE"""

import http.server
import json
import pathlib
import sys
import tempfile
import threading
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from unittest import mock

PROGRAM = pathlib.Path(sys.argv[1])
RULES = PROGRAM.parents[3] / "etc/ufw/after.rules.tera"
LIST = """173.245.48.0/20 103.21.244.0/22 103.22.200.0/22 103.31.4.0/22 141.101.64.0/18 108.162.192.0/18 190.93.240.0/20
188.114.96.0/20 197.234.240.0/22 198.41.128.0/17 162.158.0.0/15 104.16.0.0/13 104.24.0.0/14 172.64.0.0/13 131.0.72.0/22""".split()


class Web(http.server.BaseHTTPRequestHandler):
    status, text = 200, ""

    def do_GET(self):
        self.send_response(Web.status)
        self.end_headers()
        self.wfile.write(Web.text.encode())

    def log_message(self, *_):
        pass


class Edge(unittest.TestCase):
    def setUp(self):
        loader = SourceFileLoader("edge", str(PROGRAM))
        self.edge = module_from_spec(spec_from_loader("edge", loader))
        loader.exec_module(self.edge)
        root = pathlib.Path(tempfile.mkdtemp())
        self.edge.KEPT, self.edge.RELEASE, self.edge.PROBLEM = root / "kept", root / "rules", root / "problems/edge"
        (root / "rules").write_text("*mangle\n" + "".join(f"-A bw-edge -s {one} -j ACCEPT\n" for one in LIST))
        server = http.server.HTTPServer(("127.0.0.1", 0), Web)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.edge.LIST = f"http://127.0.0.1:{server.server_address[1]}/"
        Web.status = 200

    def refresh(self, *lines):
        """The rules that were loaded, if any."""
        Web.text = "\n".join(lines) + "\n"
        with mock.patch.object(self.edge.subprocess, "run") as run:
            try:
                self.edge.refresh()
            except SystemExit as end:
                self.assertFalse(run.called)
                return str(end)
        return run.call_args.kwargs["input"] if run.called else None

    def test_the_list_of_today(self):
        rules = self.refresh(*LIST)
        self.assertEqual(rules.count("-j ACCEPT"), len(LIST))
        self.assertEqual(json.loads(self.edge.KEPT.read_text())[0], "103.21.244.0/22")

    def test_a_network_that_came_and_one_that_went(self):
        rules = self.refresh(*LIST[1:], "8.8.8.0/24")
        self.assertIn("-A bw-edge -s 8.8.8.0/24 -j ACCEPT", rules)
        self.assertNotIn("173.245.48.0/20", rules)

    def test_what_is_not_taken_over(self):
        for lines, word in (
            (["<html>", *LIST], "no network"),
            ([], "0 networks"),
            ([*LIST, "0.0.0.0/0"], "cannot be Cloudflare's"),
            ([*LIST, "10.0.0.0/16"], "cannot be Cloudflare's"),
            ([*LIST, "8.0.0.0/9"], "cannot be Cloudflare's"),
            (["8.8.8.0/24"], "only 0 of the 15"),
            ([f"8.8.{number}.0/24" for number in range(80)], "80 networks"),
        ):
            with self.subTest(word=word, lines=lines[-1:]):
                self.assertIn(word, self.refresh(*lines))
                self.assertIn("was not taken over", self.edge.PROBLEM.read_text())
                self.assertFalse(self.edge.KEPT.exists())
        self.refresh(*LIST)
        self.assertFalse(self.edge.PROBLEM.exists())

    def test_no_answer_changes_nothing(self):
        self.refresh(*LIST)
        Web.status = 500
        self.assertIsNone(self.refresh())
        self.assertEqual(len(self.edge.kept()), len(LIST))
        self.assertFalse(self.edge.PROBLEM.exists())

    def test_the_release_names_the_same_networks(self):
        text = RULES.read_text()
        for one in LIST:
            self.assertIn(f'"{one}"', text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
