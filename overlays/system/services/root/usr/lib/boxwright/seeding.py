"""What the services' `seed` programs share: an application's own settings, written before it starts, as its container's user."""

import os
import pathlib
import re
import sys

from wiring import Trouble, needed

# The Servarr applications ask nobody for a login until they have an owner, unless they are told.
FIRST = "<Config>\n  <AuthenticationMethod>Forms</AuthenticationMethod>\n</Config>\n"


def run(main):
    """Runs `main`; what keeps it from its work is one sentence and the exit code 1."""
    try:
        main()
    except Trouble as trouble:
        sys.exit(str(trouble))
    except (OSError, ValueError) as error:
        sys.exit(f"its settings cannot be read or written: {error}")


def settings(path):
    """The place of a file below the service's state. From here on the program is the container's user: the folder is that
    user's, and whatever lies in it, links too, a program can do no more through it than that user can already."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(int(os.environ["OWNER_GID"]))
        os.setuid(int(os.environ["OWNER_UID"]))
    return pathlib.Path(os.environ["STATE"]) / path


def read(path):
    """A file's text, or nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def replace(path, text):
    """Writes a file that is whole or not there, for its user alone."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.rename(path)


def servarr_key():
    """Puts the box's API key into the file where a Servarr application keeps it itself, so that the others know it: an
    environment variable can be read by whoever lists processes."""
    line = f"<ApiKey>{needed('api-key')}</ApiKey>"
    path = settings("config/config.xml")
    text = read(path) or ""
    if line not in text:
        text = re.sub(r"<ApiKey>[^<]*</ApiKey>", "", text) or FIRST
        replace(path, text.replace("<Config>", f"<Config>\n  {line}", 1))
