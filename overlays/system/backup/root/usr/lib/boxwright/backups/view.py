"""A read-only view of what a service keeps, in which databases are copies of one moment.

The folders are mounted below a folder in memory; a SQLite database is covered by a copy that SQLite itself made, and the output
of a dump lies in `.dumps`. What is restored from it is what an application can start with.
"""

import os
import pathlib
import shutil
import sqlite3
import stat
import subprocess

from backups.config import RUN, STATE, WORK, Trouble
from services.config import as_user

# What of a view is no part of the backup, in the words of gitignore.
IGNORE = ".backup-ignore"
# Where the outputs of dumps are in a backup.
DUMPS = ".dumps"
# What SQLite keeps beside a database, and what means nothing beside a copy.
BESIDE = ("-wal", "-shm", "-journal")
# Programs that make a dump or change an application's mode, in seconds.
PATIENCE = 4 * 3600


class View:
    """What is backed up of one service, for as long as the block lasts."""

    def __init__(self, service):
        self.service = service
        self.name = service["name"]
        self.path = RUN / "view" / self.name
        self.work = WORK / "work" / self.name
        # Lines of IGNORE.
        self.exclude = [f"/{IGNORE}", *(f"/{path}" for path in service["backup"]["exclude"])]
        # What is wrong with a part, while the rest is backed up.
        self.wrong = []

    def __enter__(self):
        try:
            self.make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "--recursive", "--quiet", self.path], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)

    def make(self):
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", "mode=0700,nosuid,nodev,noexec", "boxwright-view", self.path)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(mode=0o711, parents=True)
        backup = self.service["backup"]
        for path in backup["paths"]:
            self.show(path)
        for pattern in backup["sqlite"]:
            for database in sorted((STATE / self.name).glob(pattern)):
                self.copy(database)
        self.dump()
        (self.path / IGNORE).write_text("".join(f"{line}\n" for line in self.exclude), encoding="utf-8")

    def show(self, path):
        """Mounts a folder of the service's where it is in the service's own folder."""
        source = STATE / self.name / path
        if not source.exists():
            return
        inside(source)
        target = self.path / path
        for up in reversed(target.relative_to(self.path).parents):
            # The folders above get the owners that they have outside: they are restored, too.
            if not (self.path / up).exists():
                (self.path / up).mkdir()
                like(STATE / self.name / up, self.path / up)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        bind(held(STATE / self.name, path), target)

    def copy(self, database):
        """Covers a database with a copy of one moment."""
        inside(database)
        below = database.relative_to(STATE / self.name)
        shown = self.path / below
        status = database.stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or not shown.exists():
            return
        # Each in a folder of its owner's: the copy is made by that user, since who can write a database can also break it. Then
        # the folder is root's, and what is in it is looked at anew.
        folder = self.work / f"{len(list(self.work.iterdir()))}"
        folder.mkdir(mode=0o700)
        to = folder / database.name
        error = "it belongs to root, who opens nothing that a service can write" if status.st_uid == 0 else None
        if not error:
            os.chown(folder, status.st_uid, status.st_gid)
            error = as_user(status.st_uid, status.st_gid, lambda: copy_database(database, to))
            os.chown(folder, 0, 0)
        if not error and not stat.S_ISREG(to.stat(follow_symlinks=False).st_mode):
            error = "the copy is no file"
        if error:
            self.wrong.append(f"{below} was not copied as a database but as it lay there: {error}")
            return
        os.chmod(to, status.st_mode & 0o777)
        # Its size and time may be those of the day before while its content is not: a fresh time makes it read.
        os.utime(to)
        bind(held(folder, to.name), shown)
        self.exclude += [f"/{below}{suffix}" for suffix in BESIDE]

    def dump(self):
        """Runs what writes the databases of servers out."""
        dumps = self.service["backup"]["dumps"]
        if dumps:
            (self.path / DUMPS).mkdir(mode=0o700)
        for dump in dumps:
            write_out(self.service, dump, self.work / dump["file"])
            shown = self.path / DUMPS / dump["file"]
            shown.touch()
            bind(held(self.work, dump["file"]), shown)


def write_out(service, dump, to):
    """Writes what a database has into a new file for root alone: all of it, or there is no file."""
    with open(to, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        try:
            inside_container(service, dump, stdout=file)
            if os.fstat(file.fileno()).st_size == 0:
                raise Trouble(f"the dump {dump['file']} of {dump['container']} is empty")
        except BaseException:
            os.unlink(to)
            raise


def inside_container(service, exec_, **options):
    """Runs a command of service.toml in its container."""
    key = exec_["container"]
    name = next(container["name"] for container in service["containers"] if container["key"] == key)
    user = [f"--user={exec_['user']}"] if exec_.get("user") else []
    flags = ["--interactive"] if options.get("stdin") else []
    command = ["docker", "exec", *flags, *user, name, *exec_["command"]]
    try:
        result = subprocess.run(command, stderr=subprocess.PIPE, timeout=PATIENCE, check=False, **options)
    except subprocess.TimeoutExpired:
        raise Trouble(f"`{exec_['command'][0]}` in {name} took longer than {PATIENCE // 3600} hours") from None
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip().splitlines()
        raise Trouble(f"`{exec_['command'][0]}` in {name} failed: {said[-1] if said else result.returncode}")


def inside(path):
    """Refuses a path that a service has turned into a link to elsewhere."""
    if os.path.realpath(path) != str(path):
        raise Trouble(f"{path} is a link, or below one: it is not followed")


def like(source, target):
    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)


def held(top, below):
    """A descriptor of a path below `top` on which no part is a link: whatever is there now is what is mounted."""
    descriptor = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    for part in pathlib.PurePosixPath(below).parts:
        try:
            inner = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def bind(descriptor, target):
    """Shows what a descriptor is of at `target`, to be read only."""
    try:
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            raise Trouble(f"{target} is a link: it is not followed")
        flags = ["--bind", "--no-canonicalize", "-o", "ro,nosuid,nodev,noexec"]
        mount(*flags, f"/proc/self/fd/{descriptor}", target, pass_fds=[descriptor])
    finally:
        os.close(descriptor)


def mount(*arguments, **options):
    result = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False, **options)
    if result.returncode:
        raise Trouble(f"{arguments[-1]} cannot be mounted: {result.stderr.strip()}")


def copy_database(source, to):
    """SQLite's own backup: what is in the journal is part of it, and whoever writes meanwhile goes on."""
    with sqlite3.connect(f"{pathlib.Path(source).as_uri()}?mode=ro", uri=True, timeout=60) as database:
        with sqlite3.connect(to) as copy:
            database.backup(copy)
        # The copy is a file by itself.
        copy.execute("PRAGMA journal_mode=DELETE")
        copy.close()
