#!/usr/bin/python3
"""Runs the services' `setup` programs of the rendered tree (first argument) against stand-ins of the applications' APIs, on
loopback. Prints one line for each thing that holds; stops at the first that does not."""

import sys

sys.dont_write_bytecode = True
from standin import WORK, Application, fails, holds, schema, twice, works

TORRENTS = ["host", "port", "useSsl", "urlBase", "username", "password"]


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


(WORK / "srv/media").mkdir(parents=True)
(WORK / "elsewhere").mkdir()
sonarr, radarr = arr("sonarr", "tvCategory"), arr("radarr", "movieCategory")
for app, folder, cat in ((sonarr, "series", "tvCategory"), (radarr, "films", "movieCategory")):
    secrets = {"api-key": app.key, "password": "secret-password", "qbittorrent": "torrent-password"}
    fails(app.name, {}, secrets, f"{app.name} does not run yet")
    fails(app.name, {app.name: app}, {**secrets, "api-key": "wrong"}, "answered 401")
    planted = WORK / "srv/media" / folder
    planted.symlink_to(WORK / "elsewhere")
    fails(app.name, {app.name: app}, secrets, f"srv/media/{folder} cannot be used, and no link is followed there")
    assert not app.lists["/api/v3/rootfolder"]
    planted.unlink()
    holds(f"{app.name}'s library is not where a link leads")
    twice(app.name, {app.name: app}, secrets)
    host = app.single["/api/v3/config/host"]
    assert (host["authenticationMethod"], host["username"], host["password"]) == ("forms", "admin", "secret-password")
    assert [one["path"] for one in app.lists["/api/v3/rootfolder"]] == [f"/data/{folder}"]
    assert (WORK / "srv/media" / folder).is_dir()
    [client] = app.lists["/api/v3/downloadclient"]
    assert client["enable"] and fields(client)["host"] == "qbittorrent" and fields(client)[cat] == app.name, client
    assert fields(client)["password"] == "torrent-password"
    holds(f"{app.name} has its owner, its library and its torrent client")
    # Somebody changed the place, and what is his own affair: a priority, the category, the user.
    own = {cat: "films of mine", "username": "me"}
    client["priority"] = 7
    for change in (own, {**own, "host": "192.168.1.5"}):
        for field in client["fields"]:
            field["value"] = change.get(field["name"], field.get("value"))
        before = len(app.calls)
        works(app.name, {app.name: app}, secrets)
        [client] = app.lists["/api/v3/downloadclient"]
        assert {**fields(client), **own, "host": "qbittorrent"} == fields(client) and client["priority"] == 7, client
        assert len(app.calls) - before == (1 if "host" in change else 0), app.calls[before:]
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
