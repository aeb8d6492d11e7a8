#!/usr/bin/python3
"""Runs the `setup` of Immich, Tautulli and Wizarr of the rendered tree (first argument) against stand-ins of them: owners and
mail. Prints one line for each thing that holds; stops at the first that does not."""

import copy
import sys

sys.dont_write_bytecode = True
from standin import Application, fails, holds, leaves, rotates, twice, works


class Immich(Application):
    """Its owner, sessions, and the configuration that it takes whole or not at all."""

    def __init__(self):
        self.people, self.sessions, self.reachable = {}, 0, True
        transport = {"ignoreCert": False, "host": "", "port": 587, "secure": False, "username": "", "password": ""}
        self.config = {
            "trash": {"days": 30},
            "notifications": {"smtp": {"enabled": False, "from": "", "replyTo": "", "transport": transport}},
        }
        super().__init__("immich")

    def changes(self, method, path, body):
        return method != "GET" and path not in ("/api/auth/login", "/api/auth/logout")

    def decide(self, method, path, body, headers):
        known = headers.get("Authorization") == "Bearer session"
        match (method, path):
            case ("GET", "/api/server/config"):
                return 200, {"isInitialized": bool(self.people)}
            case ("POST", "/api/auth/admin-sign-up"):
                self.people[body["email"]] = body["password"]
                return 201, {}
            case ("POST", "/api/auth/login"):
                if self.people.get(body["email"]) != body["password"]:
                    return 401, {"message": "Incorrect email or password"}
                self.sessions += 1
                return 201, {"accessToken": "session"}
            case ("POST", "/api/auth/logout") if known:
                self.sessions -= 1
                return 200, {}
            case ("GET", "/api/system-config") if known:
                return 200, self.config
            case ("PUT", "/api/system-config") if known:
                if not self.reachable:
                    return 400, {"message": "Failed to verify SMTP configuration"}
                assert set(body["notifications"]["smtp"]["transport"]) == set(self.config["notifications"]["smtp"]["transport"])
                self.config = body
                return 200, body
        return 401, {"message": "Authentication required"}


immich = Immich()
secrets = {"password": "immich-password", "mail-password": "mail-password"}
immich.reachable = False
fails("immich", {"immich": immich}, secrets, "Failed to verify SMTP configuration")
assert immich.people == {"admin@box.internal": "immich-password"} and immich.sessions == 0
immich.reachable = True
twice("immich", {"immich": immich}, secrets)
smtp = immich.config["notifications"]["smtp"]
assert smtp["enabled"] and smtp["from"] == "box@example.com" and immich.config["trash"] == {"days": 30}
expected = {"host": "smtp.example.net", "port": 587, "secure": False, "username": "sender", "password": "mail-password"}
assert smtp["transport"] == {"ignoreCert": False, **expected}, smtp
holds("Immich's owner is the box's, and it mails through the box's server")
# Its owner has changed something else about it, and handed over a new password.
smtp["replyTo"], smtp["enabled"] = "ann@example.com", False
new = {**secrets, "mail-password": "another"}
works("immich", {"immich": immich}, new)
assert immich.config["notifications"]["smtp"]["transport"]["password"] == "mail-password"
rotates("immich", {"immich": immich}, new, "mail-password")
after = immich.config["notifications"]["smtp"]
assert after == {**smtp, "transport": {**smtp["transport"], "password": "another"}} and immich.config["trash"], after
after["transport"]["username"] = "somebody else's"
rotates("immich", {"immich": immich}, {**secrets, "mail-password": "a third"}, "mail-password")
assert immich.config["notifications"]["smtp"]["transport"]["password"] == "another"
holds("Immich gets a new password of the box's mail server, and of no other")
smtp = immich.config["notifications"]["smtp"]
smtp["enabled"] = False
before = copy.deepcopy(immich.config)
works("immich", {"immich": immich}, secrets)
assert immich.config == before and immich.sessions == 0
immich.people["admin@box.internal"] = "changed by its owner"
smtp["transport"]["host"] = ""
works("immich", {"immich": immich}, secrets)
leaves("immich", {"immich": immich}, secrets, "mail-password", "another password than the box made: enter")
assert not immich.config["notifications"]["smtp"]["transport"]["host"]
immich.server.shutdown()
immich.server.server_close()
fails("immich", {"immich": immich}, secrets, "immich cannot be reached")
holds("Immich's settings are its owner's, and one that is down is said")


class Tautulli(Application):
    """The notification agents of Tautulli's API: everything is a form, and an answer in an answer."""

    def __init__(self):
        self.agents, self.breaks = [], False
        super().__init__("tautulli")

    def changes(self, method, path, body):
        return body["cmd"].startswith(("add_", "set_"))

    def decide(self, method, path, body, headers):
        assert (method, path) == ("POST", "/api/v2"), "secrets in an address"
        if body["apikey"] != "0123456789abcdef0123456789abcdef":
            return 401, {"response": {"result": "error", "message": "Invalid apikey", "data": {}}}
        return 200, {"response": self.run(body)}

    def run(self, body):
        match body["cmd"]:
            case "get_notifiers":
                return self.data([{"id": one["id"], "agent_name": one["agent_name"]} for one in self.agents])
            case "add_notifier_config":
                assert body["agent_id"] == "10"
                number = len(self.agents) + 1
                self.agents.append({"id": number, "agent_name": "email", "config": {"smtp_server": ""}, "actions": {}})
                return self.data({"notifier_id": number})
        agent = self.agents[int(body["notifier_id"]) - 1]
        if body["cmd"] == "get_notifier_config":
            return self.data({**agent.get("more", {}), "config": {**agent["config"], "smtp_password": "    "}})
        if self.breaks:
            return {"result": "error", "message": "Failed to save notification agent.", "data": {}}
        agent["kept"] = {key: body[key] for key in ("friendly_name", "custom_conditions", "custom_conditions_logic") if key in body}
        agent["config"] = {key.removeprefix("email_"): value for key, value in body.items() if key.startswith("email_")}
        agent["actions"] = {key for key, value in body.items() if key.startswith("on_") and value == "1"}
        return self.data({})

    def data(self, value):
        return {"result": "success", "message": None, "data": value}


tautulli = Tautulli()
secrets = {"api-key": "0123456789abcdef0123456789abcdef", "mail-password": "mail-password"}
fails("tautulli", {"tautulli": tautulli}, {**secrets, "api-key": "wrong"}, "tautulli answered 401 to get_notifiers")
fails("tautulli", {"tautulli": tautulli}, {"api-key": secrets["api-key"]}, "the secret mail-password is not here yet")
tautulli.breaks = True
fails("tautulli", {"tautulli": tautulli}, secrets, "tautulli refused set_notifier_config: Failed to save")
tautulli.breaks = False
twice("tautulli", {"tautulli": tautulli}, secrets)
[agent] = tautulli.agents
config = agent["config"]
assert (config["smtp_server"], config["smtp_port"], config["tls"]) == ("smtp.example.net", "587", "1"), config
assert (config["smtp_user"], config["smtp_password"]) == ("sender", "mail-password")
assert (config["from"], config["to"]) == ("box@example.com", "ann@example.com")
assert agent["actions"] == {"on_intdown", "on_intup"}
# What its owner has set besides is what Tautulli would forget.
agent["more"] = {"friendly_name": "mine", "custom_conditions": [{"parameter": "user"}], "custom_conditions_logic": "{1}"}
rotates("tautulli", {"tautulli": tautulli}, {**secrets, "mail-password": "another"}, "mail-password")
[agent] = tautulli.agents
assert agent["config"] == {**config, "smtp_password": "another"}, agent
assert agent["kept"] == {"friendly_name": "mine", "custom_conditions": '[{"parameter": "user"}]', "custom_conditions_logic": "{1}"}
agent["config"]["smtp_server"] = "mail.elsewhere.example"
before = len(tautulli.calls)
rotates("tautulli", {"tautulli": tautulli}, secrets, "mail-password")
assert len(tautulli.calls) == before
holds("Tautulli gets a new password of the box's mail server, and of no other")
tautulli = Tautulli()
tautulli.agents = [{"id": 1, "agent_name": "email", "config": {"smtp_server": "mail.elsewhere.example"}, "actions": {}}]
works("tautulli", {"tautulli": tautulli}, secrets)
assert not tautulli.calls
holds("Tautulli mails when Plex is down, through the box's server unless its owner has another")


class Wizarr(Application):
    """The form that Wizarr shows its first visitor, tied to a session; it accepts what it asks of a password, and nothing else."""

    PAGE = '<form method="post"><input id="csrf_token" name="csrf_token" type="hidden" value="word"><input name="username"></form>'

    def __init__(self):
        self.owners, self.page = {}, self.PAGE
        super().__init__("wizarr")

    def decide(self, method, path, body, headers):
        assert path == "/setup/"
        if self.owners:
            return 302, ""
        if method == "GET":
            return 200, self.page
        password, kinds = body["password"], (str.islower, str.isupper, str.isdigit)
        strong = password == body["confirm"] and all(any(kind(one) for one in password) for kind in kinds)
        if not strong or body.get("csrf_token") != "word" or headers.get("Cookie") != "session=visitor":
            return 200, self.page
        self.owners[body["username"]] = password
        return 302, ""

    def form(self, status, value):
        headers = {"Set-Cookie": "session=visitor; HttpOnly; Path=/"}
        if status == 302:
            headers["Location"] = "/admin"
        return status, headers, value.encode()


wizarr = Wizarr()
fails("wizarr", {"wizarr": wizarr}, {"password": "weak"}, "wizarr did not take the account")
wizarr.page = "<p>Something else</p>"
fails("wizarr", {"wizarr": wizarr}, {"password": "Wizarr-passw0rd"}, "another first page than expected")
wizarr.page = Wizarr.PAGE
twice("wizarr", {"wizarr": wizarr}, {"password": "Wizarr-passw0rd"})
works("wizarr", {"wizarr": wizarr}, {"password": "Another-passw0rd"})
assert wizarr.owners == {"admin": "Wizarr-passw0rd"}, wizarr.owners
holds("Wizarr's owner is the box's, made by the form of its first visitor")
