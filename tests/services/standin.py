"""What the tests of `setup` programs share: stand-ins of the applications' APIs on loopback, and how a program is run."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The rendered trees, in the order of the arguments.
TREES = [pathlib.Path(path) for path in sys.argv[1:]]
WORK = pathlib.Path(tempfile.mkdtemp())


def schema(kind, fields, **more):
    return {"implementation": kind, "configContract": kind + "Settings", "fields": [{"name": name} for name in fields], **more}


class Application:
    """An API on a port of its own: collections that can be listed and added to, and what else each application has."""

    def __init__(self, name, key=None, lists=None, single=None, actions=None):
        self.name, self.key, self.calls = name, key, []
        self.lists, self.single, self.actions = lists or {}, single or {}, actions or {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self, "GET")

            def do_POST(self):
                owner.answer(self, "POST")

            def do_PUT(self):
                owner.answer(self, "PUT")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request, method):
        length = int(request.headers.get("Content-Length") or 0)
        data = request.rfile.read(length)
        form = request.headers.get("Content-Type") == "application/x-www-form-urlencoded"
        body = dict(urllib.parse.parse_qsl(data.decode(), keep_blank_values=True)) if form else json.loads(data or "null")
        status, value = self.decide(method, request.path, body, request.headers)
        if self.changes(method, request.path, body):
            self.calls.append((method, request.path, body))
        self.send(request, status, value)

    def changes(self, method, path, body):
        """Whether a request changes something; the second run of a `setup` must make none."""
        return method != "GET"

    def send(self, request, status, value):
        data = json.dumps(value).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def decide(self, method, path, body, headers):
        if self.key and headers.get("X-Api-Key") != self.key:
            return 401, {"message": "no key"}
        if (method, path) in self.actions:
            return self.actions[method, path](body, headers)
        top, _, last = path.rpartition("/")
        if path in self.single and method == "GET":
            return 200, self.single[path]
        if method == "PUT" and top in self.single:
            self.single[top] = body
            return 202, body
        if path in self.lists and method == "GET":
            return 200, self.lists[path]
        if path in self.lists and method == "POST":
            self.lists[path].append({**body, "id": len(self.lists[path]) + 1})
            return 201, body
        if method == "PUT" and top in self.lists:
            self.lists[top] = [body if str(one["id"]) == last else one for one in self.lists[top]]
            return 202, body
        return 404, {"message": f"no {path}"}


def setup(name, applications, secrets, tree=None):
    """The exit code of a service's setup, and what it said."""
    tree = tree or TREES[0]
    folder = pathlib.Path(tempfile.mkdtemp(dir=WORK))
    for key, value in secrets.items():
        (folder / key).write_text(value)
    variables = {
        "STATE": str(WORK / "state" / name),
        "SECRETS": str(folder),
        "OWNER_UID": str(os.getuid()),
        "OWNER_GID": str(os.getgid()),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(tree / "usr/lib/boxwright"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "URLS": json.dumps({one: application.url for one, application in applications.items()}),
    }
    program = tree / "etc/boxwright/services" / name / "setup"
    # The rendered program names the disk of the box; here that is a folder of the test's.
    text = program.read_text().replace('"/srv/media/', f'"{WORK}/srv/media/')
    copy = WORK / f"{name}-setup"
    copy.write_text(text)
    copy.chmod(0o755)
    done = subprocess.run(["python3", copy], env=variables, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


def works(name, applications, secrets, tree=None):
    code, said = setup(name, applications, secrets, tree)
    assert code == 0, f"{name}: {said}"


def fails(name, applications, secrets, words, tree=None):
    code, said = setup(name, applications, secrets, tree)
    assert code == 1 and words in said and "\n" not in said, f"{name}: {code} {said}"


def twice(name, applications, secrets, tree=None):
    """It works, and does nothing more the second time."""
    works(name, applications, secrets, tree)
    before = len(applications[name].calls)
    works(name, applications, secrets, tree)
    assert len(applications[name].calls) == before, applications[name].calls[before:]


def holds(what):
    print(f"ok {what}", flush=True)
