#!/usr/bin/python3
"""The networks around a box under test: a home with a router and another device, and the internet behind it.

It runs in namespaces of its own (`unshare --user --map-root-user --net --mount --pid --fork --kill-child`), which hold all of it
and end with it; no packet leaves them. The box is plugged in through a Unix socket (the first argument), over which QEMU's
`-netdev stream` sends each frame after its length. Commands are lines of JSON on standard input, answers on standard output.

    {"do": "addresses"}                                  the box's addresses, as the router leased or saw them
    {"do": "scan", "from": HOST, "to": ADDRESS, "kind": "tcp" | "udp"}
    {"do": "ask", "from": HOST, "script": [...]}         what a program prints on that host
    {"do": "forget"}                                     forgets which packets the box has sent
    {"do": "sent"}                                       where the box has sent packets since
    {"do": "cut", "host": HOST} and {"do": "mend", ...}  takes a host's cable out, and plugs it in again
"""

import json
import os
import pathlib
import subprocess
import sys
import threading

import cable
import router

HERE = pathlib.Path(__file__).resolve().parent
# Each host: the network that it is on and its addresses there. `home` is the box's own network; the others stand for the
# internet, of which `edge` is a piece of Cloudflare (https://www.cloudflare.com/ips-v4).
NETWORKS = {
    "home": ["192.168.1.1/24", "2001:db8:1::1/64"],
    "out": ["198.51.100.1/24", "2001:db8:2::1/64"],
    "edge": ["173.245.48.1/24"],
}
HOSTS = {
    "tv": ("home", ["192.168.1.20/24", "2001:db8:1::20/64"]),
    "stranger": ("out", ["198.51.100.77/24", "2001:db8:2::77/64"]),
    "vpn": ("out", ["198.51.100.20/24"]),
    "cloudflare": ("edge", ["173.245.48.10/24"]),
}


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def build():
    """Makes the bridges, hosts and routes; the namespace that this runs in is the router."""
    ip("link", "set", "lo", "up")
    for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        pathlib.Path("/proc/sys/net", path).write_text("1", encoding="ascii")
    for name, addresses in NETWORKS.items():
        ip("link", "add", name, "type", "bridge")
        # No listening and learning before a port forwards.
        ip("link", "set", name, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
        ip("link", "set", name, "up")
        for address in addresses:
            ip("address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
    for host, (network, addresses) in HOSTS.items():
        ip("netns", "add", host)
        ip("link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", host)
        ip("link", "set", host, "master", network, "up")
        inside = ["-netns", host]
        ip(*inside, "link", "set", "lo", "up")
        ip(*inside, "link", "set", "eth0", "up")
        for address in addresses:
            ip(*inside, "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        for gateway in NETWORKS[network]:
            if any((":" in gateway) == (":" in address) for address in addresses):
                ip(*inside, "route", "add", "default", "via", gateway.split("/")[0])


class Lab:
    """The networks, and what they know of the box."""

    def __init__(self, socket):
        build()
        self.cable = cable.Cable(socket)
        ip("link", "set", "box", "master", "home", "txqueuelen", "100000", "up")
        self.router = router.Router("home")
        for work in (self.cable.run, self.router.leases, self.router.advertise, self.router.names):
            threading.Thread(target=work, daemon=True).start()

    def addresses(self, _):
        return {"4": self.router.leased, "6": sorted(self.cable.global_addresses())}

    def scan(self, command):
        """Scans; packets that a full queue has lost on their way to the box are sent again."""
        count = 65535 if command["kind"] == "tcp" else 0
        self.cable.count(command["to"])
        words = ["ip", "netns", "exec", command["from"], sys.executable, "-IB", HERE / "scan.py", command["kind"], command["to"]]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as scanner:
            while True:
                line = json.loads(scanner.stdout.readline())
                if "sent" not in line:
                    return line
                lost = self.cable.missing(count) if count else []
                if not lost:
                    self.router.answers()
                scanner.stdin.write(json.dumps({"lost": lost}) + "\n")
                scanner.stdin.flush()

    def ask(self, command):
        words = ["ip", "netns", "exec", command["from"], *command["script"]]
        found = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)
        return {"status": found.returncode, "out": found.stdout, "error": found.stderr}

    def start(self, command):
        """Starts a program on a host that goes on until the lab ends."""
        words = ["ip", "netns", "exec", command["from"], *command["script"]]
        subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return {}

    def forget(self, _):
        self.cable.forget()
        self.router.asked.clear()
        return {}

    def sent(self, _):
        return {"to": self.cable.sent(), "names": sorted(self.router.asked)}

    def cut(self, command):
        ip("link", "set", command["host"], "down")
        return {}

    def mend(self, command):
        ip("link", "set", command["host"], "up")
        return {}


def main():
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    lab = Lab(sys.argv[1])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] not in ("addresses", "scan", "ask", "start", "forget", "sent", "cut", "mend"):
            sys.exit(f"the lab cannot {command['do']}")
        print(json.dumps(getattr(lab, command["do"])(command)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
