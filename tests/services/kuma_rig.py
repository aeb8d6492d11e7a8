"""What kuma.py needs: Uptime Kuma or its stand-in, the programs of the rendered trees, and an owner in front of a browser."""

import contextlib
import json
import os
import pathlib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

FULL, LESS = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
SOURCES = sys.argv[3] if len(sys.argv) > 3 else None
WORK = pathlib.Path(tempfile.mkdtemp())
PASSWORD = "aB3dE5gH7jK9mN1pQ3rS5tU7vW9xY1zA"
SECRETS = {
    "password": PASSWORD,
    "push-key": "k" * 32,
    "pushbullet": "pushbullet-token",
    "ntfy-topic": "secret-topic",
    "mail-password": "of-the-mail",
}
# Every key of the real one's database that says what it is told to do, and not what it has seen.
TABLES = (
    "monitor",
    "notification",
    "monitor_notification",
    "status_page",
    '"group"',
    "monitor_group",
    "status_page_cname",
    "setting",
)
UP, DOWN = 1, 0

os.environ["URLS"] = os.environ["STATE"] = os.environ["SECRETS"] = "{}"
sys.path.insert(0, str(FULL / "usr/lib/boxwright"))
sys.dont_write_bytecode = True
import socketio  # noqa: E402 (of the tree)


def holds(what):
    print(f"ok {what}", flush=True)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


PORT = free_port()
URL = f"http://127.0.0.1:{PORT}"


@contextlib.contextmanager
def running():
    """The application, from when it answers."""
    command = [sys.executable, "-B", pathlib.Path(__file__).parent / "kuma_stand_in.py", str(PORT)]
    variables = {"PATH": os.environ["PATH"], "HOME": str(WORK)}
    if SOURCES:
        command = ["node", "server/server.js"]
        variables |= {"UPTIME_KUMA_DB_TYPE": "sqlite", "TZ": "UTC", "NODE_ENV": "production", "DATA_DIR": f"{WORK}/data/"}
        variables |= {"UPTIME_KUMA_HOST": "127.0.0.1", "UPTIME_KUMA_PORT": str(PORT)}
    with open(WORK / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=SOURCES or WORK, env=variables, stdout=log, stderr=log)
        try:
            while True:
                assert process.poll() is None, (WORK / "log").read_text()
                # On its first start the real one listens before its database is ready, and then starts anew.
                if said("/socket.io/?EIO=4&transport=polling")[0] == 200:
                    break
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait()


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def said(path, host=None):
    """Status and text of an answer to somebody who has not logged in."""
    request = urllib.request.Request(URL + path, headers={"Host": host} if host else {})
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Location") or ""
    except OSError:
        return 0, ""


def run(tree, name, reached=True, more=None, **secrets):
    """A program of the service. Returns its exit code and what it said."""
    folder, state = WORK / "secrets", WORK / "state"
    for each in (folder, state):
        each.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for key, value in (SECRETS | secrets).items():
        if value:
            (folder / key).write_text(value + "\n", encoding="utf-8")
    variables = {
        "STATE": str(state),
        "SECRETS": str(folder),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tree / "usr/lib/boxwright"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "URLS": json.dumps({"uptime-kuma": URL} if reached else {}),
        **(more or {}),
    }
    program = tree / "etc/boxwright/services/uptime-kuma" / name
    done = subprocess.run([sys.executable, program], env=variables, capture_output=True, text=True, check=False)
    shown = done.stdout + done.stderr
    assert not any(value in shown for value in SECRETS.values() if len(value) > 8), "a secret is said"
    assert shown.count("\n") <= 1, shown
    return done.returncode, shown.strip()


def works(tree, name="setup", **options):
    code, shown = run(tree, name, **options)
    assert (code, shown) == (0, ""), shown


def fails(words, tree, name="setup", **options):
    code, shown = run(tree, name, **options)
    assert code == 1 and words in shown, (code, shown)


class Owner:
    """What its owner sees and does, in a browser."""

    def __init__(self, password=PASSWORD):
        self.client = socketio.Client("kuma", URL)
        self.client.wait("loginRequired", "autoLogin")
        self.call("login", {"username": "admin", "password": password, "token": ""})
        self.monitors = {one["name"]: one for one in self.client.events["monitorList"][0].values()}
        told = self.client.events["notificationList"][0]
        self.notifications = {one["name"].split()[0]: json.loads(one["config"]) | {"id": one["id"]} for one in told}

    def call(self, name, *values):
        answer = self.client.call(name, *values)[0]
        assert answer["ok"], (name, answer)
        return answer

    def edit(self, which, **values):
        self.call("editMonitor", self.call("getMonitor", self.monitors[which]["id"])["monitor"] | values)

    def last(self, name):
        beats = self.call("getMonitorBeats", self.monitors[name]["id"], 1)["data"]
        return (beats[-1]["status"], beats[-1]["msg"]) if beats else None


def groups():
    """The status page's, as anyone sees them: name → names of monitors."""
    status, text = said("/api/status-page/box")
    assert status == 200, text
    assert not any(value in text for value in SECRETS.values()) and "http://" not in text, text
    return {group["name"]: [one["name"] for one in group["monitorList"]] for group in json.loads(text)["publicGroupList"]}


def written():
    """What differs as soon as anything is changed, even to what it was."""
    if not SOURCES:
        return said("/stand-in/writes")
    with contextlib.closing(sqlite3.connect(WORK / "data/kuma.db")) as base:
        return {table: base.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in TABLES}


def changes_nothing(tree):
    before, starts = written(), (WORK / "log").read_text().count("Resume Monitor")
    works(tree)
    after = written()
    assert after == before, "it has changed something"
    assert (WORK / "log").read_text().count("Resume Monitor") == starts, "it has started a monitor anew"


def declared(tree):
    """Name → the URL of what must be watched there, by what the box knows of its services."""
    found = {}
    for one in json.loads((tree / "etc/boxwright/services.json").read_text(encoding="utf-8")):
        if one["name"] == "uptime-kuma" or one["role"] == "backup":
            continue
        found[f"{one['title']}: containers"] = None
        if one["exposure"]:
            found[one["title"]] = one["url"] + one["exposure"]["probe"]
    if tree == FULL:
        # The other box has none.
        found["Backups"] = None
    return found
