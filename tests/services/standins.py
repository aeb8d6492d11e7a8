"""What the tests of the services' own programs share: applications that answer as a test says, and stand-ins of docker and
systemctl that write down what they were asked."""

import json
import sys

from standin import TREES, WORK, Listener
from standin import run as ran
from standin import variables as given_by_the_box

TREE = TREES[0]
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


class Application(Listener):
    """Answers (method, path without query) with what `answers` has: (status, headers, text), or a function of the body."""

    def __init__(self, answers):
        self.answers, self.calls = answers, []
        super().__init__()

    def answer(self, method, path, headers, data):
        body = data.decode()
        self.calls.append((method, path, body, dict(headers)))
        found = self.answers.get((method, path.partition("?")[0]), (404, {}, "no such page"))
        status, more, text = found(body, headers) if callable(found) else found
        return status, more, text.encode()


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
    return given_by_the_box(TREE, STATE / name, SECRETS / name, applications or {}) | {
        "UNIT": f"boxwright-service-{name}.service",
        "PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin",
        "CALLS": str(WORK / "calls"),
    }


def run(service, program, *words, applications=None, given="", more=None):
    """The exit code of a service's program, and what it said on standard error."""
    path = TREE / "etc/boxwright/services" / service / program
    return ran([sys.executable, path, *words], variables(service, applications) | (more or {}), given)
