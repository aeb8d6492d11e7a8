#!/usr/bin/python3
"""Runs Uptime Kuma's `setup` and `report` of two rendered trees (the first two arguments: all of a box, and later less of it)
against Uptime Kuma (the folder of its sources, third argument), or against the stand-in without one, on loopback. Prints one
line for each thing that holds; stops at the first that does not."""

import json
import time

from kuma_rig import (
    DOWN,
    FULL,
    LESS,
    PASSWORD,
    SECRETS,
    UP,
    WORK,
    Owner,
    changes_nothing,
    declared,
    fails,
    groups,
    holds,
    running,
    said,
    works,
)


def first_run():
    fails("the secret password is not here yet", FULL, password=None)
    works(FULL)
    owner = Owner()
    refused = owner.client.call("setup", "somebody", "aB3dE5gH7jK9mN1")[0]
    assert not refused["ok"] and not owner.client.call("needSetup")[0], refused
    holds("the first account is the box's, and nobody makes another")
    found = {name: one["url"] if one["type"] != "push" else None for name, one in owner.monitors.items()}
    assert found == declared(FULL), found
    for one in owner.monitors.values():
        assert (one["interval"], one["retryInterval"], one["maxretries"]) == (60, 60, 1), one
        assert {int(number) for number in one["notificationIDList"]} == {one["id"] for one in owner.notifications.values()}
    sonarr, amp = owner.monitors["Sonarr"], owner.monitors["AMP"]
    assert (sonarr["type"], sonarr["keyword"], amp["type"]) == ("keyword", "OK", "http"), sonarr
    holds("every service and its containers are watched, two failures a minute apart before an alert")
    told = owner.notifications
    assert told["pushbullet"]["pushbulletAccessToken"] == "pushbullet-token" and told["ntfy"]["ntfytopic"] == "secret-topic", (
        told
    )
    assert (told["mail"]["smtpHost"], told["mail"]["smtpTo"]) == ("mail.example.com", "box@example.com"), told
    holds("alerts go the profile's ways")
    shown = groups()
    assert sorted(shown["Services"]) == sorted(name for name, url in declared(FULL).items() if url), shown
    assert len(shown["Services"]) + len(shown["Containers"]) == len(owner.monitors) - 1, shown
    assert "Backups" in owner.monitors and not any("Backups" in names for names in shown.values()), shown
    assert said("/", "status.example.com")[0] == 200 and said("/", "kuma.example.com") == (302, "/dashboard")
    assert owner.call("getSettings")["data"]["trustProxy"] is True
    holds("the status page is there for everyone, at its own name")
    changes_nothing(FULL)
    holds("another run changes nothing")


def reports():
    def one(broken=0, waits=(), **words):
        ready = all(word == "healthy" for word in words.values())
        return {"containers": words, "broken": broken, "ready": ready, "waits": list(waits)}

    seen = {
        "sonarr": one(sonarr="healthy"),
        "plex": one(3, plex="exited"),
        "jellyfin": one(jellyfin="starting"),
        "diun": one(diun="healthy"),
        "amp": {**one(amp="starting"), "failing": True},
        "nextcloud": one(1, **{"nextcloud": "healthy", "nextcloud-db": "restarting"}),
        "immich": one(9, ["the disk media is not there"], immich="missing"),
        "kopia": one(kopia="healthy"),
    }
    status = WORK / "status.json"
    more = {"STATUS": str(status)}
    owner = Owner()
    owner.call("pauseMonitor", owner.monitors["diun: containers"]["id"])
    status.write_text(json.dumps({"time": int(time.time()), "services": seen}), encoding="utf-8")
    works(FULL, "report", more=more)
    assert owner.last("Sonarr: containers") == (UP, "healthy"), owner.last("Sonarr: containers")
    assert owner.last("Jellyfin: containers") == (UP, "starting")
    assert owner.last("Plex: containers") == (DOWN, "plex is exited"), owner.last("Plex: containers")
    assert owner.last("AMP: containers") == (DOWN, "it does not start"), owner.last("AMP: containers")
    assert owner.last("Immich: containers") == (DOWN, "the disk media is not there")
    assert owner.last("Nextcloud: containers") is None and owner.last("diun: containers") is None
    seen["plex"] = one(plex="healthy")
    status.write_text(json.dumps({"time": int(time.time()), "services": seen}), encoding="utf-8")
    works(FULL, "report", more=more)
    assert owner.last("Plex: containers") == (UP, "healthy")
    holds("containers' states reach it; one look that fails is not told, nor what its owner has paused")
    assert owner.last("Backups") is None
    for wrong in (None, "the last complete backup is of 2026-11-20 03:10", None):
        status.write_text(json.dumps({"time": int(time.time()), "services": seen, "backup": {"wrong": wrong}}), encoding="utf-8")
        works(FULL, "report", more=more)
        assert owner.last("Backups") == ((DOWN, wrong) if wrong else (UP, "as they should be")), owner.last("Backups")
    holds("that backups fail or are missed reaches it as well")
    status.write_text(json.dumps({"time": int(time.time()) - 3600, "services": seen}), encoding="utf-8")
    fails("nobody has looked after the containers", FULL, "report", more=more)
    status.write_text(json.dumps({"time": int(time.time()), "services": seen}), encoding="utf-8")
    fails("uptime-kuma does not run yet", FULL, "report", more=more, reached=False)
    holds("what is old is not told as if it were new")


def owners_changes():
    owner = Owner()
    owner.edit("Sonarr", name="Series", interval=300)
    plex = owner.monitors["Plex"]
    for name, text in (("Mine", "my own"), ("Plex at night", plex["description"])):
        new = {"type": "http", "name": name, "description": text, "url": "http://mine/", "interval": 60, "retryInterval": 60}
        new |= {"maxretries": 0, "accepted_statuscodes": ["200-299"], "conditions": [], "notificationIDList": {}}
        new |= {"kafkaProducerBrokers": [], "kafkaProducerSaslOptions": {"mechanism": "None"}, "rabbitmqNodes": []}
        owner.call("add", new)
    config = owner.call("getStatusPage", "box")["config"]
    shown = json.loads(said("/api/status-page/box")[1])["publicGroupList"]
    shown[0]["name"] = "Dienste"
    shown[0]["monitorList"] = [one for one in shown[0]["monitorList"] if one["name"] != "AMP"]
    owner.call("saveStatusPage", "box", config | {"title": "How it is"}, config["icon"], shown)
    settings = owner.call("getSettings")["data"]
    owner.call("setSettings", settings | {"trustProxy": False}, "")
    changes_nothing(FULL)
    assert "AMP" not in groups()["Dienste"] and "Series" in groups()["Dienste"]
    holds("what the owner has changed stays, and what is the owner's own")
    Owner().edit("Series", url="http://192.168.1.5:8989/ping")
    works(FULL)
    series = Owner().monitors["Series"]
    assert (series["url"], series["interval"]) == (declared(FULL)["Sonarr"], 300), series
    changes_nothing(FULL)
    holds("a monitor that looks elsewhere is put right, and keeps the rest")


def another_release():
    works(LESS)
    owner = Owner()
    renamed = {"Sonarr": "Series"}
    expected = {renamed.get(name, name) for name in declared(LESS)} | {"Mine", "Plex at night"}
    assert set(owner.monitors) == expected, set(owner.monitors) ^ expected
    assert list(owner.notifications) == ["pushbullet"], owner.notifications
    assert "Plex" not in groups()["Dienste"]
    assert said("/", "health.example.com")[0] == 200 and said("/", "status.example.com")[0] == 302
    changes_nothing(LESS)
    holds("what has left the profile is gone, and nothing else")
    works(FULL, pushbullet="another-token")
    owner = Owner()
    expected = {renamed.get(name, name) for name in declared(FULL)} | {"Mine", "Plex at night"}
    assert set(owner.monitors) == expected, set(owner.monitors) ^ expected
    assert owner.notifications["pushbullet"]["pushbulletAccessToken"] == "another-token"
    everyone = {str(one["id"]) for one in owner.notifications.values()}
    for name, one in owner.monitors.items():
        own = name in ("Mine", "Plex at night")
        assert set(one["notificationIDList"]) == (set() if own else everyone), one
    assert "Plex" in groups()["Dienste"] and "Plex: containers" in groups()["Containers"] and "AMP" not in groups()["Dienste"]
    assert said("/", "status.example.com")[0] == 200
    holds("what has come to it is watched, shown and told")
    SECRETS["pushbullet"] = "another-token"
    settings = owner.call("getSettings")["data"]
    before = settings["boxwright"]
    cut = {"monitors": {key: number for key, number in before["monitors"].items() if "plex" not in key}, "alerts": {}}
    owner.call("setSettings", settings | {"boxwright": before | cut}, "")
    works(FULL)
    owner = Owner()
    assert set(owner.monitors) == expected and owner.call("getSettings")["data"]["boxwright"] == before
    assert groups()["Dienste"].count("Plex") == 1
    changes_nothing(FULL)
    holds("a run that was cut off before its end is taken up")


def accounts():
    owner = Owner()
    owner.call("prepare2FA", PASSWORD)
    owner.call("save2FA", PASSWORD)
    changes_nothing(FULL)
    assert (WORK / "state/token").stat().st_mode & 0o777 == 0o600
    holds("a second factor of its owner's keeps nothing from being looked after")
    (WORK / "state/token").unlink()
    fails("it asks for a second factor", FULL)
    owner.call("changePassword", {"currentPassword": PASSWORD, "newPassword": "another-Password-1"})
    fails("`box login uptime-kuma`", FULL)
    holds("an account that is not the box's any more is said")


fails("uptime-kuma cannot be reached", FULL)
with running():
    first_run()
    reports()
    owners_changes()
    another_release()
    accounts()
