#!/usr/bin/env python3
"""Measures builds beside mmdebstrap, in one run, and prints one table.

    cargo build --release && python3 tests/benchmark.py [PROFILE]

Needs root, mmdebstrap and a Debian host (its apt configuration says which mirror is near). Every program gets the same
packages from the same mirror. Nothing is asserted: figures depend on the machine, so compare the ratios.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = PROJECT / "out/target/release/boxwright"


def run(arguments, **options):
    """Runs a program; returns seconds and the largest resident set of it and its children in MiB."""
    start = time.monotonic()
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
    message = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{arguments}: exit code {child.returncode}\n{message.decode(errors='replace')[-2000:]}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def mirrors():
    """The addresses of Debian's archives in the host's apt configuration: main and security."""
    text = "".join(
        path.read_text() for path in sorted(pathlib.Path("/etc/apt").glob("sources.list.d/*.sources"))
    )
    found = re.findall(r"^URIs:\s*(\S+)", text, re.MULTILINE)
    security = [uri for uri in found if uri.rstrip("/").endswith("debian-security")]
    main = [uri for uri in found if uri.rstrip("/").endswith("/debian")]
    if not main or not security:
        sys.exit("the host's apt configuration names no mirror of Debian in deb822 form")
    return main[0], security[0]


def mmdebstrap(lock, folder):
    """The root filesystem alone, of the packages of the lock."""
    main, security = mirrors()
    names = re.search(r"^packages = \[(.*?)^\]", lock, re.MULTILINE | re.DOTALL).group(1)
    names = re.findall(r'name = "([^"]+)"', names)
    signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    components = "main non-free-firmware"
    sources = [
        f"deb {signed} {main} trixie {components}",
        f"deb {signed} {main} trixie-updates {components}",
        f"deb {signed} {security} trixie-security {components}",
    ]
    target = folder / "mmdebstrap.tar"
    command = ["mmdebstrap", "--variant=essential", f"--include={','.join(names)}", "trixie", str(target), *sources]
    return run(command)


def conditions(name, lock):
    """What the figures depend on, in a sentence."""
    packages = len(re.findall(r'name = "', re.search(r"^packages = \[(.*?)^\]", lock, re.MULTILINE | re.DOTALL).group(1)))
    version = subprocess.run(["mmdebstrap", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{name}: {packages} packages, no containers embedded; {os.cpu_count()} processors; {version}"


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "servarr"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="boxwright-benchmark-"))
    try:
        profile = folder / f"{name}.toml"
        shutil.copy(PROJECT / "profiles" / f"{name}.toml", profile)
        cache, out = folder / "cache", folder / "out"
        boxwright = [PROGRAM, "--project", PROJECT, "--cache", cache]
        build = [*boxwright, "build", profile, "--out", out]
        run([*boxwright, "lock", profile, "--update"])
        shutil.rmtree(cache)
        rows = [("cold: nothing cached, with the lock", run(build))]
        text = profile.read_text()
        profile.write_text(text.replace("[box]\n", '[box]\npackages = ["tmux"]\n', 1))
        run([*boxwright, "lock", profile, "--update"])
        rows.append(("packages changed", run(build)))
        other = folder / "other" / f"{name}.toml"
        other.parent.mkdir()
        shutil.copy(profile.with_suffix(".lock"), other.with_suffix(".lock"))
        text = profile.read_text()
        other.write_text(text.replace('at = "kuma"', 'at = "uptime"').replace('zone     = "UTC"', 'zone     = "Europe/Berlin"'))
        changed = [*boxwright, "build", other, "--out", out]
        rows.append(("one line of the profile changed", run(changed)))
        rows.append(("nothing changed", run(changed)))
        rows.append(("`diff` of both profiles", run([*boxwright, "diff", profile, other])))
        manifest = json.loads((out / f"{name}.manifest.json").read_text())
        lock = (out / f"{name}.lock").read_text()
        peer = mmdebstrap(lock, folder)
        print(f"{conditions(name, lock)}; {manifest['written'] / 1e6:.0f} MB are written to a disk\n")
        print("| | seconds | × mmdebstrap | peak MiB |\n|---|---:|---:|---:|")
        for title, (seconds, peak) in [*rows, ("mmdebstrap, the same packages, root filesystem alone", peer)]:
            print(f"| {title} | {seconds:.2f} | {seconds / peer[0]:.2f} | {peak:.0f} |")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
