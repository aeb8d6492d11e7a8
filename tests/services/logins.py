#!/usr/bin/python3
"""Runs the services' `reset-login` programs of the rendered tree (first argument) against stand-ins of the applications, of docker
and of systemctl; what they do to a database, against a real PostgreSQL where there is one. Prints one line for each thing that
holds."""

import base64
import glob
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from urllib.parse import parse_qs

sys.dont_write_bytecode = True
from standin import holds  # noqa: E402
from standins import SECRETS, STATE, WORK, Application, as_json, calls, run, stub, variables  # noqa: E402

NEW = "new-pass word'\"\\$"


def reset(service, user, **options):
    found = run(service, "reset-login", user, given=NEW + "\n", **options)
    assert NEW not in found[1], found
    return found


stub("docker")
stub("systemctl")

# ---- applications with an API that takes the box's key ---------------------------------------------------------------------

for name, base in (("sonarr", "/api/v3"), ("radarr", "/api/v3"), ("prowlarr", "/api/v1")):
    variables(name)
    (SECRETS / name / "api-key").write_text("the-key")
    host = {"id": 1, "authenticationMethod": "forms", "username": "admin", "port": 1}
    api = Application({("GET", f"{base}/config/host"): as_json(host), ("PUT", f"{base}/config/host/1"): as_json({})})
    status, said = reset(name, "nobody", applications={name: api})
    assert status == 1 and "its name is admin" in said and len(api.calls) == 1, said
    assert reset(name, "admin", applications={name: api}) == (0, "")
    _, _, body, headers = api.calls[-1]
    assert json.loads(body) == {**host, "password": NEW, "passwordConfirmation": NEW} and headers["X-Api-Key"] == "the-key"
holds("Sonarr, Radarr and Prowlarr give their one account another password, and keep the rest")

variables("seerr")
(SECRETS / "seerr/api-key").write_text("the-key")
people = [{"id": 1, "email": "me@example.com"}, {"id": 7, "email": "Aunt@example.com", "username": "aunt"}]
seerr = Application({
    ("GET", "/api/v1/user"): as_json({"results": people}),
    ("GET", "/api/v1/user/1/settings/password"): as_json({"hasPassword": True}),
    ("POST", "/api/v1/user/1/settings/password"): (403, {}, '{"message": "Current password is invalid."}'),
    ("POST", "/api/v1/user/7/settings/password"): (204, {}, ""),
})
for user in ("aunt", "aunt@example.com"):
    assert reset("seerr", user, applications={"seerr": seerr}) == (0, "")
    assert json.loads(seerr.calls[-1][2]) == {"newPassword": NEW}
assert "log in with Plex or Jellyfin" in reset("seerr", "me@example.com", applications={"seerr": seerr})[1]
assert "no one account uncle" in reset("seerr", "uncle", applications={"seerr": seerr})[1]
holds("Seerr's local accounts get a password, and its owner is told the way")

# ---- Jellyfin, by its own way for forgotten passwords ----------------------------------------------------------------------

variables("jellyfin")
config = STATE / "jellyfin/config"
config.mkdir()
people = {"admin": "forgotten", "child": "also"}


def forgot(body, _):
    user = json.loads(body)["EnteredUsername"].lower()
    if user in people:
        text = json.dumps({"Pin": "AB-CD-EF-01", "UserName": user.capitalize(), "PinFile": "x"})
        (config / f"passwordreset{user}.json").write_text(text)
    return as_json({"Action": "PinCode"})


def redeem(body, _):
    code = json.loads(body)["Pin"]
    for path in config.glob("passwordreset*.json"):
        found = json.loads(path.read_text())
        if found["Pin"] == code:
            people[found["UserName"].lower()] = code
            path.unlink()
            return as_json({"Success": True})
    return 404, {}, ""


def log_in(body, headers):
    account = json.loads(body)
    if not headers["Authorization"].startswith("MediaBrowser Client=") or people.get(account["Username"]) != account["Pw"]:
        return 401, {}, ""
    return as_json({"AccessToken": f"t-{account['Username']}", "User": {"Id": account["Username"]}})


def change(body, headers):
    user, account = headers["Authorization"].partition('Token="t-')[2].strip('"'), json.loads(body)
    if people.get(user) != account["CurrentPw"]:
        return 403, {}, ""
    people[user] = account["NewPw"]
    return 204, {}, ""


jellyfin = Application({
    ("POST", "/Users/ForgotPassword"): forgot,
    ("POST", "/Users/ForgotPassword/Pin"): redeem,
    ("POST", "/Users/AuthenticateByName"): log_in,
    ("POST", "/Users/Password"): change,
    ("POST", "/Sessions/Logout"): (204, {}, ""),
})
# Somebody else's is left alone.
(config / "passwordresetother.json").write_text(json.dumps({"Pin": "00-00-00-00", "UserName": "other"}))
assert reset("jellyfin", "admin", applications={"jellyfin": jellyfin}) == (0, "")
assert people == {"admin": NEW, "child": "also"} and (config / "passwordresetother.json").exists()
assert "no user uncle" in reset("jellyfin", "uncle", applications={"jellyfin": jellyfin})[1]
holds("Jellyfin gives an account a new password by the PIN in its file")

# ---- applications that are asked in their containers -----------------------------------------------------------------------

calls()
assert reset("nextcloud", "admin") == (0, "")
[(_, words, given, seen)] = calls()
assert words[:3] == ["exec", "--interactive", "--user"] and words[-3:] == ["--password-from-env", "--", "admin"], words
assert seen == {"NC_PASS": NEW, "OC_PASS": NEW} and NEW not in json.dumps(words), (words, seen)
stub("docker", "print('User does not exist'); sys.exit(1)\n")
assert reset("nextcloud", "uncle") == (1, "nextcloud could not do it: User does not exist")
holds("Nextcloud's own command gets the password from a variable")

stub("docker", "if sys.argv[-1].endswith('/preferences'): print(json.dumps({'web_ui_username': 'admin'}))\n")
calls()
assert reset("qbittorrent", "admin") == (0, "")
(_, words, given, _) = calls()[-1]
assert json.loads(parse_qs(given)["json"][0]) == {"web_ui_password": NEW} and words[-1].endswith("/api/v2/app/setPreferences")
assert "its name is admin" in reset("qbittorrent", "uncle")[1]
holds("qBittorrent takes its password from within its container")

# Wizarr's own Python, database and hash: the hash is a stand-in's.
database = WORK / "wizarr.db"
with sqlite3.connect(database) as made:
    made.execute("CREATE TABLE admin_account (username TEXT, password_hash TEXT)")
    made.execute("INSERT INTO admin_account VALUES ('me', 'old'), ('you', 'old')")
    made.execute("CREATE TABLE settings (key TEXT, value TEXT)")
    made.execute("INSERT INTO settings VALUES ('admin_username', 'me'), ('admin_password', 'old')")
(WORK / "fake/werkzeug").mkdir(parents=True)
(WORK / "fake/werkzeug/__init__.py").touch()
(WORK / "fake/werkzeug/security.py").write_text("def generate_password_hash(text, method):\n    return method + ':' + text\n")
stub("docker", f"""import subprocess
code = sys.argv[-1].replace('/data/database/database.db', {str(database)!r})
there = {{'PYTHONPATH': {str(WORK / 'fake')!r}}}
sys.exit(subprocess.run([sys.executable, '-B', '-c', code], input=given, text=True, env=there).returncode)
""")
calls()
assert reset("wizarr", "you") == (0, "")
with sqlite3.connect(database) as made:
    assert made.execute("SELECT * FROM admin_account").fetchall() == [("me", "old"), ("you", f"scrypt:{NEW}")]
    assert made.execute("SELECT value FROM settings WHERE key = 'admin_password'").fetchone() == ("old",)
assert reset("wizarr", "me") == (0, "")
with sqlite3.connect(database) as made:
    assert made.execute("SELECT value FROM settings WHERE key = 'admin_password'").fetchone() == (f"scrypt:{NEW}",)
assert "no admin uncle" in reset("wizarr", "uncle")[1]
assert all(NEW not in json.dumps(words) for _, words, _, _ in calls())
holds("Wizarr's admins get a new password in its container")

# ---- Tautulli's settings ---------------------------------------------------------------------------------------------------

variables("tautulli")
ini = STATE / "tautulli/config/config.ini"
ini.parent.mkdir()
TEXT = '''[General]
http_hashed_password = 1
http_host = 0.0.0.0
http_password = PBKDF2$old
http_username = me
[Advanced]
x = ""
'''
ini.write_text(TEXT)
calls()
assert "the name is me" in reset("tautulli", "you")[1] and calls() == []
assert reset("tautulli", "me") == (0, "")
assert [words for name, words, _, _ in calls()] == [[verb, "boxwright-service-tautulli.service"] for verb in ("stop", "start")]
lines = ini.read_text().splitlines()
[kept] = [line for line in lines if line.startswith("http_password = ")]
kind, function, rounds, salt, digest = kept.removeprefix("http_password = ").split("$")
wanted = hashlib.pbkdf2_hmac(function, NEW.encode(), salt.encode(), int(rounds), len(base64.b64decode(digest)))
assert (kind, base64.b64decode(digest)) == ("PBKDF2", wanted)
assert [line for line in lines if line != kept] == TEXT.replace("http_password = PBKDF2$old\n", "").splitlines()
ini.write_text(TEXT.replace("http_password = PBKDF2$old\n", ""))
status, said = reset("tautulli", "me")
assert status == 1 and "Nothing was changed" in said and calls()[-1][1][0] == "start"
elsewhere = WORK / "elsewhere.ini"
elsewhere.write_text(TEXT)
ini.unlink()
ini.symlink_to(elsewhere)
assert reset("tautulli", "me")[0] != 0 and elsewhere.read_text() == TEXT and calls() == []
holds("Tautulli keeps the hash of the new password, and all its other settings")

# ---- PostgreSQL ------------------------------------------------------------------------------------------------------------

programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
contrib = glob.glob("/usr/share/postgresql/*/extension/pgcrypto.control")
if not programs or not contrib or os.getuid():
    print("SKIPPED Umami and Immich: there is no PostgreSQL with pgcrypto, or only root could run it")
    sys.exit(0)
home = WORK / "pg"
home.mkdir()
for each in (WORK, home):
    each.chmod(0o755)
shutil.chown(home, "postgres")


def postgres(program, *words):
    command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", f"{programs[-1]}/{program}", *words]
    return subprocess.run(command, check=True, cwd=home, stdout=subprocess.DEVNULL)


postgres("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--pgdata", home / "data")
options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off"
postgres("pg_ctl", "--wait", "--pgdata", home / "data", "--log", home / "log", "--options", options, "start")


def sql(database, text):
    command = ["psql", "-XAtq", "-h", home, "-U", "postgres", "-d", database, "-c", text]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


try:
    stub("docker", f"""import subprocess
words = sys.argv[sys.argv.index('--interactive') + 2:]
sys.exit(subprocess.run([*words, '-h', {str(home)!r}], input=given, text=True).returncode)
""")
    for name, table, user in (
        ("umami", "username text, password text, deleted_at timestamptz", "admin"),
        ("immich", 'email text, password text, "deletedAt" timestamptz', "me@example.com"),
    ):
        sql("postgres", f"CREATE ROLE {name} SUPERUSER LOGIN")
        sql("postgres", f"CREATE DATABASE {name} OWNER {name}")
        sql(name, f'CREATE TABLE "user" ({table}); INSERT INTO "user" VALUES (\'{user}\', \'old\'), (\'other\', \'old\')')
        before = sql(name, "SELECT extname FROM pg_extension ORDER BY 1")
        assert reset(name, user) == (0, "")
        rows = dict(line.split("|")[:2] for line in sql(name, 'SELECT * FROM "user"').splitlines())
        assert rows["other"] == "old" and rows[user].startswith("$2a$10$"), rows
        sql(name, "CREATE EXTENSION pgcrypto")
        literal = NEW.replace("'", "''")
        first = table.split()[0]
        right = f"SELECT crypt('{literal}', password) = password FROM \"user\" WHERE {first} = '{user}'"
        assert sql(name, right) == "t"
        sql(name, "DROP EXTENSION pgcrypto")
        assert "there is no user uncle" in reset(name, "uncle' OR true --")[1].replace("' OR true --", "")
        assert sql(name, "SELECT extname FROM pg_extension ORDER BY 1") == before
    logged = (home / "log").read_text()
    assert NEW.encode().hex() not in logged
    holds("Umami and Immich: a hash that PostgreSQL itself makes, without a trace of how")
finally:
    postgres("pg_ctl", "--wait", "--mode", "immediate", "--pgdata", home / "data", "stop")
