"""Takes a signed file: whose signature, for which box, how new, and whether everything in it can be applied. Only then is anything
changed. Before the signature is verified, root looks at nothing but a header of 32 bytes; ssh-keygen, as nobody, at the rest."""

import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import syslog
import tempfile
import time

from rotation import store
from rotation.store import Trouble, secrets

SIGNERS = pathlib.Path("/etc/boxwright/allowed_signers")
BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")
APPLY = "boxwright-secrets-apply.service"

# builder/secrets/signed.rs describes the file.
MAGIC = b"BOXWRIGHTSIGNED\n"
HEADER = struct.Struct("<16sIIQ")
NAMESPACE = "boxwright-secrets"
LARGEST = 1 << 20
NOTHING = "nothing was changed"
# Who verifies: nobody, without any right.
NOBODY = 65534
# Seconds that a program may take to answer.
PATIENCE = 60


# ---- the signature --------------------------------------------------------------------------------------------------


def split(data):
    """Payload and signature."""
    if len(data) > LARGEST:
        raise Trouble(f"this is too large to be a file of new secrets: {NOTHING}")
    if len(data) < HEADER.size or not data.startswith(MAGIC):
        raise Trouble(f"this is no file of new secrets, which `boxwright rotate` makes: {NOTHING}")
    _, version, signature, payload = HEADER.unpack_from(data)
    if version != 1:
        raise Trouble(f"this file has version {version}, which this release cannot read: {NOTHING}")
    if len(data) != HEADER.size + payload + signature:
        raise Trouble(f"the file is not whole: {NOTHING}")
    return data[HEADER.size : HEADER.size + payload], data[HEADER.size + payload :]


def ssh_keygen(*arguments, data=b""):
    """Its answer, or nothing if it refuses."""
    limits = []
    if os.geteuid() == 0:
        limits = [
            "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", "--inh-caps=-all",
            "--bounding-set=-all",
        ]  # fmt: skip
    command = [*limits, "ssh-keygen", "-Y", *arguments]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def verified(payload, signature):
    """The admin who has signed the payload."""
    if not SIGNERS.exists():
        raise Trouble(f"the profile of this box names no admins, so that nobody can sign secrets for it: {NOTHING}")
    if not signature:
        raise Trouble(f"the new secrets are not signed: {NOTHING}")
    secrets.folder(secrets.RUN, 0o755)
    with tempfile.NamedTemporaryFile(dir=secrets.RUN) as file:
        file.write(signature)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        found = ssh_keygen("find-principals", "-f", str(SIGNERS), "-s", file.name)
        signer = (found or "").split("\n")[0]
        if not signer:
            raise Trouble(f"the new secrets are signed by nobody who is an admin of this box: {NOTHING}")
        right = ssh_keygen("verify", "-n", NAMESPACE, "-I", signer, "-f", str(SIGNERS), "-s", file.name, data=payload)
    if right is None:
        raise Trouble(f"the signature does not fit the new secrets: they were changed, or it is for something else; {NOTHING}")
    return signer


# ---- what is in it --------------------------------------------------------------------------------------------------


def content(payload):
    """Serial and values, for this box."""
    try:
        found = json.loads(payload)
        box, serial, values = found["box"], found["serial"], found["secrets"]
        right = isinstance(serial, int) and serial > 0
        right &= all(secrets.NAME.fullmatch(name) and isinstance(value, str) and value for name, value in values.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        right = False
    if not right:
        raise Trouble(f"the new secrets cannot be read: {NOTHING}")
    mine = secrets.described()["box"]
    if box != mine:
        raise Trouble(f"these are the secrets of the box {box!r}, and this is {mine!r}: {NOTHING}")
    return serial, values


def made(serial):
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(serial))


def refused(name, entry, former):
    """What the owner does instead, where a new value would have no effect."""
    for user, apply in entry["apply"].items():
        # What cannot start without it, and has not got it, has its first start before it.
        started = former or (not entry["users"][user] and (secrets.STATE / user).exists())
        if "first-start" in apply and started:
            yield f"{name}: {user} takes it at its first start only; {apply['first-start']}"


def consult(name, entry, value, former):
    """Asks the box's own programs whether they could apply this now."""
    for apply in entry["apply"].values():
        if "command" in apply:
            said = run_own(apply["command"], "check", value, former)
            if said:
                yield f"{name}: {said}"


def run_own(program, verb, value, former):
    """Runs a program of the box's own, with the values on its standard input. Returns why it failed."""
    data = json.dumps({"value": value, "former": former}).encode()
    try:
        done = subprocess.run([program, verb], input=data, capture_output=True, timeout=10 * PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return "it took too long"
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"{program} ended with status {done.returncode}"


def take(data):
    """Takes a file, all of it or nothing. Returns sentences for whoever handed it over."""
    payload, signature = split(data)
    signer = verified(payload, signature)
    serial, given = content(payload)
    with store.lock():
        last = store.last_serial()
        if serial == last:
            return ["these secrets were taken before: there is nothing to do"]
        if serial < last:
            raise Trouble(f"these secrets were signed on {made(serial)}, and others on {made(last)} that have been taken: {NOTHING}")
        # What an earlier one has brought is what the new one is compared with.
        store.settle()
        known = {name: one for name, one in secrets.described()["secrets"].items() if one["from"] == "owner"}
        said = [f"{name} was left out: this release has no use for it" for name in sorted(given) if name not in known]
        formers = {name: secrets.kept(name) for name in given if name in known}
        values = {name: given[name] for name in formers if formers[name] != given[name]}
        against = [one for name in sorted(values) for one in refused(name, known[name], formers[name])]
        against = against or [one for name in sorted(values) for one in consult(name, known[name], values[name], formers[name])]
        if against:
            raise Trouble("; ".join(against) + f": {NOTHING}")
        store.begin(serial, values, [entry for name in sorted(values) for entry in todo(name, known[name])])
        store.settle()
    names = ", ".join(sorted(values))
    said.append(f"taken over: {names}" if values else "the box has all of these already: there is nothing to do")
    syslog.openlog("boxwright")
    syslog.syslog(f"new secrets, signed by {signer} on {made(serial)}: {names or 'nothing new'}")
    return said


def todo(name, entry):
    """Who is to be told of a new value, and how."""
    boot = BOOT.read_text(encoding="utf-8").strip()
    for user, apply in sorted(entry["apply"].items()):
        [(by, what)] = apply.items()
        if by != "first-start":
            yield {"secret": name, "user": user, "by": by, "what": what, "boot": boot}


# ---- verbs ----------------------------------------------------------------------------------------------------------


def from_input():
    """`box secrets apply`"""
    if sys.stdin.isatty():
        raise Trouble("the file comes on standard input: ssh BOX box secrets apply < FILE")
    # The new secrets may be those of the very connection over which they come.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for sentence in take(sys.stdin.buffer.read(LARGEST + 1)):
        print(sentence, flush=True)
    found = store.journal()
    if found is None:
        return
    for one in found["todo"]:
        print(f"now {one['user']} gets {one['secret']}", flush=True)
    # In a unit of its own: it goes on when this connection ends.
    subprocess.run(["systemctl", "start", APPLY], check=False, stderr=subprocess.DEVNULL)
    for one in (store.journal() or {"todo": []})["todo"]:
        print(f"not yet: {one['user']} has not got {one['secret']}; it is tried again, and `box status` says why")


def settle_alone():
    with store.lock():
        store.settle()
