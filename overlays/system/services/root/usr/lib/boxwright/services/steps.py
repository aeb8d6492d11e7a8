"""The programs of a service: `seed` before its containers start, `setup` afterwards, which puts right what only its API can,
`check` and `owned` as long as they run, `report`, which is told how all services do, and those that its owner calls."""

import json
import pathlib
import subprocess
import sys

from services.config import CONFIG, NOTES, RUN, containers, fail, planned, write

# Where wiring.py is, for programs in Python.
LIBRARY = pathlib.Path(__file__).resolve().parent.parent
# Seconds that a service's `setup` may take; `watch` tries it again. A `check` only asks, a `report` tells.
SETUP_TIME, CHECK_TIME, REPORT_TIME = 45, 20, 25
# The exit status of a `check` for what must not run any longer, and for what only has to start again.
STOP, AGAIN = 3, 4
# The exit status of an `owned` for "there is no owner yet": not 1, with which programs end that failed.
NOBODY = 3
# A file for each service that has an owner; see gate.py.
OWNED = "/srv/state/.owned"


def address(container, found):
    """Where the box itself reaches a container: names are known in containers only."""
    holder = found.get(container["namespace"] or container["name"], {})
    networks = holder.get("NetworkSettings", {}).get("Networks", {}).values()
    return min((network["IPAddress"] for network in networks if network.get("IPAddress")), default=None)


def urls(service, found=None):
    """Where the box reaches the service and those that it talks to."""
    known, found, reached = planned(), containers() if found is None else found, {}
    for name in [service["name"], *service["talks_to"]]:
        other = known[name]
        if not other["url"]:
            continue
        key = other["exposure"]["container"] or name
        container = next(one for one in other["containers"] if key in (one["key"], one["name"]))
        at = address(container, found)
        if at:
            scheme, rest = other["url"].split("://")
            reached[name] = f"{scheme}://{at}:{rest.split(':')[1]}"
    return reached


def main_of(service):
    return next(container for container in service["containers"] if container["main"])


def run(service, name, more=None, arguments=(), **options):
    """Runs one of the service's own programs."""
    main = main_of(service)
    variables = {
        "STATE": service["state"],
        "SECRETS": str(RUN / "secrets" / service["name"]),
        "OWNER_UID": str(main["uid"]),
        "OWNER_GID": str(main["gid"]),
        "OWNED": OWNED,
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(LIBRARY),
        "PYTHONDONTWRITEBYTECODE": "1",
        **(more or {}),
    }
    return subprocess.run([CONFIG / service["name"] / name, *arguments], env=variables, check=True, **options)


def seed(service):
    if service["seed"]:
        run(service, "seed")


def call(service, name, seconds, failed, more=None):
    """Runs a program that calls the service's API. The last line of one that fails is kept in a file; returns all it said."""
    try:
        more = {"URLS": json.dumps(urls(service), sort_keys=True), **(more or {})}
        run(service, name, more, stderr=subprocess.PIPE, text=True, timeout=seconds)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = error.stderr or ""
        said = said.decode(errors="replace") if isinstance(said, bytes) else said
        last = (said.strip().splitlines() or [f"it took longer than {seconds} s"])[-1]
        write(failed, last[:300] + "\n")
        return said.strip() or last
    failed.unlink(missing_ok=True)
    return None


def setup(service):
    """What failed is kept for `box status`, and tried again by `watch`."""
    said = call(service, "setup", SETUP_TIME, failure(service))
    if said:
        fail(said)
    write(success(service), "done\n")


def rotated(service, secret):
    """Has its `setup` hand a new value to the application. A status of its own says that only the owner can."""
    more = {"URLS": json.dumps(urls(service), sort_keys=True), "ROTATED": secret}
    try:
        run(service, "setup", more, timeout=SETUP_TIME)
    except subprocess.TimeoutExpired:
        fail(f"it took longer than {SETUP_TIME} s")
    except subprocess.CalledProcessError as error:
        # It has said itself why.
        sys.exit(error.returncode if 0 < error.returncode < 128 else 1)


def report():
    """Tells how the services do to those that want to know it. `box status` says which of them did not take it."""
    try:
        found = containers()
    except subprocess.CalledProcessError as error:
        # dockerd is about to start or to stop, which is nothing to report.
        print(f"Docker does not answer: {error}", file=sys.stderr)
        return
    for service in planned().values():
        if not service["report"]:
            continue
        if not address(main_of(service), found):
            unreported(service).unlink(missing_ok=True)
            continue
        said = call(service, "report", REPORT_TIME, unreported(service), {"STATUS": str(RUN / "services.status")})
        if said:
            print(f"{service['name']}: {said}", file=sys.stderr)


def success(service):
    """There once the setup has succeeded."""
    return NOTES / f"{service['name']}.setup"


def failure(service):
    """What the setup said when it failed last."""
    return NOTES / f"{service['name']}.setup-failed"


def unreported(service):
    """What the report said when it failed last."""
    return NOTES / f"{service['name']}.report-failed"


def unstarted(service):
    """Why it did not start when it was tried last."""
    return NOTES / f"{service['name']}.start-failed"


def failing(service):
    """What to say of a service that fails at each start."""
    failed, hint = unstarted(service), f"see: box logs {service['name']}"
    return f"it does not start: {failed.read_text(encoding='utf-8').strip()}; {hint}" if failed.exists() else f"it does not start; {hint}"


def pending(service):
    """Why the setup is still to be done, if it is."""
    if not service["setup"] or success(service).exists():
        return None
    failed = failure(service)
    reason = ": " + failed.read_text(encoding="utf-8").strip() if failed.exists() else ""
    return f"its setup has not succeeded yet{reason}"


def check(service, found):
    """What is not as it should be in a service that runs, and with which status its check ended."""
    at = address(main_of(service), found)
    if not service["check"] or not at:
        return None, 0
    try:
        run(service, "check", {"ADDRESS": at}, stderr=subprocess.PIPE, text=True, timeout=CHECK_TIME)
    except subprocess.TimeoutExpired:
        return f"its check took longer than {CHECK_TIME} s", 1
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        return (said[-1] if said else f"its check ended with {error.returncode}")[:300], error.returncode
    return None, 0


def owned(service, found):
    """Whether the application has an owner; nothing where it cannot be told."""
    reached = urls(service, found)
    if service["name"] not in reached:
        return None
    try:
        run(service, "owned", {"URLS": json.dumps(reached, sort_keys=True)}, stderr=subprocess.DEVNULL, timeout=CHECK_TIME)
    except subprocess.TimeoutExpired:
        return None
    except subprocess.CalledProcessError as error:
        return False if error.returncode == NOBODY else None
    return True


def stopped(service):
    """There, with the reason, while a service is kept from running."""
    return NOTES / f"{service['name']}.stopped"
