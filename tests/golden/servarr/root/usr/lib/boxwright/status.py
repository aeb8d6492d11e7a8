"""What is known of the box right now: collected, and as a text for people.

Only what stays the same while nothing happens is collected, so that a text that differs is news.
"""

import json
import pathlib
import subprocess
import time

DESCRIPTION = pathlib.Path("/etc/boxwright/box.json")
RUN = pathlib.Path("/run/boxwright")
LAST_PATCH = pathlib.Path("/var/lib/apt/periodic/unattended-upgrades-stamp")
# Its time is that of the lock that the release was built from.
BUILT = pathlib.Path("/usr/lib/clock-epoch")
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


def states(units):
    """Unit → its state."""
    if not units:
        return {}
    shown = output("systemctl", "show", "--property=Id,ActiveState", *units)
    found = {}
    for block in shown.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in values:
            found[values["Id"]] = values.get("ActiveState", "unknown")
    return found


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


def state_of(service, unit, seen):
    """One word or a few for a service."""
    if seen.get("ready"):
        return "runs"
    if seen.get("waits"):
        return "waits for " + ", ".join(seen["waits"])
    if unit == "active" and seen:
        words = sorted({word for word in seen.get("containers", {}).values() if word != "healthy"})
        return " and ".join(words) or "starts"
    return WORDS.get(unit, unit)


def problems():
    """What is missing or wrong, one sentence each."""
    found = text_of(RUN / "notes").splitlines()
    images = json_of(RUN / "images.status").get("missing", 0)
    if images:
        found.append(f"{images} container images are not here yet; see: journalctl -u boxwright-images")
    age = described().get("stale_seconds", 0)
    if age and BUILT.exists() and time.time() - BUILT.stat().st_mtime > age:
        days = age // 86400
        found.append(f"this release is older than {days} days: its kernel, Docker and applications wait for a newer one")
    for path in sorted((RUN / "services").glob("*.notes")):
        found += [f"{path.stem}: {line}" for line in text_of(path).splitlines()]
    folder = RUN / "problems"
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        first = text_of(path).splitlines()[:1]
        found += first
    for line in output("systemctl", "list-units", "--failed", "--plain", "--no-legend").splitlines():
        if line.split():
            found.append(f"{line.split()[0]} failed; see: journalctl -u {line.split()[0]}")
    return found


def patched():
    """The day of the last run of the patches, or nothing."""
    if not LAST_PATCH.exists():
        return None
    return output("date", "--reference", str(LAST_PATCH), "+%Y-%m-%d %H:%M").strip() or None


def now():
    """Everything, as what `box status --json` prints."""
    box = described()
    units = {service["unit"] for service in box["services"]} | {disk["unit"] for disk in box["disks"]}
    found = states(sorted(units | {"boxwright-ssh-tunnel.service", "ufw.service", "docker.service"}))
    seen = looked()
    tunnel = [service for service in box["services"] if service["role"] == "ingress"]
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
            {**service, "state": state_of(service, found.get(service["unit"], "unknown"), seen.get(service["name"], {}))}
            for service in box["services"]
        ],
        "disks": [{**disk, "state": found.get(disk["unit"], "unknown")} for disk in box["disks"]],
        "ports": box["ports"],
        "last_patch": patched(),
        "problems": problems(),
    }


def as_text(box):
    """The same for people."""
    lines = [
        f"{box['name']}: {', '.join(box['addresses']) or 'no address yet'}",
        f"release {box['version']} ({box['release'][:12]}), {box['distribution']}",
    ]
    lines.append("patched " + (box["last_patch"] or "not yet"))
    if box["ssh"]["hostname"]:
        lines.append(f"SSH: {box['ssh']['hostname']} ({WORDS.get(box['ssh']['tunnel'], 'unknown')}), at home: {box['ssh']['lan']}")
    else:
        lines.append(f"SSH: at home: {box['ssh']['lan']}")
    for kind in ("services", "disks"):
        if box[kind]:
            lines += ["", f"{kind}:"]
        for one in box[kind]:
            where = one.get("hostname") or one.get("path") or ""
            word = one["state"]
            if kind == "disks":
                word = {"active": "mounted", "inactive": "missing", "failed": "missing"}.get(word, word)
            lines.append(f"  {one['name']:<20} {word:<14} {where}".rstrip())
    if box["problems"]:
        lines += ["", "missing or wrong:"] + [f"  {problem}" for problem in box["problems"]]
    return "\n".join(lines) + "\n"
