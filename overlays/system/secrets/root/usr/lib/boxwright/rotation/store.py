"""The store of secrets, as the program `secrets` keeps it, and beside it the journal of a rotation.

The journal is what makes a rotation whole: when it is there, all its values will be in the store and everyone who uses them will
be told, whatever happens in between; before it is there, nothing has changed.
"""

import contextlib
import fcntl
import json
import os
import pathlib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader


def load():
    """The program that keeps the store; it is no module by its name."""
    path = pathlib.Path(__file__).resolve().parent.parent / "secrets"
    module = module_from_spec(spec_from_loader("boxwright_secrets", SourceFileLoader("boxwright_secrets", str(path))))
    module.__spec__.loader.exec_module(module)
    return module


secrets = load()
Trouble = secrets.Trouble

# The journal, new values until they are in the store (NAME.SERIAL.new), and former ones until everyone has the new (NAME.old).
FOLDER = "rotation"
JOURNAL = "journal.json"
# The last serial that was taken.
SERIAL = "serial"


def folder():
    return secrets.STORE / FOLDER


@contextlib.contextmanager
def lock():
    """One at a time: a stick may be plugged in while somebody hands over by SSH."""
    secrets.folder(secrets.RUN, 0o755)
    with open(secrets.RUN / "rotation.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def flat(name):
    return name.replace("/", ".")


def journal():
    """What is under way: serial, `new` (name → file, until it is in the store), `todo` (who is still to be told)."""
    try:
        return json.loads((folder() / JOURNAL).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def write_journal(content):
    secrets.write(folder() / JOURNAL, json.dumps(content, indent=1).encode() + b"\n", 0o600)
    secrets.sync(folder())


def last_serial():
    """The largest serial that was taken, or when the disk was written with its secrets; 0 on a box that was told neither."""
    try:
        stored = int((secrets.STORE / SERIAL).read_text(encoding="utf-8"))
    except FileNotFoundError:
        stored = 0
    except ValueError:
        raise Trouble(f"{secrets.STORE / SERIAL} is damaged: remove it if you know that no older secrets are about") from None
    told = secrets.handover.read(secrets.handover.KEPT).get("took") or {}
    return max(stored, (journal() or {}).get("serial", 0), told.get("incarnation", 0))


def begin(serial, values, todo):
    """Makes a rotation durable, all of it or nothing. What an earlier one has left to do is taken over."""
    # A box that never had a secret has no store yet.
    secrets.folder(secrets.STORE, 0o700)
    secrets.folder(folder(), 0o700)
    if not secrets.lasts(folder()):
        raise Trouble("the system partition is not in use: nothing would last, and nothing was changed")
    new = {}
    for name, value in sorted(values.items()):
        file = f"{flat(name)}.{serial}.new"
        data = secrets.creds("encrypt", name, "--with-key=host", "-", "-", data=value.encode())
        secrets.write(folder() / file, data, 0o600)
        if decrypted(name, folder() / file) != value:
            raise Trouble(f"the new value of {name} cannot be read back: nothing was changed")
        new[name] = file
    if not secrets.key_lasts():
        raise Trouble("the key of encrypted credentials would not outlive this boot: nothing was changed")
    secrets.sync(folder())
    earlier = (journal() or {}).get("todo", [])
    write_journal({"serial": serial, "new": new, "todo": earlier + [one for one in todo if one not in earlier]})


def settle():
    """Brings the new values of the journal into the store. It may be cut off anywhere, and is then gone on with."""
    found = journal()
    if found is None:
        clear()
        return
    for name, file in found["new"].items():
        path, stored = folder() / file, secrets.stored(name)
        if not path.exists():
            continue
        if stored.exists():
            # An application that was not told yet has the one before that.
            with contextlib.suppress(FileExistsError):
                os.link(stored, folder() / f"{flat(name)}.old")
        # A copy of the value before this one must not come back from the TPM.
        secrets.stored(name, "tpm").unlink(missing_ok=True)
        os.replace(path, stored)
        secrets.seal(name, secrets.kept(name))
    secrets.write(secrets.STORE / SERIAL, b"%d\n" % found["serial"], 0o600)
    secrets.sync(secrets.STORE)
    write_journal(found | {"new": {}})


def done(one):
    """Strikes an entry of the journal's list; the last one ends it."""
    found = journal()
    found["todo"] = [other for other in found["todo"] if other != one]
    write_journal(found)
    if not found["todo"]:
        clear()


def clear():
    """Removes what is left of a rotation that has ended, or never began: the journal first."""
    if not folder().is_dir():
        return
    (folder() / JOURNAL).unlink(missing_ok=True)
    secrets.sync(folder())
    for path in folder().iterdir():
        path.unlink()
    folder().rmdir()


def decrypted(name, path):
    return secrets.creds("decrypt", name, str(path), "-").decode()


def former(name):
    """The value that an application still has which was not told of a new one."""
    path = folder() / f"{flat(name)}.old"
    try:
        return decrypted(name, path) if path.exists() else None
    except Trouble:
        # Its key is lost: nobody knows it any more.
        return None
