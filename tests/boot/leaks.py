"""Looks on a running box for its secrets where none may be. Prints "leak SECRET PLACE" for each that it finds, never a value."""

import json
import pathlib
import subprocess

FOLDERS = ("/run/boxwright/secrets", "/var/lib/boxwright/secrets", "/srv/state/.secrets")
# Shorter ones could be found by chance. Names of tunnels and accounts are no secrets.
SHORTEST = 12
PUBLIC = {"AccountTag", "TunnelID", "Endpoint", "addresses"}
PLANTED = "a value planted to be found"


def strings(value, name):
    """The texts in a JSON value that are secret."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from strings(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, name)
    elif isinstance(value, str) and name not in PUBLIC:
        yield value


def values():
    """Secret → where it is kept."""
    found = {}
    for folder in map(pathlib.Path, FOLDERS):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            text = path.read_bytes().decode(errors="replace").strip()
            try:
                parts = list(strings(json.loads(text), ""))
            except ValueError:
                parts = [text, *text.splitlines()]
            if "addresses" not in path.name:
                found.update({part: str(path) for part in parts if len(part) >= SHORTEST})
    return found


def run(*command):
    return subprocess.run(command, capture_output=True, check=False).stdout.decode(errors="replace")


def arguments():
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            pass


def places():
    containers = run("docker", "ps", "--all", "--quiet").split()
    return {
        "docker inspect": run("docker", "inspect", *containers),
        "the arguments of a process": "\n".join(arguments()),
        "the journal": run("journalctl", "--boot", "--output=json", "--all"),
    }


def main():
    first = run("docker", "ps", "--all", "--quiet").split()[0]
    image = run("docker", "inspect", "--format", "{{.Image}}", first).strip()
    run("docker", "create", "--name", "planted", "--network", "none", "--env", f"PLANTED={PLANTED}", image, "true")
    sleeper = subprocess.Popen(["sh", "-c", "sleep 600; : " + PLANTED])
    subprocess.run(["systemd-cat"], input=PLANTED.encode(), check=False)
    run("journalctl", "--sync")
    secrets = values()
    for place, text in sorted(places().items()):
        for secret, kept in sorted(secrets.items()):
            # As it is, and as JSON writes it.
            if secret in text or json.dumps(secret)[1:-1] in text:
                print("leak", kept, "in", place)
        if PLANTED in text:
            print("planted", place)
    print("searched-for", len(secrets))
    sleeper.terminate()
    run("docker", "rm", "planted")


main()
