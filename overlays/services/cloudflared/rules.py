"""The tunnel's rules as this release has them, and which of them are shut: those of an application that has no owner yet."""

import json
import os
import pathlib

import tunnels

FOLDER = pathlib.Path(__file__).parent


def planned():
    """Every rule of the release with the service whose owner it waits for, and the one for everything else."""
    for rule in json.loads((FOLDER / "ingress.json").read_text(encoding="utf-8")):
        yield tunnels.wanted(rule), rule["gate"]
    yield tunnels.REST, None


def shut(rule):
    """The rule while there is no owner: everyone gets a 503."""
    return rule._replace(service="http_status:503")


def now():
    """What is to be served: OWNED has a file for each service with an owner, and without one its rules are shut."""
    owned = pathlib.Path(os.environ["OWNED"])
    return [shut(rule) if gate and not (owned / gate).exists() else rule for rule, gate in planned()]
