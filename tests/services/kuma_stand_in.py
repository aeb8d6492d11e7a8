#!/usr/bin/python3
"""A stand-in for Uptime Kuma 2.5.3 in tests, on the port that is the first argument: its account, its settings, monitors,
notifications and status pages, as far as `setup` and `report` use them, over engine.io's polling. It is as strict as the
original where that was found to be: it hears no call before it has said that a login is wanted, refuses columns that its
table has not, and wants those that have no default. GET /stand-in/writes tells how often anything was changed."""

import json
import queue
import re
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COLUMNS = {
    "id", "name", "description", "parent", "url", "method", "active", "type", "timeout", "interval", "retryInterval",
    "resendInterval", "maxretries", "keyword", "invertKeyword", "ignoreTls", "upsideDown", "maxredirects", "pushToken",
    "expiryNotification", "domainExpiryNotification", "saveResponse", "conditions", "kafkaProducerBrokers",
    "kafkaProducerSaslOptions", "rabbitmqNodes", "accepted_statuscodes", "notificationIDList",
}  # fmt: skip
NEEDED = ("conditions", "accepted_statuscodes")
UP, DOWN, PENDING = 1, 0, 2


class Refusal(Exception):
    """Said to the caller."""


class Kuma:
    """The application. Each method `on_NAME` answers the call of that name; those of PUBLIC without a login."""

    PUBLIC = ("needSetup", "setup", "login", "loginByToken")

    def __init__(self):
        self.lock = threading.RLock()
        self.user = None
        self.second_factor = False
        self.monitors, self.notifications, self.pages, self.beats = {}, {}, {}, {}
        self.settings, self.writes, self.last = {}, 0, 0

    def new_id(self):
        self.last += 1
        return self.last

    def token(self):
        return "token-of-" + self.user[1][::-1]

    def answer(self, session, name, values):
        if name not in self.PUBLIC and not session.logged_in:
            return [{"ok": False, "msg": "You are not logged in."}]
        try:
            with self.lock:
                found = getattr(self, "on_" + name)(session, *values)
        except Refusal as refusal:
            return [{"ok": False, "msg": str(refusal)}]
        return [{"ok": True, **found} if isinstance(found, dict) else found]

    def changed(self, **more):
        self.writes += 1
        return more

    # ---- the account

    def on_needSetup(self, _):
        return self.user is None

    def on_setup(self, _, name, password):
        if self.user:
            raise Refusal("Uptime Kuma has been initialized. If you want to run setup again, please delete the database.")
        if len(password) < 6 or password.isdigit() or password.isalpha():
            raise Refusal("passwordTooWeak")
        self.user = (name, password)
        return self.changed()

    def on_login(self, session, data):
        if self.user != (data["username"], data["password"]):
            raise Refusal("authIncorrectCreds")
        if self.second_factor:
            return {"ok": None, "tokenRequired": True}
        self.enter(session)
        return {"token": self.token()}

    def on_loginByToken(self, session, token):
        if not self.user or token != self.token():
            raise Refusal("authInvalidToken")
        self.enter(session)
        return {}

    def enter(self, session):
        session.logged_in = True
        session.say("monitorList", {number: one for number, one in self.monitors.items()})
        shown = [{"id": number, "name": one["name"], "config": json.dumps(one)} for number, one in self.notifications.items()]
        session.say("notificationList", shown)
        session.say("statusPageList", {one["id"]: {"id": one["id"], "slug": slug} for slug, one in self.pages.items()})

    def on_changePassword(self, _, passwords):
        self.user = (self.user[0], passwords["newPassword"])
        return self.changed()

    def on_save2FA(self, _, password):
        self.second_factor = True
        return self.changed()

    def on_prepare2FA(self, *_):
        return {}

    # ---- settings, notifications

    def on_getSettings(self, _):
        return {"data": {"serverTimezone": "UTC", **self.settings}}

    def on_setSettings(self, _, data, password):
        self.settings |= data
        return self.changed()

    def on_addNotification(self, _, values, number):
        if number is not None and number not in self.notifications:
            raise Refusal("notification not found")
        number = number or self.new_id()
        self.notifications[number] = values
        return self.changed(id=number)

    def on_deleteNotification(self, _, number):
        del self.notifications[number]
        for one in self.monitors.values():
            one["notificationIDList"].pop(str(number), None)
        return self.changed()

    # ---- monitors

    def on_add(self, _, one):
        for key in one:
            if key not in COLUMNS:
                raise Refusal(f"table monitor has no column named {key}")
        for key in NEEDED:
            if key not in one:
                raise Refusal(f"NOT NULL constraint failed: monitor.{key}")
        if one["interval"] < 20 or one["retryInterval"] < 20:
            raise Refusal("Interval cannot be less than 20 seconds")
        number = self.new_id()
        whole = dict.fromkeys(COLUMNS) | {"notificationIDList": {}} | one
        self.monitors[number] = whole | {"id": number, "active": True}
        return self.changed(monitorID=number)

    def on_editMonitor(self, _, one):
        if not COLUMNS <= set(one):
            raise Refusal(f"nothing is known of {sorted(COLUMNS - set(one))}")
        self.monitors[one["id"]] = one
        return self.changed(monitorID=one["id"])

    def on_getMonitor(self, _, number):
        return {"monitor": self.monitors[number]}

    def on_deleteMonitor(self, _, number):
        del self.monitors[number]
        for page in self.pages.values():
            for group in page["groups"]:
                group["monitorList"] = [one for one in group["monitorList"] if one["id"] != number]
        return self.changed()

    def on_pauseMonitor(self, _, number):
        self.monitors[number]["active"] = False
        return self.changed()

    def on_getMonitorBeats(self, _, number, hours):
        return {"data": self.beats.get(number, [])}

    def push(self, token, status, words):
        """As the original counts: a first failure makes it pending, another one is down."""
        for number, one in self.monitors.items():
            if one["pushToken"] == token and one["active"]:
                beats = self.beats.setdefault(number, [])
                before = beats[-1]["status"] if beats else UP
                failed = PENDING if before == UP and one["maxretries"] else DOWN
                beats.append({"status": UP if status == "up" else failed, "msg": words})
                return True
        return False

    # ---- status pages

    def on_addStatusPage(self, _, title, slug):
        if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", slug) or slug in self.pages:
            raise Refusal("Invalid Slug")
        config = {"slug": slug, "title": title, "icon": "/icon.svg", "domainNameList": [], "analyticsType": None}
        self.pages[slug] = {"id": self.new_id(), "config": config, "groups": []}
        return self.changed(slug=slug)

    def on_getStatusPage(self, _, slug):
        if slug not in self.pages:
            raise Refusal("No slug?")
        return {"config": self.pages[slug]["config"]}

    def on_saveStatusPage(self, _, slug, config, icon, groups):
        if config["analyticsType"] is not None:
            raise Refusal("Invalid analytics type")
        for group in groups:
            group.setdefault("id", self.new_id())
        self.pages[slug] |= {"config": config, "groups": groups}
        return self.changed()

    def public(self, slug):
        shown = []
        for group in self.pages[slug]["groups"]:
            ids = [one["id"] for one in group["monitorList"] if one["id"] in self.monitors]
            names = [{"id": number, "name": self.monitors[number]["name"], "sendUrl": 0} for number in ids]
            shown.append({"id": group["id"], "name": group["name"], "monitorList": names})
        return {"config": {"title": self.pages[slug]["config"]["title"]}, "publicGroupList": shown}


class Session:
    """One connection."""

    def __init__(self, number):
        self.sid, self.logged_in, self.hears, self.pinged = f"session-{number}", False, False, False
        self.packets = queue.Queue()

    def say(self, *values):
        self.packets.put("42" + json.dumps(values))

    def listen(self):
        self.hears = True
        self.say("loginRequired")

    def take(self, packet):
        if packet == "40":
            self.packets.put('40{"sid":"x"}')
            self.say("info", {})
            threading.Timer(0.1, self.listen).start()
        elif packet == "3":
            self.pinged = False
        elif self.pinged:
            # Who does not answer a ping is gone.
            self.packets.put("1")
        elif packet.startswith("42") and self.hears:
            number, rest = re.fullmatch(r"42(\d+)(.*)", packet, re.DOTALL).groups()
            name, *values = json.loads(rest)
            answer = APPLICATION.answer(self, name, values)
            # A ping in between, as there may be one at any time.
            self.pinged = True
            self.packets.put("2")
            self.packets.put(f"43{number}{json.dumps(answer)}")


APPLICATION = Kuma()
SESSIONS = {}


class Handler(BaseHTTPRequestHandler):
    def send(self, text, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_POST(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        for packet in self.rfile.read(int(self.headers["Content-Length"])).decode().split("\x1e"):
            SESSIONS[query["sid"]].take(packet)
        self.send("ok")

    def do_GET(self):
        at = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(at.query))
        page = next((slug for slug in APPLICATION.pages if at.path == f"/api/status-page/{slug}"), None)
        if at.path == "/socket.io/":
            self.poll(query.get("sid"))
        elif page:
            self.send(json.dumps(APPLICATION.public(page)))
        elif at.path.startswith("/api/push/"):
            there = APPLICATION.push(at.path.rpartition("/")[2], query.get("status"), query.get("msg"))
            self.send("{}", 200 if there else 404)
        elif at.path == "/stand-in/writes":
            self.send(str(APPLICATION.writes))
        elif at.path == "/":
            names = [name for one in APPLICATION.pages.values() for name in one["config"]["domainNameList"]]
            there = self.headers["Host"] in names
            self.send("the status page") if there else self.send("", 302, Location="/dashboard")
        else:
            self.send("", 404)

    def poll(self, sid):
        if sid is None:
            session = Session(len(SESSIONS))
            SESSIONS[session.sid] = session
            self.send("0" + json.dumps({"sid": session.sid, "upgrades": [], "pingInterval": 25000}))
            return
        packets = [SESSIONS[sid].packets.get()]
        while not SESSIONS[sid].packets.empty():
            packets.append(SESSIONS[sid].packets.get())
        self.send("\x1e".join(packets))

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
