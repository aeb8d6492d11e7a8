#!/usr/bin/python3
"""Runs the services' `setup` programs of the rendered tree (first argument) against stand-ins of the applications' APIs, on
loopback. Prints one line for each thing that holds; stops at the first that does not."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TREE = pathlib.Path(sys.argv[1])
WORK = pathlib.Path(tempfile.mkdtemp())


def schema(kind, fields, **more):
    return {"implementation": kind, "configContract": kind + "Settings", "fields": [{"name": name} for name in fields], **more}


TORRENTS = ["host", "port", "useSsl", "urlBase", "username", "password"]


class Application:
    """An API on a port of its own: collections that can be listed and added to, and what else each application has."""

    def __init__(self, name, key=None, lists=None, single=None, actions=None):
        self.name, self.key, self.calls = name, key, []
        self.lists, self.single, self.actions = lists or {}, single or {}, actions or {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self, "GET")

            def do_POST(self):
                owner.answer(self, "POST")

            def do_PUT(self):
                owner.answer(self, "PUT")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request, method):
        length = int(request.headers.get("Content-Length") or 0)
        body = json.loads(request.rfile.read(length)) if length else None
        status, value = self.decide(method, request.path, body, request.headers)
        if method != "GET":
            self.calls.append((method, request.path, body))
        data = json.dumps(value).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def decide(self, method, path, body, headers):
        if self.key and headers.get("X-Api-Key") != self.key:
            return 401, {"message": "no key"}
        if (method, path) in self.actions:
            return self.actions[method, path](body, headers)
        top, _, last = path.rpartition("/")
        if path in self.single and method == "GET":
            return 200, self.single[path]
        if method == "PUT" and top in self.single:
            self.single[top] = body
            return 202, body
        if path in self.lists and method == "GET":
            return 200, self.lists[path]
        if path in self.lists and method == "POST":
            self.lists[path].append({**body, "id": len(self.lists[path]) + 1})
            return 201, body
        if method == "PUT" and top in self.lists:
            self.lists[top] = [body if str(one["id"]) == last else one for one in self.lists[top]]
            return 202, body
        return 404, {"message": f"no {path}"}


def setup(name, applications, secrets):
    """The exit code of a service's setup, and what it said."""
    folder = WORK / "secrets" / name
    folder.mkdir(parents=True, exist_ok=True)
    for key, value in secrets.items():
        (folder / key).write_text(value)
    variables = {
        "STATE": str(WORK / "state" / name),
        "SECRETS": str(folder),
        "OWNER_UID": str(os.getuid()),
        "OWNER_GID": str(os.getgid()),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(TREE / "usr/lib/boxwright"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "URLS": json.dumps({one: application.url for one, application in applications.items()}),
    }
    program = TREE / "etc/boxwright/services" / name / "setup"
    # The rendered program names the disk of the box; here that is a folder of the test's.
    text = program.read_text().replace('"/srv/media/', f'"{WORK}/srv/media/')
    copy = WORK / f"{name}-setup"
    copy.write_text(text)
    copy.chmod(0o755)
    done = subprocess.run(["python3", copy], env=variables, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


def works(name, applications, secrets):
    code, said = setup(name, applications, secrets)
    assert code == 0, f"{name}: {said}"


def fails(name, applications, secrets, words):
    code, said = setup(name, applications, secrets)
    assert code == 1 and words in said and "\n" not in said, f"{name}: {code} {said}"


def twice(name, applications, secrets):
    """It works, and does nothing more the second time."""
    works(name, applications, secrets)
    before = len(applications[name].calls)
    works(name, applications, secrets)
    assert len(applications[name].calls) == before, applications[name].calls[before:]


def holds(what):
    print(f"ok {what}", flush=True)


def arr(name, cat):
    return Application(
        name,
        key=f"{name}-key",
        single={"/api/v3/config/host": {"id": 1, "authenticationMethod": "none", "username": "", "port": 1}},
        lists={
            "/api/v3/rootfolder": [],
            "/api/v3/qualityprofile": [{"id": 1, "name": "Any"}, {"id": 4, "name": "HD-1080p"}],
            "/api/v3/downloadclient": [],
            "/api/v3/downloadclient/schema": [schema("Transmission", ["host"]), schema("QBittorrent", [*TORRENTS, cat])],
        },
    )


def fields(one):
    return {field["name"]: field.get("value") for field in one["fields"]}


sonarr, radarr = arr("sonarr", "tvCategory"), arr("radarr", "movieCategory")
for app, folder, cat in ((sonarr, "series", "tvCategory"), (radarr, "films", "movieCategory")):
    secrets = {"api-key": app.key, "password": "secret-password", "qbittorrent": "torrent-password"}
    fails(app.name, {}, secrets, f"{app.name} does not run yet")
    fails(app.name, {app.name: app}, {**secrets, "api-key": "wrong"}, "answered 401")
    twice(app.name, {app.name: app}, secrets)
    host = app.single["/api/v3/config/host"]
    assert (host["authenticationMethod"], host["username"], host["password"]) == ("forms", "admin", "secret-password")
    assert [one["path"] for one in app.lists["/api/v3/rootfolder"]] == [f"/data/{folder}"]
    assert (WORK / "srv/media" / folder).is_dir()
    [client] = app.lists["/api/v3/downloadclient"]
    assert client["enable"] and fields(client)["host"] == "qbittorrent" and fields(client)[cat] == app.name, client
    assert fields(client)["password"] == "torrent-password"
    holds(f"{app.name} has its owner, its library and its torrent client")
    # Somebody changed the place, and a priority that is his own affair.
    client["priority"] = 7
    for field in client["fields"]:
        field["value"] = "192.168.1.5" if field["name"] == "host" else field.get("value")
    twice(app.name, {app.name: app}, secrets)
    [client] = app.lists["/api/v3/downloadclient"]
    assert fields(client)["host"] == "qbittorrent" and client["priority"] == 7, client
    holds(f"{app.name}'s torrent client is found by name again, and keeps the rest")

prowlarr = Application(
    "prowlarr",
    key="prowlarr-key",
    single={"/api/v1/config/host": {"id": 1, "authenticationMethod": "none", "username": ""}},
    lists={
        "/api/v1/applications": [],
        "/api/v1/applications/schema": [schema(kind, ["prowlarrUrl", "baseUrl", "apiKey"]) for kind in ("Radarr", "Sonarr")],
    },
)
secrets = {"api-key": "prowlarr-key", "password": "p", "sonarr": "sonarr-key"}
fails("prowlarr", {"prowlarr": prowlarr}, secrets, "the secret radarr is not here yet")
twice("prowlarr", {"prowlarr": prowlarr}, {**secrets, "radarr": "radarr-key"})
found = {one["name"]: (fields(one), one["syncLevel"]) for one in prowlarr.lists["/api/v1/applications"]}
assert found == {
    name.capitalize(): (
        {"prowlarrUrl": "http://prowlarr:9696", "baseUrl": f"http://{name}:{port}", "apiKey": f"{name}-key"},
        "fullSync",
    )
    for name, port in (("sonarr", 8989), ("radarr", 7878))
}, found
holds("Prowlarr knows Sonarr and Radarr by their names")

public = {"initialized": False}
seerr = Application(
    "seerr",
    key="seerr-key",
    single={"/api/v1/settings/public": public},
    lists={"/api/v1/settings/sonarr": [], "/api/v1/settings/radarr": []},
)
secrets = {"api-key": "seerr-key", "sonarr": "sonarr-key", "radarr": "radarr-key"}
all_of_them = {"seerr": seerr, "sonarr": sonarr, "radarr": radarr}
fails("seerr", all_of_them, secrets, "log in to Seerr once")
public["initialized"] = True
twice("seerr", all_of_them, secrets)
[one] = seerr.lists["/api/v1/settings/sonarr"]
assert (one["hostname"], one["activeProfileName"], one["activeDirectory"]) == ("sonarr", "HD-1080p", "/data/series"), one
[one] = seerr.lists["/api/v1/settings/radarr"]
assert (one["hostname"], one["activeDirectory"], one["apiKey"]) == ("radarr", "/data/films", "radarr-key"), one
holds("Seerr knows Sonarr and Radarr once it has an owner")

passwords = {"admin": "umami"}


def log_in(body, _):
    right = passwords.get(body["username"]) == body["password"]
    return (200, {"token": "t"}) if right else (401, {"message": "wrong"})


def change(body, headers):
    if headers.get("Authorization") != "Bearer t" or body["currentPassword"] != passwords["admin"]:
        return 400, {"message": "wrong"}
    passwords["admin"] = body["newPassword"]
    return 200, {}


umami = Application("umami", actions={("POST", "/api/auth/login"): log_in, ("POST", "/api/me/password"): change})
works("umami", {"umami": umami}, {"password": "umami-password"})
works("umami", {"umami": umami}, {"password": "umami-password"})
assert passwords == {"admin": "umami-password"}
holds("Umami's first password is gone")

info, first = {"StartupWizardCompleted": False}, {}
jellyfin = Application(
    "jellyfin",
    single={"/System/Info/Public": info, "/Startup/User": first},
    actions={
        ("POST", "/Startup/Configuration"): lambda body, _: (200, None),
        ("POST", "/Startup/User"): lambda body, _: (first.update(body), (200, None))[1],
        ("POST", "/Startup/RemoteAccess"): lambda body, _: (200, None),
        ("POST", "/Startup/Complete"): lambda body, _: (info.update(StartupWizardCompleted=True), (200, None))[1],
    },
)
twice("jellyfin", {"jellyfin": jellyfin}, {"password": "jellyfin-password"})
assert first == {"Name": "admin", "Password": "jellyfin-password"}, first
holds("Jellyfin's owner is the box's")

config, people = {"isInitialized": False}, []
immich = Application(
    "immich",
    single={"/api/server/config": config},
    actions={
        ("POST", "/api/auth/admin-sign-up"): lambda body, _: (
            config.update(isInitialized=True),
            people.append(body),
            (201, {}),
        )[2]
    },
)
twice("immich", {"immich": immich}, {"password": "immich-password"})
assert [one["password"] for one in people] == ["immich-password"]
immich.server.shutdown()
immich.server.server_close()
fails("immich", {"immich": immich}, {"password": "x"}, "immich cannot be reached")
holds("Immich's owner is the box's, and one that is down is said")
