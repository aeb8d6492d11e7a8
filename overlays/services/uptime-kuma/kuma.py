"""Uptime Kuma's API, as `setup` and `report` need it."""

import hashlib
import hmac
import json
import os
import pathlib

import socketio
import wiring

OWNER = "admin"
# Lets the box in again where its owner has switched on a second factor; for root alone.
TOKEN = pathlib.Path(os.environ["STATE"]) / "token"
# What the box keeps there has this in its description, and then which one it is.
MARK = "Kept by the box: "
# What wanted.json calls the box's backups: no service has a name like this.
BACKUPS = "box/backups"
# The setting of Kuma's own database in which the box remembers what it has made: it comes back with a backup.
LEDGER = "boxwright"


def push_token(name):
    """Whoever knows it can say how the containers of that service do, or the backups."""
    return hmac.new(wiring.needed("push-key").encode(), name.encode(), hashlib.sha256).hexdigest()[:32]


class Kuma:
    """The owner's session."""

    def __init__(self):
        url = wiring.Api("uptime-kuma").url
        self.client = socketio.Client("uptime-kuma", url)
        # It takes no calls before it has said one of these.
        self.client.wait("loginRequired", "autoLogin")

    def call(self, name, *values):
        """What it answers, unless that is a refusal."""
        answer = self.client.call(name, *values)[0]
        if not answer.get("ok"):
            raise wiring.Trouble(f"uptime-kuma refused `{name}`: {answer.get('msg')}")
        return answer

    def log_in(self):
        """As the owner, whose account is made on the first start: otherwise the first visitor would become it."""
        password = wiring.needed("password")
        if self.client.call("needSetup")[0]:
            self.call("setup", OWNER, password)
        if TOKEN.exists() and self.client.call("loginByToken", TOKEN.read_text(encoding="utf-8").strip())[0].get("ok"):
            return
        answer = self.client.call("login", {"username": OWNER, "password": password, "token": ""})[0]
        if answer.get("ok"):
            remember(answer["token"])
        elif answer.get("msg") == "authIncorrectCreds":
            raise wiring.Trouble(
                "it does not take the password that `box login uptime-kuma` shows: until that is set again under "
                "Settings > Security, its monitors and its status page stay as they are"
            )
        elif answer.get("tokenRequired"):
            raise wiring.Trouble(
                "it asks for a second factor that the box does not have: switch it off under Settings > Security for a "
                "minute, and then on again"
            )
        else:
            raise wiring.Trouble(f"uptime-kuma refused the login: {answer.get('msg')}")

    def told(self, name):
        """What it sent after the login."""
        self.client.wait(name)
        return self.client.events[name][0]

    def monitors(self):
        return {one["id"]: one for one in self.told("monitorList").values()}

    def notifications(self):
        return {one["id"]: one | json.loads(one["config"]) | {"id": one["id"]} for one in self.told("notificationList")}

    def settings(self):
        return self.call("getSettings")["data"]

    def set_settings(self, settings):
        # Without these it would take them for changed.
        self.call("setSettings", {"nscd": None, "chromeExecutable": None} | settings, "")


def remember(token):
    new = TOKEN.with_name("token.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(token + "\n")
    new.rename(TOKEN)
