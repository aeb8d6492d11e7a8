"""The tunnel's rules as this release has them, and which of them are shut: those of an application that has no owner yet."""

import collections
import json
import os
import pathlib

FOLDER = pathlib.Path(__file__).parent
Rule = collections.namedtuple("Rule", "hostname path service required team aud")


def planned():
    """Every rule of the release with the service whose owner it waits for, and the one for everything else."""
    for rule in json.loads((FOLDER / "ingress.json").read_text(encoding="utf-8")):
        access = rule["access"] or {"team": "", "aud": []}
        who = bool(rule["access"]), access["team"], tuple(access["aud"])
        yield Rule(rule["hostname"], rule["path"] or "", rule["service"], *who), rule["gate"]
    yield Rule("", "", "http_status:404", False, "", ()), None


def shut(rule):
    """The rule while there is no owner: everyone gets a 503."""
    return rule._replace(service="http_status:503")


def now():
    """What is to be served: OWNED has a file for each service with an owner, and without one its rules are shut."""
    owned = pathlib.Path(os.environ["OWNED"])
    return [shut(rule) if gate and not (owned / gate).exists() else rule for rule, gate in planned()]
