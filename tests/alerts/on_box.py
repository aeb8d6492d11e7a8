#!/usr/bin/env python3
"""Runs the box's own `alerts` against servers of this test: ntfy's and Pushbullet's interfaces over HTTP, and mail over SMTP.

on_box.py ALERTS    ALERTS is the program; what `box status` lists as missing or wrong comes from this test
"""

import http.server
import json
import pathlib
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import types
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from unittest import mock

sys.dont_write_bytecode = True
PROGRAM = pathlib.Path(sys.argv[1])
PROBLEMS = []
sys.modules["status"] = types.SimpleNamespace(problems=lambda: list(PROBLEMS))


class Web(http.server.BaseHTTPRequestHandler):
    """Keeps what it gets; answers as told."""

    got, status = [], 200

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        Web.got.append((self.command, self.path, self.headers.get("Access-Token"), json.loads(body) if body else None))
        self.send_response(Web.status)
        self.end_headers()

    do_GET = do_POST = handle_any

    def log_message(self, *_):
        pass


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a message needs, STARTTLS and AUTH PLAIN included."""

    got, context = [], None

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")
        self.wfile.flush()

    def handle(self):
        secure, user = False, None
        self.say("220 mail.test")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                self.say("250-mail.test")
                self.say("250 AUTH PLAIN" if secure else "250 STARTTLS")
            elif verb == "STARTTLS":
                self.say("220 go")
                try:
                    self.connection = Mail.context.wrap_socket(self.connection, server_side=True)
                except ssl.SSLError:
                    return
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
                secure = True
            elif verb == "AUTH":
                user = line.split()[2]
                self.say("235 ok")
            elif verb == "DATA":
                self.say("354 go")
                lines = []
                while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                    lines.append(text)
                Mail.got.append((secure, user, "\n".join(lines)))
                self.say("250 ok")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")


def serve(kind, handler):
    server = kind(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


class Alerts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.web = serve(http.server.ThreadingHTTPServer, Web)
        cls.smtp = serve(socketserver.ThreadingTCPServer, Mail)
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-keyout", cls.folder / "key", "-out", cls.folder / "crt"],
            check=True, capture_output=True,
        )
        Mail.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        Mail.context.load_cert_chain(cls.folder / "crt", cls.folder / "key")

    def setUp(self):
        loader = SourceFileLoader("alerts", str(PROGRAM))
        self.alerts = module_from_spec(spec_from_loader("alerts", loader))
        loader.exec_module(self.alerts)
        root = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        self.alerts.CONFIG, self.alerts.SECRETS, self.alerts.TOLD = root / "config", root, root / "told"
        self.alerts.MEANWHILE = root / "meanwhile"
        self.alerts.PUSHBULLET = f"http://localhost:{self.web}/v2/pushes"
        for name, value in (("pushbullet", "token"), ("ntfy-topic", "topic"), ("mail-password", "word"), ("heartbeat", f"http://localhost:{self.web}/beat")):
            (root / name).write_text(value)
        PROBLEMS.clear()
        Web.got, Web.status, Mail.got = [], 200, []
        self.now = 1_700_000_000
        self.config = {"box": "servarr", "to": ["pushbullet"], "heartbeat": False, "ntfy": f"http://localhost:{self.web}", "mail": None}

    def look(self, minutes=5):
        self.now += minutes * 60
        with mock.patch.object(self.alerts.time, "time", lambda: self.now):
            self.alerts.look(self.config)
        return Web.got[-1][3] if Web.got else None

    def test_a_problem_is_told_once_it_lasts_and_once_when_it_is_over(self):
        PROBLEMS.append("the disk media is not there")
        self.assertIsNone(self.look(), "told at first sight")
        self.assertEqual(self.look(), {"type": "note", "title": "servarr: 1 problem", "body": "the disk media is not there"})
        self.assertEqual(Web.got[0][2], "token")
        self.look()
        self.look()
        self.assertEqual(len(Web.got), 1, "told twice")
        PROBLEMS.clear()
        self.assertEqual(self.look()["title"], "servarr: all is well again")
        self.assertIn("over: the disk media is not there", Web.got[-1][3]["body"])
        self.look()
        self.assertEqual(len(Web.got), 2)

    def test_what_comes_and_goes_is_not_told(self):
        for _ in range(4):
            PROBLEMS[:] = ["plex: its container is starting"]
            self.look()
            PROBLEMS.clear()
            self.look()
        self.assertEqual(Web.got, [])

    def test_what_lasts_is_told_again_each_day(self):
        PROBLEMS.append("this release is old")
        self.look()
        self.look()
        self.look(23 * 60)
        self.assertEqual(len(Web.got), 1)
        self.look(60)
        self.assertEqual(len(Web.got), 2)

    def test_what_did_not_get_through_is_tried_again(self):
        PROBLEMS.append("one")
        self.look()
        Web.status = 500
        self.look()
        Web.status = 200
        self.assertEqual(self.look()["body"], "one")
        PROBLEMS.clear()
        Web.status = 500
        self.look()
        Web.status = 200
        self.assertEqual(self.look()["body"], "over: one")

    def test_one_way_that_works_is_enough(self):
        self.config["to"] = ["ntfy", "pushbullet"]
        (self.alerts.SECRETS / "pushbullet").unlink()
        PROBLEMS.append("größer")
        self.look()
        self.assertEqual(self.look(), {"topic": "topic", "title": "servarr: 1 problem", "message": "größer"})
        self.look()
        self.assertEqual(len(Web.got), 1)

    def test_mail_goes_over_tls_only(self):
        self.config |= {"to": ["mail"], "mail": {
            "host": "localhost", "port": self.smtp, "security": "starttls", "from": "box@example.com", "to": None, "user": "box",
        }}
        PROBLEMS.append("one")
        self.look()
        self.look()
        self.assertEqual(Mail.got, [], "sent to a server that nobody vouches for")
        trusted = ssl.create_default_context(cafile=self.folder / "crt")
        with mock.patch.object(self.alerts.ssl, "create_default_context", lambda: trusted):
            self.look()
        secure, user, text = Mail.got[0]
        self.assertTrue(secure and user)
        for line in ("From: box@example.com", "To: box@example.com", "Subject: servarr: 1 problem", "one"):
            self.assertIn(line, text.splitlines())

    def test_the_heartbeat_is_a_call_each_time(self):
        self.config |= {"to": [], "heartbeat": True}
        self.look()
        self.look()
        self.assertEqual([one[:2] for one in Web.got], [("GET", "/beat")] * 2)

    def test_a_full_system_partition_is_told_once_too(self):
        self.config["heartbeat"] = True
        PROBLEMS.append("/var/lib/boxwright is full")
        # Nothing can be written there.
        self.alerts.TOLD = self.alerts.TOLD.parent / "none" / "told"
        for _ in range(4):
            self.look()
        self.assertEqual([one[1] for one in Web.got].count("/v2/pushes"), 1)
        self.assertEqual([one[1] for one in Web.got].count("/beat"), 4)
        self.alerts.TOLD.parent.mkdir()
        self.look()
        self.assertFalse(self.alerts.MEANWHILE.exists())
        self.look()
        self.assertEqual([one[1] for one in Web.got].count("/v2/pushes"), 1, "told again")

    def test_no_secret_is_in_what_is_said(self):
        self.config["to"] = ["pushbullet", "ntfy"]
        self.alerts.PUSHBULLET = "http://localhost:1/token"
        self.config["ntfy"] = "http://localhost:1"
        said = self.alerts.send(self.config, "a", "b")
        self.assertEqual(len(said), 2)
        self.assertFalse([one for one in said if "token" in one or "topic" in one])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
