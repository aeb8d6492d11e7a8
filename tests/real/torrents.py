"""qBittorrent, with the configuration that its seed writes."""

import http.client
import json
import pathlib
import subprocess
import urllib.parse

ADDRESS = "10.64.0.2"
CONFIGURATION = pathlib.Path("/srv/state/qbittorrent/config/qBittorrent/qBittorrent.conf")


def hold(box):
    box.service("start", "gluetun")
    tunnel(box)
    box.service("start", "qbittorrent")
    assert box.users("qbittorrent") == {1000}
    login(box)
    listens(box)
    keeps(box)
    takes_back(box)
    box.service("stop", "qbittorrent")
    box.service("stop", "gluetun")


def tunnel(box):
    """An interface of the name that Gluetun's has, which leads nowhere."""
    inside = ["nsenter", "--net", "--target", str(box.inspect("gluetun")["State"]["Pid"]), "ip"]
    for words in ["tuntap add tun0 mode tun", f"address add {ADDRESS}/32 dev tun0", "link set tun0 up"]:
        subprocess.run([*inside, *words.split()], check=True)


class Api:
    """Its web interface, reached as cloudflared reaches it: from another container."""

    def __init__(self, box, host="qbittorrent:8080"):
        networks = box.inspect("gluetun")["NetworkSettings"]["Networks"].values()
        self.address = next(network["IPAddress"] for network in networks if network["IPAddress"])
        self.headers = {"Host": host}

    def call(self, method, path, form=None):
        connection = http.client.HTTPConnection(self.address, 8080, timeout=20)
        headers = {**self.headers, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request(method, path, urllib.parse.urlencode(form or {}), headers)
        answer = connection.getresponse()
        if cookie := answer.getheader("Set-Cookie"):
            self.headers["Cookie"] = cookie.split(";")[0]
        return answer.status, answer.read().decode()

    def login(self, password):
        return self.call("POST", "/api/v2/auth/login", {"username": "admin", "password": password})


def login(box):
    password = box.secret("qbittorrent", "password")
    assert Api(box).call("GET", "/api/v2/app/version")[0] == 403
    assert Api(box).login("adminadmin")[1] == "Fails."
    assert Api(box).login(password)[1] == "Ok."
    assert Api(box, "torrents.example.com").login(password)[1] == "Ok."
    print("ok qbittorrent: the box's password opens it, and no other")
    assert Api(box, "evil.example.net").login(password)[0] == 401
    inside = box.inside("qbittorrent", "wget", "-q", "-O", "-", "http://localhost:8080/api/v2/app/version")
    assert inside.returncode == 0 and inside.stdout.startswith("v"), inside.stdout
    print("ok qbittorrent: only its own names lead to it; Gluetun, beside it, needs no password")


def listens(box):
    lines = box.inside("qbittorrent", "netstat", "-tuln").stdout.splitlines()
    found = {line.split()[3] for line in lines if ":6881" in line}
    assert found == {f"{ADDRESS}:6881"}, lines
    print("ok qbittorrent: it listens to others in the tunnel, and nowhere else")


def keeps(box):
    api = Api(box)
    api.login(box.secret("qbittorrent", "password"))
    assert api.call("POST", "/api/v2/app/setPreferences", {"json": json.dumps({"max_connec": 321})})[0] == 200
    box.service("stop", "qbittorrent")
    box.service("start", "qbittorrent")
    api = Api(box)
    assert api.login(box.secret("qbittorrent", "password"))[1] == "Ok."
    kept = json.loads(api.call("GET", "/api/v2/app/preferences")[1])
    wanted = {"max_connec": 321, "save_path": "/data/torrents", "current_network_interface": "tun0", "listen_port": 6881}
    assert {key: kept[key] for key in wanted} == wanted, kept
    print("ok qbittorrent: what its owner has set and what the seed wrote are there after a second start")


def takes_back(box):
    """An owner who has lost a password takes its line out."""
    api = Api(box)
    api.login(box.secret("qbittorrent", "password"))
    changed = {"json": json.dumps({"web_ui_password": "another-password"})}
    assert api.call("POST", "/api/v2/app/setPreferences", changed)[0] == 200
    box.service("stop", "qbittorrent")
    lines = CONFIGURATION.read_text().splitlines()
    CONFIGURATION.write_text("\n".join(line for line in lines if not line.startswith("WebUI\\Password")) + "\n")
    box.service("start", "qbittorrent")
    api = Api(box)
    assert api.login("another-password")[1] == "Fails."
    assert api.login(box.secret("qbittorrent", "password"))[1] == "Ok."
    assert json.loads(api.call("GET", "/api/v2/app/preferences")[1])["max_connec"] == 321
    print("ok qbittorrent: without a password in its file it gets the box's again, and keeps the rest")
