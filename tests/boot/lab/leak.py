"""Runs on the box as root: leak.py CONTAINER MARK. Tries every way out of a container's network namespace, and prints which led
somewhere: `leak MARK {"far": true, ...}`. `far` is behind the VPN alone; to all other places nothing may be sent at all.

The names that are asked for begin with the mark, so that the router knows them again.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import time

# Hosts of the lab, and public resolvers, which no packet may be meant for.
PLACES = {
    "far": ("203.0.113.80", 8443),
    "stranger": ("198.51.100.77", 8443),
    "stranger6": ("2001:db8:2::77", 8443),
    "tv": ("192.168.1.20", 8080),
}
RESOLVERS = ["127.0.0.11", "127.0.0.1", "192.168.1.1", "1.1.1.1", "2606:4700:4700::1111", "203.0.113.80"]


def enter(name):
    pid = subprocess.run(["docker", "inspect", "-f", "{{.State.Pid}}", name], check=True, capture_output=True, text=True).stdout
    with open(f"/proc/{pid.strip()}/ns/net", "rb") as namespace:
        os.setns(namespace, os.CLONE_NEWNET)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def connects(address, port):
    with socket.socket(family(address)) as asker:
        asker.settimeout(4)
        try:
            asker.connect((address, port))
            return True
        except OSError:
            return False


def question(name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)


def ask(address, name):
    """Asks a resolver and waits a little for what it does about it; an answer is not what is looked for."""
    with socket.socket(family(address), socket.SOCK_DGRAM) as asker:
        asker.settimeout(1)
        try:
            asker.sendto(question(name), (address, 53))
            asker.recv(4096)
        except OSError:
            pass


def main():
    container, mark = sys.argv[1:3]
    end = time.monotonic() + (float(sys.argv[3]) if len(sys.argv) > 3 else 0)
    while True:
        try:
            enter(container)
            found = {name: connects(*place) for name, place in PLACES.items()}
        except (subprocess.CalledProcessError, OSError):
            found = {}
        if found.get("far") or time.monotonic() >= end:
            break
        time.sleep(1)
    for number, resolver in enumerate(RESOLVERS):
        ask(resolver, f"{mark}-{number}.example.org")
    print(f"leak {mark} {json.dumps(found)}", flush=True)


main()
