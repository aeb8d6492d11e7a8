"""What the services of this box are, as /etc/boxwright/services.json describes them, and where their state is told."""

import json
import os
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


def as_user(uid, gid, action):
    """Does something in a process of that user. Returns what went wrong, if anything."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            action()
            status = 0
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told)
            os.write(writer, str(error).encode()[:1000])
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return (said or f"it ended with status {status}") if status else None
