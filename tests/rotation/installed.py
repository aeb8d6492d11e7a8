"""The programs where a box has them: /usr/bin/box, /usr/lib/boxwright, /etc/boxwright, with the real systemd-creds, over overlays
that only this mount namespace sees.

    installed.py PROJECT FOLDER    FOLDER has what tests/rotation.rs made
"""

import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile

PROJECT, INPUT = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])


def run(*command, **options):
    return subprocess.run([str(one) for one in command], check=True, **options)


def over(place, *lower):
    """What is in these folders appears at a place of the machine, and what is written there is forgotten."""
    work = pathlib.Path(tempfile.mkdtemp(dir="/mnt"))
    for name in ("upper", "work"):
        (work / name).mkdir()
    layers = ":".join(str(one) for one in [*lower, place])
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={layers},upperdir={work}/upper,workdir={work}/work", place)


def surroundings():
    run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    made = pathlib.Path("/mnt/made")
    (made / "etc/boxwright").mkdir(parents=True)
    (made / "usr/bin").mkdir(parents=True)
    for name, source in {"secrets.json": "map.json", "allowed_signers": "allowed_signers"}.items():
        (made / "etc/boxwright" / name).write_bytes((INPUT / source).read_bytes())
    (made / "etc/boxwright/box.json").write_text("{}")
    # No systemd runs here: it says what it was asked.
    systemctl = made / "usr/bin/systemctl"
    systemctl.write_text('#!/bin/sh\necho "systemctl $*" >>/run/calls\ncase $* in *is-active*) exit 3;; *start*apply*) exec /usr/lib/boxwright/rotate apply;; esac\n')
    systemctl.chmod(0o755)
    for overlay in (PROJECT / "overlays/system").glob("*/root/usr/lib/boxwright"):
        shutil.copytree(overlay, made / "usr/lib/boxwright", dirs_exist_ok=True)
    shutil.copy(PROJECT / "overlays/system/status/root/usr/bin/box", made / "usr/bin/box")
    for path in made.rglob("*"):
        # As the builder does it.
        if path.is_file() and path.read_bytes().startswith(b"#!"):
            path.chmod(0o755)
    over("/usr", made / "usr")
    over("/etc", made / "etc")
    for place in ("/run", "/srv", "/var/lib"):
        run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", place)
    pathlib.Path("/srv/state").mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", "/srv/state")
    # A box's store is on the partition that this names.
    pathlib.Path("/var/lib/systemd").mkdir(exist_ok=True)
    device = os.stat("/var/lib/systemd").st_dev
    over_dev = pathlib.Path("/mnt/dev")
    over_dev.mkdir()
    run("mount", "--rbind", "/dev", over_dev)
    run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/dev")
    for path in over_dev.iterdir():
        os.symlink(path, f"/dev/{path.name}")
    os.mkdir("/dev/boxwright")
    os.mknod("/dev/boxwright/system", 0o600 | stat.S_IFBLK, device)


def box(*words, data=b""):
    """The command as an admin's session runs it, and what it says."""
    command = ["/usr/bin/python3", "-B", "/usr/bin/box", *words]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def main():
    surroundings()
    first = json.loads((INPUT / "first.json").read_text())["secrets"]
    code, said = box("secrets")
    assert code == 0 and "box/heartbeat" in said and "missing" in said, said
    # The very first ones, over SSH: every one is new.
    data = (INPUT / "second.signed").read_bytes()
    code, said = box("secrets", "apply", data=data[:-3])
    assert code == 1 and "not whole" in said and "Traceback" not in said, (code, said)
    code, said = box("secrets", "apply", data=data)
    assert code == 0 and said.startswith("taken over: amp/licence, box/backup-"), (code, said)
    for value in first.values():
        assert value not in said
    store = pathlib.Path("/var/lib/boxwright/secrets")
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    for path in store.rglob("*.cred"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert all(value.encode() not in path.read_bytes() for value in first.values()), path
    placed = pathlib.Path("/run/boxwright/secrets/box/heartbeat").read_text()
    assert placed == "https://hc-ping.com/second-value", "the file was not written"
    calls = pathlib.Path("/run/calls").read_text()
    assert "start boxwright-secrets-apply.service" in calls and "try-restart" in calls, calls
    assert all(value not in calls for value in first.values())
    code, said = box("secrets", "apply", data=data)
    assert code == 0 and "taken before" in said, (code, said)
    code, said = box("secrets")
    assert code == 0 and "since 20" in said and "hc-ping" not in said, said
    code, said = box("secrets", "apply", data=data.replace(b"second-value", b"second-valuf"))
    assert code == 1 and "does not fit" in said, (code, said)
    print("the programs work where a box has them")


main()
