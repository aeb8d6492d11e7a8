"""PostgreSQL and Valkey, and the applications' use of them."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

# Service, and the user of its database's processes.
WITH_DATABASE = {"nextcloud": 70, "umami": 70, "immich": 999}


def hold(box):
    healthy(box)
    for name, uid in WITH_DATABASE.items():
        first_start(box, name, uid)
        dumps(box, name)
        new_disk(box, name)
        second_start(box, name)
        if name == "nextcloud":
            cache(box)
        box.service("stop", name)


def healthy(box):
    """The check must not be content while the database is being made: it answers on its socket then, and ends once more."""
    for name in ("nextcloud", "umami"):
        container = next(one for one in box.services[name]["containers"] if one["key"] == "db")
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            password, steps = pathlib.Path(folder) / "password", pathlib.Path(folder) / "steps"
            password.write_text("secret")
            steps.mkdir()
            # It waits here until the test writes to it.
            os.mkfifo(steps / "go")
            (steps / "go").chmod(0o644)
            (steps / "wait.sh").write_text("read -r _ </docker-entrypoint-initdb.d/go")
            options = [f"--env=POSTGRES_{key}={value}" for key, value in (("USER", name), ("DB", name))]
            options += ["--env=POSTGRES_PASSWORD_FILE=/password", f"--volume={password}:/password:ro"]
            options += [f"--volume={steps}:/docker-entrypoint-initdb.d:ro", "--tmpfs=/var/lib/postgresql:uid=70,gid=70"]
            options += ["--user=70:70", "--network=none", "--name=being-made", "--detach"]
            subprocess.run(["docker", "run", *options, container["image"]], check=True, stdout=subprocess.DEVNULL)
            # Opening it waits for the reader.
            with (steps / "go").open("w") as file:
                early = box.inside("being-made", *container["health"]["test"][1:])
                file.write("on\n")
            assert early.returncode != 0, f"{name}: the database that is being made passes for ready: {early.stdout}"
            begin = time.monotonic()
            while box.inside("being-made", *container["health"]["test"][1:]).returncode:
                assert time.monotonic() - begin < 60, box.logs("being-made")
                time.sleep(0.1)
            subprocess.run(["docker", "rm", "--force", "being-made"], check=True, stdout=subprocess.DEVNULL)
    print("ok the health checks of databases are content with what the applications can use, and with nothing else")


def sql(box, name, text):
    """The answer of the database, asked in its own container."""
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=on"]
    done = box.inside(f"{name}-db", "psql", "--username", name, *options, name, input=text)
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


def first_start(box, name, uid):
    box.service("start", name)
    found = box.inspect(name)
    assert found["RestartCount"] == 0, f"{name} was started before its database answered:\n{box.logs(name)}"
    assert "its database has row 1\n" in box.logs(name), box.logs(name)
    assert box.users(f"{name}-db") == {uid}, box.users(f"{name}-db")
    assert sql(box, name, "SHOW data_checksums") == "on"
    ask = ["psql", "-h", f"{name}-db", "-U", name, "-d", name, "-c", "SELECT 1"]
    right = box.inside(name, *ask, env={"PGPASSWORD": box.secret(name, "db-password")})
    wrong = box.inside(name, *ask, env={"PGPASSWORD": "another"})
    assert right.returncode == 0, right.stdout
    assert wrong.returncode != 0 and "password authentication failed" in wrong.stdout, wrong.stdout
    print(f"ok {name}: its first start makes a database that it can use with the box's password, and with no other")


def dumps(box, name):
    """As the box's backup writes and loads them."""
    from backups.view import Trouble, inside_container

    service = box.services[name]
    (dump,) = service["backup"]["dumps"]
    loading = {**dump, "command": dump["load"]}
    rows = "SELECT string_agg(start || ' ' || at || ' ' || text, ',' ORDER BY start) FROM stand_in"
    sql(box, name, "ALTER TABLE stand_in ADD text text; UPDATE stand_in SET text = 'Grüße'; CREATE INDEX ON stand_in (text)")
    # More data than description: half of it fails after everything that was there has been dropped.
    sql(box, name, "CREATE TABLE bulk AS SELECT md5(g::text) FROM generate_series(1, 20000) g")
    before = sql(box, name, rows)
    with tempfile.TemporaryDirectory() as folder:
        whole, half = pathlib.Path(folder) / "whole", pathlib.Path(folder) / "half"
        with whole.open("wb") as file:
            inside_container(service, dump, stdout=file)
        sql(box, name, "UPDATE stand_in SET text = 'changed'; INSERT INTO stand_in DEFAULT VALUES")
        changed = sql(box, name, rows)
        content = whole.read_bytes()
        # Text that ends early is still SQL: rows end there, and then comes what is none.
        half.write_bytes(content[: len(content) * 2 // 3] + b"\n\\.\nno such command;\n")
        try:
            with half.open("rb") as file:
                inside_container(service, loading, stdin=file, stdout=subprocess.DEVNULL)
            raise AssertionError(f"{name}: half a dump was loaded")
        except Trouble:
            assert sql(box, name, rows) == changed
        with whole.open("rb") as file:
            inside_container(service, loading, stdin=file, stdout=subprocess.DEVNULL)
    assert sql(box, name, rows) == before
    print(f"ok {name}: its dump brings a changed database back, half of one changes nothing")


def new_disk(box, name):
    """A dump is all that a box on another disk has of a database: no table, and no role but the one that is made with it."""
    from backups.restore import load
    from backups.view import DUMPS, inside_container

    service = box.services[name]
    (dump,) = service["backup"]["dumps"]
    with tempfile.TemporaryDirectory() as folder:
        kept = pathlib.Path(folder) / DUMPS / dump["file"]
        kept.parent.mkdir()
        with kept.open("wb") as file:
            inside_container(service, dump, stdout=file)
        box.service("stop", name)
        shutil.rmtree(f"/srv/state/{name}/db")
        load(service, pathlib.Path(folder))
    box.service("start", name)
    assert "its database has row 2\n" in box.logs(name), box.logs(name)
    assert sql(box, name, "SELECT text FROM stand_in WHERE start = 1") == "Grüße"
    print(f"ok {name}: its dump is loaded into a database that was made just now, and used there")


def second_start(box, name):
    box.service("stop", name)
    box.service("start", name)
    assert "its database has row 3\n" in box.logs(name), box.logs(name)
    log = box.logs(f"{name}-db")
    assert "database system was shut down at" in log and "not properly" not in log, log
    print(f"ok {name}: its database was ended well, and is kept for the next start")


def cache(box):
    found = box.inspect("nextcloud-cache")
    assert found["State"]["Health"]["Status"] == "healthy"
    assert box.users("nextcloud-cache") == {999}
    said = box.inside("nextcloud-cache", "valkey-cli", "CONFIG", "GET", "maxmemory*").stdout.split()
    assert "134217728" in said and "allkeys-lru" in said, said
    asked = box.inside("nextcloud", "nc", "-w", "5", "nextcloud-cache", "6379", input="SET a b\r\nGET a\r\n")
    assert asked.stdout.split() == ["+OK", "$1", "b"], asked.stdout
    print("ok nextcloud: its cache answers Nextcloud, and forgets what it was told to")
