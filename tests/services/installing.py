#!/usr/bin/python3
"""Runs Nextcloud's `setup` of the rendered tree (first argument), and what it starts in the container, against stand-ins of its
page, of docker and of PHP. Prints one line for each thing that holds."""

import json
import re
import sys
import time

sys.dont_write_bytecode = True
from standin import holds
from standins import BIN, SECRETS, TREE, WORK, Application, as_json, calls, run, stub, variables

NAMES = ("POSTGRES_HOST", "POSTGRES_DB", "POSTGRES_USER", "NEXTCLOUD_ADMIN_USER", "NEXTCLOUD_TRUSTED_DOMAINS", "NC_setup_create_db_user")
FOLDER = TREE / "etc/boxwright/services/nextcloud"
said_by_php, installed, old, go, broken = (WORK / name for name in ("php-calls", "installed", "old", "go", "broken"))

variables("nextcloud")
for name in ("admin", "db"):
    (SECRETS / f"nextcloud/{name}-password").write_text(f"the-{name}-password")
compose = (FOLDER / "compose.yaml").read_text()
environment = {name: re.search(rf'^ +{name}: "?([^"\n]*)', compose, re.M)[1] for name in NAMES}
# It is at this place in the container, with these folders.
script = (FOLDER / "install.sh").read_text().replace("/tmp/", f"{WORK}/").replace("/run/secrets", f"{SECRETS}/nextcloud")
(WORK / "install.sh").write_text(script)
stub("docker", f'os.execvp("sh", ["sh", "{WORK}/install.sh", sys.argv[-1]])\n')
(BIN / "php").write_text(f"""#!/bin/sh
echo "$*" >>{said_by_php}
case $* in
*maintenance:install*)
	while [ ! -e {go} ]; do sleep 0.02; done
	[ ! -e {broken} ] || {{ echo "the disk is full"; exit 1; }}
	touch {installed}
	;;
*upgrade*) rm {old} ;;
'') cat >{WORK}/php-script ;;
esac
""")
(BIN / "php").chmod(0o755)


def status(_, headers):
    # Under any other name it may refuse to answer.
    return as_json({"installed": installed.exists(), "needsDbUpgrade": old.exists()}) if headers["Host"] == "localhost" else as_json({"code": 15}, 400)


nextcloud = Application({("GET", "/status.php"): status})


def setup():
    return run("nextcloud", "setup", applications={"nextcloud": nextcloud}, more=environment)


def until(wanted):
    begin = time.monotonic()
    while not wanted():
        assert time.monotonic() - begin < 20, said_by_php.read_text()
        time.sleep(0.02)


def asked(words):
    return [line for line in said_by_php.read_text().splitlines() if words in line] if said_by_php.exists() else []


installed.touch()
assert setup() == (0, "") and not calls() and not asked("")
holds("Nextcloud that is installed is left alone")

installed.unlink()
for _ in range(3):
    code, said = setup()
    assert code == 1 and said.endswith("it is being installed"), said
until(lambda: asked("maintenance:install"))
assert "password" not in json.dumps(calls())
go.touch()
until(lambda: asked("trusted_domains 2"))
[installer] = asked("maintenance:install")
assert setup() == (0, "")
for words in ("--no-interaction --admin-user=admin --admin-pass=the-admin-password", "--database=pgsql --database-host=nextcloud-db",
              "--database-name=nextcloud --database-user=nextcloud --database-pass=the-db-password"):
    assert words in installer, installer
domains = [line.removeprefix("occ config:system:set trusted_domains ") for line in asked("trusted_domains")]
assert domains == ["1 --value=cloud.example.com", "2 --value=nextcloud"], domains
assert environment["NC_setup_create_db_user"] == "false" and "lastLogin" in (WORK / "php-script").read_text()
holds("Nextcloud whose first start was interrupted is installed once, however often it is looked at, and knows its names")

installed.unlink()
broken.touch()
assert setup()[0] == 1
until(lambda: (WORK / "install.log").exists() and "full" in (WORK / "install.log").read_text())
until(lambda: "again, since: the disk is full" in setup()[1])
broken.unlink()
until(lambda: setup() == (0, ""))
holds("What kept Nextcloud from being installed is said, and it is tried again")

before = asked("maintenance:install")
old.touch()
assert setup() == (1, "its upgrade was interrupted: it is being upgraded")
until(lambda: asked("maintenance:mode --off"))
until(lambda: setup() == (0, ""))
assert len(asked("upgrade")) == 1 and asked("maintenance:install") == before, said_by_php.read_text()
holds("Nextcloud whose upgrade was interrupted is upgraded, and leaves its maintenance mode")
