"""The repository that backups go to: one target of the profile, handled by the program `repository` of the service with the
role `backup` (overlays/services/README.md)."""

import json
import os
import pathlib
import subprocess
import time

from backups.config import RUN, STATE, Trouble, say
from services.config import CONFIG as SERVICES

PROGRAMS = "/var/lib/boxwright/bin"
# What the program needs to read everything, and what it needs to put it back: nothing else of root's rights is left.
READ = "dac_read_search"
WRITE = "chown", "dac_override", "fowner", "fsetid"


class Repository:
    """One target. `readonly` writes nothing there, and makes nothing. `patience`: how many seconds all of its calls together may
    take."""

    def __init__(self, config, target, readonly=False, patience=None):
        self.config, self.target, self.readonly = config, target, readonly
        self.patience, self.deadline = patience, time.monotonic() + patience if patience else None
        self.name = target["name"]
        # Who looks while a backup is written must not make that one's connection read-only.
        self.run = RUN / "repositories" / (f"{self.name}-read" if readonly else self.name)
        self.cache = STATE / config["service"] / f"cache-{self.name}"

    def open(self):
        """Makes sure of the repository. Returns whether it was made just now."""
        self.prepare()
        return self.call("open", create=not self.readonly)["created"]

    def prepare(self):
        """Makes sure of the folders."""
        RUN.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.own(RUN, self.run.relative_to(RUN))
        self.own(STATE, self.cache.relative_to(STATE))
        if self.target["disk"] and not self.readonly:
            self.own(self.disk(), pathlib.Path(self.prefix()))

    def disk(self):
        """The mount point of a target that is a disk."""
        disk = pathlib.Path("/srv") / self.target["disk"]
        if not os.path.ismount(disk):
            raise Trouble(f"{self.name}: the disk {self.target['disk']} is not there")
        return disk

    def prefix(self):
        return self.target["prefix"] or "backups"

    def own(self, top, below):
        """Makes a folder for the program alone. No link is followed, and nothing that was there changes hands: services may write
        to the disk, too."""
        user, flags = self.config["user"], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        folder, fresh = os.open(top, flags), False
        try:
            for part in below.parts:
                try:
                    os.mkdir(part, 0o711, dir_fd=folder)
                    fresh = True
                except FileExistsError:
                    fresh = False
                inner = os.open(part, flags, dir_fd=folder)
                os.close(folder)
                folder = inner
            if fresh:
                os.fchown(folder, user["uid"], user["gid"])
                os.fchmod(folder, 0o700)
            elif os.fstat(folder).st_uid != user["uid"]:
                raise Trouble(f"{self.name}: {top / below} is not the backups' own: move it away, or write another `prefix`")
        except OSError as error:
            raise Trouble(f"{self.name}: {top / below} cannot be used for backups: {error.strerror}") from error
        finally:
            os.close(folder)

    def snapshot(self, name, path, draft, tags=None):
        """`draft`: it is only to make the next one faster, and is never restored. `tags`: numbers that stay with it."""
        return self.call("snapshot", name=name, path=str(path), draft=draft, tags=tags)

    def forget(self, identity):
        """Removes a draft."""
        self.call("forget", id=identity)

    def list(self):
        return self.call("list")

    def newest(self):
        """The number of the latest disk of this box that anything there is from."""
        return self.call("newest")["incarnation"]

    def claim(self, number):
        """Says there which disk of this box is the one."""
        self.call("claim", incarnation=number)

    def guard(self):
        """Why what is kept there could be deleted, though the profile says that it cannot."""
        return self.call("guard")["wrong"] if self.target["locked"] else None

    def restore(self, identity, path, to):
        self.call("restore", rights=WRITE, id=identity, path=path, to=str(to))

    def password(self, former, value):
        """Gives it another password, if it has not got that already."""
        self.prepare()
        self.call("password", password=former, value=value)

    def verify(self, percent):
        self.call("verify", percent=percent)

    def call(self, verb, rights=(READ,), **more):
        """Runs the program for one verb."""
        request = {
            "box": self.config["box"],
            "target": {**self.target, "path": str(self.disk() / self.prefix()) if self.target["disk"] else None},
            "run": str(self.run),
            "cache": str(self.cache),
            "readonly": self.readonly,
            "keep": self.config["keep"],
            "password": more.pop("password", None) or secret(self.config["password"]),
            "keys": {key: secret(path) for key, path in self.target["secrets"].items()},
            **more,
        }
        program = SERVICES / self.config["service"] / "repository"
        env = {"PATH": f"{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        command = [*self.timed(), *self.limited(rights), program, verb]
        result = subprocess.run(command, input=json.dumps(request), env=env, capture_output=True, text=True, check=False)
        if result.returncode and self.deadline and time.monotonic() >= self.deadline:
            raise Trouble(f"{self.name}: it did not answer within {self.patience} seconds")
        if result.returncode:
            said = result.stderr.strip().splitlines()
            raise Trouble(f"{self.name}: {said[-1] if said else f'{program} ended with status {result.returncode}'}")
        try:
            return json.loads(result.stdout)
        except ValueError:
            raise Trouble(f"{self.name}: {program} {verb} did not say how it went") from None

    def timed(self):
        """Before a command: ends it with all that it has started when the patience is at its end."""
        return ["timeout", "--kill-after=5", f"{max(0.1, self.deadline - time.monotonic()):.1f}"] if self.deadline else []

    def limited(self, rights):
        """Before a command: with these rights and no others. Who writes files of all owners has to be root."""
        words = ",".join(["-all", *(f"+{right}" for right in rights)])
        user = self.config["user"] if rights == (READ,) else {"uid": 0, "gid": 0}
        return [
            "setpriv", f"--reuid={user['uid']}", f"--regid={user['gid']}", "--clear-groups", "--no-new-privs",
            f"--inh-caps={words}", f"--ambient-caps={words}", f"--bounding-set={words}",
        ]


def secret(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        name = "/".join(pathlib.Path(path).parts[-2:])
        raise Trouble(f"the secret {name} is missing") from None


def opened(config, readonly=False, only=None, before=(), patience=None):
    """Every target that can be used now, and what is wrong with it or with others. `before`: those that have had backups.
    `patience`: seconds that each may take, as long as it is used."""
    usable, troubles = [], []
    for target in config["targets"]:
        if only not in (None, target["name"]):
            continue
        repository = Repository(config, target, readonly, patience)
        try:
            if repository.open():
                say(f"{repository.name}: a new repository was made")
                if repository.name in before:
                    troubles.append(f"{repository.name}: what was kept there is gone, and a new repository was begun")
            usable.append(repository)
        except Trouble as trouble:
            troubles.append(str(trouble))
    if only and not usable and not troubles:
        names = ", ".join(target["name"] for target in config["targets"])
        raise Trouble(f"there is no target {only}; there are: {names}")
    return usable, troubles
