"""Looks after the services that run: restarts what is broken, and tells how each of them does."""

import json
import os
import subprocess
import time

import handover
import places
import status as box
import units
from services import crashes, gate, space, steps
from services.config import NOTES, RUN, containers, planned, write

STATUS = RUN / "services.status"
# What `box status` shows: the first line of each file in this folder.
PROBLEMS = RUN / "problems"
# Broken for so many looks in a row (one each half minute) before a restart; doubled after each restart.
PATIENCE = 10
# A check that asks for so many restarts in a row gets none of them any more: the service is stopped.
ASKED = 3
# Runs the setup of a service, which may take longer than the watch may look away.
SETUP = "boxwright-setup@{}.service"
# A setup that fails is tried again at every look for so many looks, then half as often each time, and at least every so many.
EAGER, LONGEST = 3, 15


def problem(name, sentence):
    path = PROBLEMS / f"service-{name}"
    if sentence:
        write(path, sentence + "\n")
    else:
        path.unlink(missing_ok=True)


def trouble(container, found):
    """What is wrong with a container, if anything: (word, whether only a restart helps)."""
    one = found.get(container["name"])
    if one is None:
        return "missing", True
    state = one["State"]
    if container["namespace"]:
        holder = found.get(container["namespace"])
        # Its network is that of a container which was started anew since: there is nothing left in it.
        if holder and holder["State"]["StartedAt"] > state["StartedAt"]:
            return "without network", True
    if state["Status"] != "running":
        return state["Status"], False
    health = state.get("Health", {}).get("Status", "healthy")
    return (None, False) if health == "healthy" else (health, False)


def look(service, states, found, before):
    """The state of one service, with how many looks in a row it has been broken."""
    unit = states.get(service["unit"], units.UNKNOWN)
    active = unit.state
    shown = {
        "title": service["title"], "unit": active, "queued": unit.queued,
        "containers": {}, "history": {}, "broken": 0, "restarts": before.get("restarts", 0), "failing": unit.failing,
    }
    notes = NOTES / f"{service['name']}.notes"
    shown["notes"] = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
    if unit.failing:
        shown["notes"].append(steps.failing(service))
    shown["waits"] = waits(service, states) if active == "inactive" else []
    shown["held"] = [kind for kind in kinds(service) if handover.held(kind)] if active == "inactive" else []
    unset = steps.pending(service) if active == "active" else None
    if unset:
        shown["notes"].append(unset)
    elif active == "active" and steps.unreported(service).exists():
        shown["notes"].append("its report failed: " + steps.unreported(service).read_text(encoding="utf-8").strip())
    wrong, status = steps.check(service, found) if active == "active" else (None, None)
    shown["asked"] = {steps.AGAIN: before.get("asked", 0) + 1, None: before.get("asked", 0)}.get(status, 0)
    shown["again"] = status == steps.AGAIN and shown["asked"] <= ASKED
    shown["stop"] = status == steps.STOP or shown["asked"] > ASKED
    closed = gate.sentence(service) if active == "active" else None
    if closed:
        shown["notes"].append(closed)
    if wrong and not shown["again"]:
        shown["notes"].append(wrong)
    elif steps.stopped(service).exists():
        reason = steps.stopped(service).read_text(encoding="utf-8").strip()
        shown["notes"].append(f"it was stopped: {reason}; see to that, then: box restart {service['name']}")
    shown["paused"] = space.paused(service) is not None
    if shown["paused"]:
        shown["notes"].append(space.paused(service))
    hard = False
    for container in service["containers"]:
        name, (word, final) = container["name"], trouble(container, found)
        known = found.get(name, {})
        past = shown["history"][name] = crashes.remember(known, word, before.get("history", {}).get(name, {}))
        word = crashes.judge(known, word, past)
        shown["containers"][name] = word or "healthy"
        if word and word != "starting":
            shown["broken"] = before.get("broken", 0) + 1
            hard = hard or final
    shown["ready"] = active == "active" and all(word == "healthy" for word in shown["containers"].values())
    if shown["ready"]:
        shown["restarts"] = 0
    return shown, hard


def kinds(service):
    """What can hold a service back."""
    tunnel = ["tunnel"] if service["role"] == "ingress" else []
    vpn = ["vpn"] if service["role"] == "vpn" or service["requires"] else []
    return ["services", *tunnel, *vpn]


def waits(service, states):
    """Why a service is not even tried."""
    reasons = [f"held back: {why}" for why in map(handover.held, kinds(service)) if why]
    if reasons:
        return reasons
    for unit in service["requires"]:
        if states.get(unit, units.UNKNOWN).state != "active":
            reasons.append(f"{unit.removeprefix('boxwright-service-').removesuffix('.service')} does not run")
    if not (RUN / "images" / service["name"]).exists():
        reasons.append("its images are not here yet")
    required = [secret for secret in service["secrets"] if not secret["optional"]]
    missing = {secret["name"] for secret in required if not os.path.exists(secret["path"])}
    reasons += [f"the secret {service['name']}/{name} is missing" for name in sorted(missing)]
    there = places.mounted([disk["path"] for disk in service["disks"]])
    reasons += [f"the disk {disk['name']} is not there" for disk in service["disks"] if disk["path"] not in there]
    return reasons


def sentence(one):
    """What is the matter with a service, if anything. What it waits for is said once for all services, by those that look
    after images, secrets and disks."""
    parts = list(one["notes"])
    starts = one["unit"] == "activating" and not one["failing"] and one["broken"] > PATIENCE
    if one["unit"] == "active" or starts:
        # While a service starts, some containers wait for others.
        fine = {"healthy", "starting", *(("missing", "created") if starts else ())}
        broken = {name: word for name, word in one["containers"].items() if word not in fine}
        parts += [f"its container {name} is {word}" for name, word in sorted(broken.items())]
    return f"{one['title']}: {'; '.join(parts)}" if parts else None


def halt(service, reason):
    """Stops a service, and keeps it from starting until its owner has read why."""
    print(f"stopping {service['name']}: {reason}")
    write(steps.stopped(service), reason + "\n")
    subprocess.run(["systemctl", "--no-block", "stop", service["unit"]], check=True)


def restart(service):
    subprocess.run(["systemctl", "--no-block", "restart", service["unit"]], check=True)


def is_due(service, one, before, news):
    """Whether the setup of a service is to be tried now. Another service that got ready, or is it no longer, may be what it
    waits for: then it is tried as if it had never failed."""
    if one["unit"] != "active" or one["paused"] or one["setting_up"] or not steps.pending(service):
        return False
    tries, looks = (0, 0) if news else (before.get("tries", 0), before.get("looks", 0))
    due = looks >= min(2 ** max(tries - EAGER, 0) - 1, LONGEST)
    one["tries"], one["looks"] = (tries + 1, 0) if due else (tries, looks + 1)
    return due


def watch(act):
    try:
        before = json.loads(STATUS.read_text(encoding="utf-8"))["services"]
    except (OSError, ValueError, KeyError):
        before = {}
    # What has the role `backup` is a program, and no container.
    watched = {name: service for name, service in planned().items() if service["role"] != "backup"}
    names = [service["unit"] for service in watched.values()]
    states = units.look(names + [SETUP.format(name) for name, service in watched.items() if service["setup"]])
    found = containers()
    shown = {}
    if act:
        # Before the tunnel's own check, which asks for a start with other rules.
        for service in watched.values():
            if states.get(service["unit"], units.UNKNOWN).state == "active":
                gate.renew(service, found)
    for name, service in watched.items():
        if act:
            space.tend(service, states)
        known = before.get(name, {})
        shown[name], hard = look(service, states, found, known)
        shown[name]["setting_up"] = states.get(SETUP.format(name), units.UNKNOWN).state == "activating"
        if not act or shown[name]["unit"] != "active" or shown[name]["paused"]:
            continue
        if shown[name]["stop"]:
            halt(service, shown[name]["notes"][-1])
            continue
        if shown[name]["again"]:
            print(f"restarting {name}: its check asks for it")
            restart(service)
            continue
        # The tunnel and the VPN reconnect by themselves: restarting them would only take others down.
        patience = PATIENCE * 2 ** min(shown[name]["restarts"], 6)
        heals = service["role"] in ("ingress", "vpn") and not hard
        if (hard and shown[name]["broken"] > 1) or (not heals and shown[name]["broken"] > patience):
            print(f"restarting {name}: {shown[name]['containers']}")
            shown[name]["restarts"] += 1
            shown[name]["broken"] = 0
            restart(service)
    status = {"ready": all(one["ready"] for one in shown.values()), "time": int(time.time()), "services": shown}
    described = box.described()
    if described.get("backup"):
        status["backup"] = {"wrong": box.backups_wrong(described)}
    if act:
        news = [name for name, one in shown.items() if one["ready"] != before.get(name, {}).get("ready", False)]
        due = [name for name, service in watched.items() if is_due(service, shown[name], before.get(name, {}), news)]
        for name, one in shown.items():
            problem(name, sentence(one))
        write(STATUS, json.dumps(status, indent=1, sort_keys=True) + "\n")
        for name in due:
            subprocess.run(["systemctl", "--no-block", "start", SETUP.format(name)], check=True)
    return status
