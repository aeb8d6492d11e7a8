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


class Listener:
    """A server on a port of its own that answers as `answer` says: (status, headers, bytes)."""

    def __init__(self):
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self):
                length = int(self.headers.get("Content-Length") or 0)
                status, headers, data = owner.answer(self.command, self.path, self.headers, self.rfile.read(length))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = respond

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


class Application(Listener):
    """An API: collections that can be listed and added to, and what else each application has."""

    def __init__(self, name, key=None, lists=None, single=None, actions=None):
        self.name, self.key, self.calls = name, key, []
        self.lists, self.single, self.actions = lists or {}, single or {}, actions or {}
        super().__init__()

    def answer(self, method, path, headers, data):
        form = headers.get("Content-Type") == "application/x-www-form-urlencoded"
        body = dict(urllib.parse.parse_qsl(data.decode(), keep_blank_values=True)) if form else json.loads(data or "null")
        status, value = self.decide(method, path, body, headers)
        if self.changes(method, path, body):
            self.calls.append((method, path, body))
        return self.form(status, value)

    def changes(self, method, path, body):
        """Whether a request changes something; the second run of a `setup` must make none."""
        return method != "GET"

    def form(self, status, value):
        """A value as this application writes it."""
        return status, {}, json.dumps(value).encode()

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


def variables(tree, state, secrets, applications):
    """What the box gives a service's program."""
    return {
        "STATE": str(state),
        "SECRETS": str(secrets),
        "OWNER_UID": str(os.getuid()),
        "OWNER_GID": str(os.getgid()),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(tree / "usr/lib/boxwright"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "URLS": json.dumps({one: application.url for one, application in applications.items()}),
    }


def run(command, environment, given=""):
    """The exit code of a program, and what it said on standard error."""
    done = subprocess.run(command, env=environment, input=given, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


def setup(name, applications, secrets, tree=None, rotated=None):
    """The exit code of a service's setup, and what it said."""
    tree = tree or TREES[0]
    folder = pathlib.Path(tempfile.mkdtemp(dir=WORK))
    for key, value in secrets.items():
        (folder / key).write_text(value)
    program = tree / "etc/boxwright/services" / name / "setup"
    # The rendered program names the disk of the box; here that is a folder of the test's.
    text = program.read_text().replace('"/srv/media"', f'"{WORK}/srv/media"')
    copy = WORK / f"{name}-setup"
    copy.write_text(text)
    copy.chmod(0o755)
    environment = variables(tree, WORK / "state" / name, folder, applications)
    return run(["python3", copy], environment | ({"ROTATED": rotated} if rotated else {}))


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


def rotates(name, applications, secrets, secret, tree=None):
    """It hands over the new value of a secret."""
    code, said = setup(name, applications, secrets, tree, rotated=secret)
    assert code == 0, f"{name}: {said}"


def leaves(name, applications, secrets, secret, words, tree=None):
    """It says that only its owner can."""
    code, said = setup(name, applications, secrets, tree, rotated=secret)
    assert code == 4 and words in said and "\n" not in said, f"{name}: {code} {said}"


def holds(what):
    print(f"ok {what}", flush=True)
