"""What is known of the box right now: collected, and as a text for people.

Only what stays the same while nothing happens is collected, so that a text that differs is news.
"""

import json
import os
import pathlib
import subprocess
import time

import handover
import places
import units

DESCRIPTION = pathlib.Path("/etc/boxwright/box.json")
RUN = pathlib.Path("/run/boxwright")
# Touched when patches were installed: at night, and at the first start of a release.
PATCHED = [pathlib.Path("/var/lib/apt/periodic/unattended-upgrades-stamp"), pathlib.Path("/var/cache/boxwright/patched")]
# Its time is that of the lock that the release was built from.
BUILT = pathlib.Path("/usr/lib/clock-epoch")
# How the last backup went; the keys are as old as the box.
# What may be held back; see handover.py.
HOLDS = ("services", "tunnel", "vpn", "backup", "alerts", "internet")
LAST_BACKUP, BORN = pathlib.Path("/srv/state/.backup/last.json"), pathlib.Path("/var/lib/boxwright/ssh")
# A night may be missed while the box is off; two are news.
STALE_BACKUP = 50 * 3600
# The box's own filesystems that grow, and what it means when they cannot.
OWN = {"/srv/state": "services cannot write and do not start", "/var/lib/boxwright": "patches cannot be installed"}
# Whoever looks after these says himself that they do not start, and why.
LOOKED_AFTER = ("boxwright-service-", "boxwright-ssh-tunnel.")
# With less than so many bytes free, programs begin to fail, or will soon; from this part on, it is time to make room.
FULL, ALMOST, FILLING = 256 << 20, 4 << 30, 0.85
# The words for a unit's states; units that were never asked for are not listed.
WORDS = {
    "active": "runs",
    "activating": "starts",
    "deactivating": "stops",
    "inactive": "does not run",
    "failed": "failed",
    "reloading": "runs",
}


def described():
    """The profile's part, rendered with the release."""
    return json.loads(DESCRIPTION.read_text())


def output(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stdout if result.returncode == 0 else ""


def text_of(path, otherwise=""):
    try:
        return path.read_text().strip()
    except OSError:
        return otherwise


def addresses():
    """The box's own addresses, without those of bridges and loopback."""
    found = []
    for link in json.loads(output("ip", "-json", "address", "show", "up") or "[]"):
        if link.get("ifname", "").startswith(("lo", "bw-", "br-", "docker", "veth")):
            continue
        for address in link.get("addr_info", []):
            if address.get("scope") == "global" and not address.get("temporary"):
                found.append(address["local"])
    return sorted(found, key=lambda address: (":" in address, address))


def json_of(path):
    """What a file says, or nothing."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def looked():
    """Service → what the last look of `service watch` saw of it and its containers."""
    return json_of(RUN / "services.status").get("services", {})


def state_of(unit, seen):
    """One word or a few for a service; why it waits is among the problems."""
    if seen.get("ready"):
        return "runs"
    if seen.get("paused"):
        return "paused: no room"
    if seen.get("held"):
        return "held back"
    if seen.get("failing"):
        return "does not start"
    if seen.get("waits"):
        kinds = {word for reason in seen["waits"] for word in ("images", "secret", "disk") if f" {word}" in reason}
        return "waits for its " + " and ".join(sorted(kinds)) if kinds else "waits"
    if unit == "active" and seen:
        words = sorted({word for word in seen.get("containers", {}).values() if word != "healthy"})
        return " and ".join(words) or "starts"
    if unit == "inactive" and not seen:
        return "not yet"
    return WORDS.get(unit, unit)


def space(box, found):
    """Filesystems without room, by what that means; found is what `places` says of them."""
    meanings = OWN | {disk["path"]: "what is on it cannot grow" for disk in box["disks"]}
    for path, meaning in meanings.items():
        room = found[path].room
        if room is None or room.f_flag & os.ST_RDONLY:
            continue
        free, size = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
        if free < min(FULL, size // 20):
            yield f"{path} is full: {meaning}; remove what is not needed, see: du -xh --max-depth=2 {path}"
        elif free < min(ALMOST, size // 20):
            yield f"{path} is almost full"
        elif free < size * (1 - FILLING):
            yield f"{path} is more than {FILLING:.0%} full"


def silent(box, found):
    """Filesystems that are mounted and say nothing, or an error."""
    names = {"/srv/state": "the state partition", "/var/lib/boxwright": "the system partition"}
    for path, name in (names | {disk["path"]: f"the disk {disk['name']}" for disk in box["disks"]}).items():
        if found[path].silent:
            yield f"{name} {found[path].silent}; what uses it waits or fails: see to it, or to the server that shares it"


def missing_disks(box, found):
    """Disks that are not mounted, and who waits for them."""
    seen = looked()
    for disk in box["disks"]:
        if not found[disk["path"]].mounted:
            reason = f"the disk {disk['name']} is not there"
            waiting = sorted(name for name, one in seen.items() if reason in one.get("waits", []))
            yield f"{reason}; it is mounted when it is plugged in" + (f", and starts {', '.join(waiting)}" if waiting else "")


def stale_backup(box):
    """Whether nights went by without a complete backup."""
    if not box.get("backup"):
        return
    complete = json_of(LAST_BACKUP).get("complete")
    since = complete or (BORN.stat().st_mtime if BORN.exists() else time.time())
    if time.time() - since > STALE_BACKUP:
        yield f"the last complete backup is of {minute(complete)}" if complete else "no backup has been complete yet"


def backups_wrong(box):
    """Why nobody should rely on the backups, or nothing: the last one failed, or is old."""
    failed = text_of(RUN / "problems" / "backup").splitlines() or json_of(LAST_BACKUP).get("wrong") or []
    return next(iter([*stale_backup(box), *failed]), None)


def problems():
    """What is missing or wrong, one sentence each."""
    found = text_of(RUN / "notes").splitlines()
    box = described()
    seen = places.look([*OWN, *(disk["path"] for disk in box["disks"])])
    found += silent(box, seen)
    found += missing_disks(box, seen)
    found += space(box, seen)
    found += stale_backup(box)
    if not patched():
        found += text_of(RUN / "unpatched").splitlines()
    age = box.get("stale_seconds", 0)
    if age and BUILT.exists() and time.time() - BUILT.stat().st_mtime > age:
        days = age // 86400
        found.append(f"this release is older than {days} days: its kernel, Docker and applications wait for a newer one")
    folder = RUN / "problems"
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        first = text_of(path).splitlines()[:1]
        found += first
    for line in output("systemctl", "list-units", "--failed", "--plain", "--no-legend").splitlines():
        if line.split():
            found.append(f"{line.split()[0]} failed; see: journalctl -u {line.split()[0]}")
    # What is tried again and again is never among those.
    listed = output("systemctl", "list-units", "--state=activating", "--type=service", "--plain", "--no-legend", "--full").splitlines()
    names = [line.split()[0] for line in listed if line.split() and not line.startswith(LOOKED_AFTER)]
    for name, unit in sorted(units.look(names).items()):
        if unit.failing:
            found.append(f"{name} fails at each start; see: journalctl -u {name}")
    return found


def minute(seconds):
    return output("date", f"--date=@{seconds:.0f}", "+%Y-%m-%d %H:%M").strip() or None


def patched():
    """The day and minute of the last run of the patches, or nothing."""
    times = [path.stat().st_mtime for path in PATCHED if path.exists()]
    return minute(max(times)) if times else None


def backed_up():
    """The day and minute of the last complete backup, or nothing."""
    complete = json_of(LAST_BACKUP).get("complete")
    return minute(complete) if complete else None


def restored():
    """What this disk began with: the backup that was restored at its first start, or nothing."""
    done = json_of(handover.RESTORED)
    return {key: done.get(key) for key in ("restore", "ended", "seconds", "services", "gave_up")} if done else None


def power():
    """What `ups look` saw of the UPS, or nothing where there is none."""
    one = json_of(RUN / "ups.json")
    return {key: one.get(key) for key in ("power", "charge", "runtime", "model")} if one else None


def now():
    """Everything, as what `box status --json` prints."""
    box = described()
    # What has the role `backup` is a program, and no container.
    services = [service for service in box["services"] if service["role"] != "backup"]
    names = {one["unit"] for one in services + box["disks"]} | {"boxwright-ssh-tunnel.service", "ufw.service", "docker.service"}
    found = {name: unit.state for name, unit in units.look(sorted(names)).items()}
    seen = looked()
    tunnel = [service for service in services if service["role"] == "ingress"]
    return {
        "name": box["name"],
        "addresses": addresses(),
        "distribution": box["distribution"],
        "release": text_of(RUN / "release", "unknown"),
        "version": text_of(RUN / "version", "unknown"),
        "good": (RUN / "good").exists(),
        "ready": (RUN / "ready").exists(),
        "firewall": found.get("ufw.service", "unknown"),
        "tunnel": found.get(tunnel[0]["unit"]) if tunnel else None,
        "ssh": {
            "hostname": box["ssh"]["hostname"],
            "tunnel": found.get("boxwright-ssh-tunnel.service") if box["ssh"]["hostname"] else None,
            "lan": box["ssh"]["lan"],
        },
        "services": [
            {**service, "state": state_of(found.get(service["unit"], "unknown"), seen.get(service["name"], {}))}
            for service in services
        ],
        "disks": [{**disk, "state": found.get(disk["unit"], "unknown")} for disk in box["disks"]],
        "ports": box["ports"],
        "last_patch": patched(),
        "backup": {"at": box["backup"], "last": backed_up()} if box.get("backup") else None,
        "ups": power(),
        "held": {name: reason for name in HOLDS if (reason := handover.held(name))},
        "restore": json_of(RUN / "restore.json") or None,
        "restored": restored(),
        "problems": problems(),
    }


def steady(box):
    """Without the figures of the UPS, which are others each time: what is shown when it is news."""
    return {**box, "ups": box["ups"] and {**box["ups"], "charge": None, "runtime": None}}


def ups_line(ups):
    """The UPS in one line."""
    parts = [{"mains": "on mains", "battery": "on battery"}.get(ups["power"], "does not answer")]
    parts += [f"charged to {ups['charge']} %"] if ups["charge"] is not None else []
    parts += [f"enough for {ups['runtime'] // 60} min"] if ups["runtime"] is not None else []
    return "UPS: " + ", ".join(parts)


def as_text(box):
    """The same for people."""
    state = "ready: everything runs" if box["ready"] else "good, but not everything runs" if box["good"] else "starting"
    if any(problem.startswith("this release is not good") for problem in box["problems"]):
        state = "not good: see below"
    if handover.REHEARSAL in box["held"].get("tunnel", ""):
        state += " (a rehearsal: no tunnel, VPN, backup or alert, and no internet for services)"
    lines = [
        f"{box['name']}: {', '.join(box['addresses']) or 'no address yet'}",
        f"release {box['version']} ({box['release'][:12]}), {box['distribution']}",
        state,
        "patched " + box["last_patch"] if box["last_patch"] else "not patched yet",
    ]
    if box["restore"]:
        lines.append("restore: " + box["restore"]["text"])
    if box["backup"]:
        lines.append("backed up " + box["backup"]["last"] if box["backup"]["last"] else f"not backed up yet, every day at {box['backup']['at']}")
    if box["ssh"]["hostname"]:
        lines.append(f"SSH: {box['ssh']['hostname']} ({WORDS.get(box['ssh']['tunnel'], 'unknown')}), at home: {box['ssh']['lan']}")
    else:
        lines.append(f"SSH: at home: {box['ssh']['lan']}")
    if box["ups"]:
        lines.append(ups_line(box["ups"]))
    lines += table("services", [(one["name"], f"https://{one['hostname']}" if one["hostname"] else "", one["state"]) for one in box["services"]])
    words = {"active": "mounted", "activating": "looked for"}
    lines += table("disks", [(one["name"], one["path"], words.get(one["state"], "missing")) for one in box["disks"]])
    if box["problems"]:
        lines += ["", "missing or wrong:"] + [f"  {problem}" for problem in box["problems"]]
    if any(problem.startswith("the secret ") for problem in box["problems"]):
        lines += [f"  (`boxwright secrets profiles/{box['name']}.toml` writes a template for secrets; `boxwright rotate` hands them to this box)"]
    return "\n".join(lines) + "\n"


def table(title, rows):
    """Lines in columns under a title, or none. A column in which nothing stands takes no room."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths) if width) for row in rows]
    return ["", f"{title}:"] + [f"  {line}".rstrip() for line in lines]
