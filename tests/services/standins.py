"""What the tests of the services' own programs share: applications that answer as a test says, and stand-ins of docker and
systemctl that write down what they were asked."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TREE = pathlib.Path(sys.argv[1])
WORK = pathlib.Path(tempfile.mkdtemp())
BIN, STATE, SECRETS = WORK / "bin", WORK / "state", WORK / "secrets"
for each in (BIN, STATE, SECRETS):
    each.mkdir()

STUB = """#!/usr/bin/python3
import json, os, sys
given = sys.stdin.read() if "--interactive" in sys.argv else ""
variables = {name: os.environ[name] for name in ("NC_PASS", "OC_PASS") if name in os.environ}
with open(os.environ["CALLS"], "a") as file:
    print(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], given, variables]), file=file)
"""


class Application:
    """Answers (method, path without query) with what `answers` has: (status, headers, text), or a function of the body."""

    def __init__(self, answers):
        self.answers, self.calls = answers, []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode() if length else ""
                path = self.path.partition("?")[0]
                owner.calls.append((self.command, self.path, body, dict(self.headers)))
                found = owner.answers.get((self.command, path), (404, {}, "no such page"))
                status, headers, text = found(body, self.headers) if callable(found) else found
                data = text.encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def as_json(value, status=200):
    return status, {}, json.dumps(value)


def stub(name, more=""):
    """A stand-in for a command that writes down its call; `more` is Python that runs then."""
    path = BIN / name
    path.write_text(STUB + more)
    path.chmod(0o755)


def calls():
    """What the stand-ins were asked since the last question."""
    path = WORK / "calls"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def variables(name, applications=None):
    (STATE / name).mkdir(exist_ok=True)
    (SECRETS / name).mkdir(exist_ok=True)
    return {
        "STATE": str(STATE / name),
        "SECRETS": str(SECRETS / name),
        "OWNER_UID": str(os.getuid()),
        "OWNER_GID": str(os.getgid()),
        "UNIT": f"boxwright-service-{name}.service",
        "PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin",
        "CALLS": str(WORK / "calls"),
        "PYTHONPATH": str(TREE / "usr/lib/boxwright"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "URLS": json.dumps({one: application.url for one, application in (applications or {}).items()}),
    }


def run(service, program, *words, applications=None, given="", more=None):
    """The exit code of a service's program, and what it said on standard error."""
    path = TREE / "etc/boxwright/services" / service / program
    done = subprocess.run(
        [sys.executable, path, *words], env={**variables(service, applications), **(more or {})}, input=given,
        capture_output=True, text=True, check=False,
    )
    return done.returncode, done.stderr.strip()


def holds(what):
    print(f"ok {what}", flush=True)
