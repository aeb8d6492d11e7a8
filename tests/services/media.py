#!/usr/bin/python3
"""Runs the `setup` of Seerr and Maintainerr against stand-ins, on boxes with Jellyfin and Plex, with Plex, and with Jellyfin (the
rendered trees of the arguments, in this order). Prints one line for each thing that holds; stops at the first that does not."""

import sys

sys.dont_write_bytecode = True
from standin import TREES, Application, fails, holds, rotates, twice, works

BOTH, PLEX, JELLYFIN = TREES
SETTINGS = "/api/v1/settings"


def arr(name, path):
    profiles = [{"id": 1, "name": "Any"}, {"id": 4, "name": "HD-1080p"}]
    return Application(
        name, key=f"{name}-key", lists={"/api/v3/qualityprofile": profiles, "/api/v3/rootfolder": [{"path": path}]}
    )


class Jellyfin(Application):
    """Accounts, keys for programs, and libraries: what Seerr and Maintainerr get from it."""

    def __init__(self, password="jellyfin-password"):
        self.password, self.keys, self.libraries, self.wizard = password, [], [], True
        super().__init__("jellyfin")

    def decide(self, method, path, body, headers):
        known = 'Token="token"' in headers.get("Authorization", "")
        match (method, path):
            case ("GET", "/System/Info/Public"):
                return 200, {"StartupWizardCompleted": self.wizard}
            case ("POST", "/Users/AuthenticateByName"):
                right = body == {"Username": "admin", "Pw": self.password} and "DeviceId=" in headers.get("Authorization", "")
                return (200, {"AccessToken": "token"}) if right else (401, {"message": "wrong"})
            case ("GET", "/Auth/Keys") if known:
                return 200, {"Items": self.keys}
            case ("POST", "/Auth/Keys?app=Maintainerr") if known:
                self.keys.append({"AppName": "Maintainerr", "AccessToken": "maintainerr-key"})
                return 204, None
            case ("POST", "/Sessions/Logout") if known:
                return 204, None
        return 401, {"message": f"no {path}"}


class Seerr(Application):
    """Seerr 3.1, as far as its setup goes: what it refuses, it refuses here too."""

    def __init__(self, jellyfin=None, libraries=()):
        self.server, self.owner, self.interrupted = None, None, False
        self.media, self.found = jellyfin, list(libraries)
        self.public = {"initialized": False, "mediaServerType": 4}
        self.plex = {"name": "", "ip": "plex", "port": 32400, "useSsl": False, "libraries": []}
        self.jellyfin = {"name": "", "ip": "", "port": 8096, "externalHostname": "", "libraries": []}
        options = {"emailFrom": "", "smtpHost": "", "smtpPort": 587, "allowSelfSigned": False, "senderName": "Seerr"}
        self.email = {"enabled": False, "embedPoster": True, "options": options}
        self.scans = []
        super().__init__("seerr", lists={f"{SETTINGS}/sonarr": [], f"{SETTINGS}/radarr": []})

    def changes(self, method, path, body):
        return method != "GET" or "?" in path

    def decide(self, method, path, body, headers):
        if (method, path) == ("GET", f"{SETTINGS}/public"):
            return 200, self.public
        if (method, path) == ("POST", "/api/v1/auth/jellyfin"):
            return self.sign_in(body)
        if headers.get("X-Api-Key") != "seerr-key" or not self.owner:
            return 403, {"status": 403, "error": "You do not have permission to access this endpoint"}
        name = path.removeprefix(f"{SETTINGS}/")
        match (method, name.partition("?")[0]):
            case ("GET", "main"):
                return 200, {}
            case ("GET", "plex" | "jellyfin"):
                return 200, getattr(self, name)
            case ("POST", "plex" | "jellyfin"):
                return self.connect(name, body)
            case ("POST", "initialize"):
                self.public["initialized"] = True
                return 200, self.public
            case ("GET", "plex/library" | "jellyfin/library"):
                return self.libraries(getattr(self, name.partition("/")[0]), name.partition("?")[2])
            case ("POST", "plex/sync" | "jellyfin/sync"):
                self.scans.append(body)
                return 200, {}
            case ("GET", "notifications/email"):
                return 200, self.email
            case ("POST", "notifications/email"):
                self.email = body
                return 200, body
        return super().decide(method, path, body, headers)

    def sign_in(self, body):
        if self.public["mediaServerType"] not in (2, 4):
            return 500, {"error": "Jellyfin login is disabled"}
        if bool(self.jellyfin["ip"]) == bool(body.get("hostname")):
            return 500, {"error": "Jellyfin hostname already configured"}
        if (body["username"], body["password"]) != ("admin", self.media.password):
            return 401, {"message": "INVALID_CREDENTIALS"}
        if body.get("serverType") != 2:
            return 500, {"message": "NO_ADMIN_USER"}
        self.owner = body.get("email") or body["username"]
        self.public["mediaServerType"] = 2
        if self.interrupted:
            return 500, {"message": "UNKNOWN"}
        self.jellyfin |= {"ip": body["hostname"], "port": body["port"]}
        return 200, {}

    def connect(self, name, body):
        if {"name", "machineId", "libraries"} & set(body):
            return 400, {"message": "request/body/name is read-only"}
        if name == "plex" and body["ip"] != "plex":
            return 500, {"message": "Unable to connect to Plex."}
        getattr(self, name).update(body)
        if name == "plex":
            self.plex["machineId"] = "machine"
        return 200, getattr(self, name)

    def libraries(self, media, query):
        if "sync" in query:
            if not self.found and media is self.jellyfin:
                return 404, {"message": "SYNC_ERROR_NO_LIBRARIES"}
            media["libraries"] = [{"id": one, "name": one, "enabled": False} for one in self.found]
        enabled = query.removeprefix("enable=").split(",") if query.startswith("enable=") else []
        for one in media["libraries"]:
            one["enabled"] = one["id"] in enabled
        return 200, media["libraries"]


sonarr, radarr = arr("sonarr", "/data/series"), arr("radarr", "/data/films")
servers = {"sonarr": sonarr, "radarr": radarr}
keys = {"api-key": "seerr-key", "sonarr": "sonarr-key", "radarr": "radarr-key"}
secrets = {**keys, "jellyfin": "jellyfin-password", "mail-password": "mail-password"}

for tree in (BOTH, JELLYFIN):
    jellyfin = Jellyfin()
    seerr = Seerr(jellyfin, ["1", "2"])
    everything = {"seerr": seerr, "jellyfin": jellyfin, **servers}
    jellyfin.wizard = False
    fails("seerr", everything, secrets, "jellyfin has no owner yet", tree)
    assert not seerr.owner and not seerr.calls
    jellyfin.wizard = True
    twice("seerr", everything, secrets, tree)
    assert seerr.public == {"initialized": True, "mediaServerType": 2} and seerr.owner == "ann@example.com"
    assert (seerr.jellyfin["ip"], seerr.jellyfin["port"]) == ("jellyfin", 8096), seerr.jellyfin
    assert seerr.jellyfin["externalHostname"] == "https://jellyfin.example.com"
    assert all(one["enabled"] for one in seerr.jellyfin["libraries"]) and seerr.scans == [{"start": True}]
    [one] = seerr.lists[f"{SETTINGS}/sonarr"]
    assert (one["hostname"], one["activeProfileName"], one["activeDirectory"]) == ("sonarr", "HD-1080p", "/data/series"), one
    [one] = seerr.lists[f"{SETTINGS}/radarr"]
    assert (one["hostname"], one["activeDirectory"], one["apiKey"]) == ("radarr", "/data/films", "radarr-key"), one
holds("Seerr gets its owner from Jellyfin, its libraries, Sonarr and Radarr before a visitor comes")

options = seerr.email["options"]
assert seerr.email["enabled"] and (options["smtpHost"], options["smtpPort"]) == ("smtp.example.net", 587)
assert (options["secure"], options["requireTls"], options["ignoreTls"]) == (False, True, False)
assert (options["authUser"], options["authPass"]) == ("sender", "mail-password")
assert (options["emailFrom"], options["senderName"]) == ("box@example.com", "Seerr")
new = {**secrets, "mail-password": "another"}
works("seerr", everything, new, JELLYFIN)
assert seerr.email["options"]["authPass"] == "mail-password"
rotates("seerr", everything, new, "mail-password", JELLYFIN)
assert seerr.email["options"] == {**options, "authPass": "another"} and seerr.email["embedPoster"], seerr.email
seerr.email["options"] = {**options, "authUser": "somebody else's"}
rotates("seerr", everything, new, "mail-password", JELLYFIN)
assert seerr.email["options"]["authPass"] == "mail-password"
holds("Seerr gets a new password of the box's mail server, and of no other")
# What its owner changes stays.
seerr.email["enabled"], seerr.email["options"] = False, {**options, "smtpHost": "mail.elsewhere.example"}
seerr.jellyfin["libraries"][0]["enabled"] = False
seerr.jellyfin["externalHostname"] = ""
before = len(seerr.calls)
works("seerr", everything, secrets, JELLYFIN)
assert len(seerr.calls) == before, seerr.calls[before:]
holds("Seerr mails through the box's server, and keeps what its owner has set")

jellyfin = Jellyfin()
seerr = Seerr(jellyfin)
everything = {"seerr": seerr, "jellyfin": jellyfin, **servers}
fails("seerr", everything, {**secrets, "jellyfin": "former"}, "another password than the box made", JELLYFIN)
seerr.interrupted = True
fails("seerr", everything, secrets, "seerr answered 500", JELLYFIN)
fails("seerr", everything, secrets, "box restart seerr", JELLYFIN)
assert not seerr.public["initialized"]
# As after a restart.
seerr.interrupted, seerr.public["mediaServerType"] = False, 4
fails("seerr", everything, secrets, "jellyfin has no library of films or series yet", JELLYFIN)
assert seerr.public["initialized"] and len(seerr.lists[f"{SETTINGS}/sonarr"]) == 1
seerr.found = ["7"]
twice("seerr", everything, secrets, JELLYFIN)
assert [one["id"] for one in seerr.jellyfin["libraries"] if one["enabled"]] == ["7"]
holds("Seerr says what keeps it from Jellyfin, and gets the rest meanwhile")

for tree in (BOTH, PLEX):
    seerr = Seerr(Jellyfin(), ["3"])
    everything = {"seerr": seerr, "jellyfin": seerr.media, **servers}
    if tree is PLEX:
        fails("seerr", everything, secrets, "log in to Seerr once", tree)
    # Somebody logs in with Plex.
    seerr.owner, seerr.public["mediaServerType"] = "ann", 1
    twice("seerr", everything, secrets, tree)
    assert seerr.public["initialized"] and seerr.plex["machineId"] == "machine" and not seerr.jellyfin["ip"]
    assert [one["enabled"] for one in seerr.plex["libraries"]] == [True] and len(seerr.lists[f"{SETTINGS}/radarr"]) == 1
seerr = Seerr()
seerr.owner, seerr.public["mediaServerType"] = "ann", 3
fails("seerr", {"seerr": seerr, **servers}, secrets, "answer the rest of Seerr's questions", PLEX)
assert not seerr.public["initialized"]
holds("with Plex, Seerr learns of the rest once its owner has logged in")


class Maintainerr(Application):
    """Its settings, which it gives in pieces; what it refuses it answers with 201 as well."""

    def __init__(self):
        self.settings, self.refuses = {"media_server_type": None}, False
        super().__init__("maintainerr", lists={"/api/settings/sonarr": [], "/api/settings/radarr": []})

    def decide(self, method, path, body, headers):
        name = path.removeprefix("/api/settings").strip("/")
        if method == "POST" and self.refuses:
            return 201, {"status": "NOK", "code": 0, "message": "Failure"}
        if method == "POST" and path not in self.lists:
            if name == "jellyfin":
                self.settings["media_server_type"] = name
            self.settings[name] = body
        if path in self.lists:
            status, _ = super().decide(method, path, body, headers)
            return status, self.lists[path] if method == "GET" else {"code": 1}
        if method == "POST":
            return 201, {"code": 1}
        return 200, self.settings.get(name, {"url": None, "api_key": None}) if name else self.settings


keys = {"jellyfin": "jellyfin-password", **{name: f"{name}-key" for name in ("radarr", "seerr", "sonarr", "tautulli")}}
maintainerr = Maintainerr()
maintainerr.refuses = True
fails("maintainerr", {"maintainerr": maintainerr}, keys, "maintainerr refused the settings of sonarr: Failure", BOTH)
maintainerr.refuses = False
# Its owner has a Seerr elsewhere.
maintainerr.settings["seerr"] = {"url": "http://elsewhere:5055", "api_key": "other"}
twice("maintainerr", {"maintainerr": maintainerr}, keys, BOTH)
[one] = maintainerr.lists["/api/settings/sonarr"]
assert (one["serverName"], one["url"], one["apiKey"]) == ("Sonarr", "http://sonarr:8989", "sonarr-key"), one
assert maintainerr.settings["tautulli"] == {"url": "http://tautulli:8181", "api_key": "tautulli-key"}
assert maintainerr.settings["seerr"]["url"] == "http://elsewhere:5055" and not maintainerr.settings["media_server_type"]
holds("Maintainerr knows those that it works through, and waits for its owner's Plex")

maintainerr, jellyfin = Maintainerr(), Jellyfin("changed by its owner")
works("maintainerr", {"maintainerr": maintainerr, "jellyfin": jellyfin}, keys, JELLYFIN)
assert not maintainerr.settings["media_server_type"] and maintainerr.settings["seerr"]["url"] == "http://seerr:5055"
jellyfin.password = "jellyfin-password"
twice("maintainerr", {"maintainerr": maintainerr, "jellyfin": jellyfin}, keys, JELLYFIN)
found = maintainerr.settings["jellyfin"]
assert found == {"jellyfin_url": "http://jellyfin:8096", "jellyfin_api_key": "maintainerr-key"} and len(jellyfin.keys) == 1
maintainerr.settings["media_server_type"] = None
works("maintainerr", {"maintainerr": maintainerr, "jellyfin": jellyfin}, keys, JELLYFIN)
assert len(jellyfin.keys) == 1
holds("Maintainerr gets one key of Jellyfin's, where that is the only media server")
