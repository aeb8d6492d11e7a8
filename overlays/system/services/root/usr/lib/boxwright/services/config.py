"""What the services of this box are, as /etc/boxwright/services.json describes them, and where their state is told."""

import json
import pathlib
import subprocess
import sys

CONFIG = pathlib.Path("/etc/boxwright/services")
RUN = pathlib.Path("/run/boxwright")
# What the owner should read of a service, until its next start.
NOTES = RUN / "services"


def fail(message):
    sys.exit(message)


def planned():
    with open("/etc/boxwright/services.json", encoding="utf-8") as file:
        return {service["name"]: service for service in json.load(file)}


def write(path, text):
    """Replaces a file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.rename(path)


def containers():
    """Every container of a service, by name."""
    listing = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", "label=boxwright.service"],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout.split()
    if not listing:
        return {}
    # One that is gone by now makes inspect fail, but the others are still printed.
    found = subprocess.run(["docker", "inspect", *listing], check=False, stdout=subprocess.PIPE, text=True).stdout
    return {one["Name"].lstrip("/"): one for one in json.loads(found or "[]")}
