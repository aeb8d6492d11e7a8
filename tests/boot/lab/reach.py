"""Runs on the box as root: who reaches whom, asked inside every container's own network namespace, and what else each reaches.

Prints a line for each container: `reach NAME {"names": [...], "addresses": [...], "home": [...], "out": [...]}`.
`names` are the containers that it finds by name and reaches there, `addresses` those that it reaches at any of their addresses.
"""

import json
import os
import selectors
import socket
import struct
import subprocess
import time

# In each namespace a listener of ours, so that what is asked is the network and not an application.
PORT = 40123
RESOLVER = ("127.0.0.11", 53)
# Seconds that an emulated box may take to answer: what is dropped is known to be only then.
PATIENCE = 8
# At home: a device, the router, and the box itself; outside: hosts of the lab, of which `far` is behind the VPN alone.
HOME = {"tv": ("192.168.1.20", 8080), "router": ("192.168.1.1", 8080), "box": ("192.168.1.50", PORT), "tv6": ("2001:db8:1::20", 8080)}
OUT = {"stranger": ("198.51.100.77", 8443), "stranger6": ("2001:db8:2::77", 8443), "far": ("203.0.113.80", 8443)}


def containers():
    ids = subprocess.run(["docker", "ps", "-q"], check=True, capture_output=True, text=True).stdout.split()
    listing = subprocess.run(["docker", "inspect", *ids], check=True, capture_output=True, text=True).stdout
    return {one["Name"].lstrip("/"): one for one in json.loads(listing)}


def inside(one):
    """Sockets that are made from now on belong to that container's namespace."""
    with open(f"/proc/{one['State']['Pid']}/ns/net", "rb") as namespace:
        os.setns(namespace, os.CLONE_NEWNET)
        return os.fstat(namespace.fileno()).st_ino


def listen():
    server = socket.create_server(("", PORT), reuse_port=True, backlog=512)
    server.setblocking(False)
    return server


def question(name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)


def resolved(names):
    """The address of each name that Docker's resolver knows here. Nobody waits: what is unknown goes to servers that are not there."""
    found, asked = {}, {}
    selector = selectors.DefaultSelector()
    for name in names:
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asker.connect(RESOLVER)
        try:
            asker.send(question(name))
        except OSError:
            continue
        selector.register(asker, selectors.EVENT_READ, name)
        asked[name] = asker
    end = time.monotonic() + PATIENCE
    while selector.get_map() and time.monotonic() < end:
        for key, _ in selector.select(0.5):
            selector.unregister(key.fileobj)
            try:
                answer = key.fileobj.recv(4096)
            except OSError:
                continue
            if answer[3] & 15 == 0 and struct.unpack_from("!H", answer, 6)[0]:
                found[key.data] = socket.inet_ntoa(answer[-4:])
    for asker in asked.values():
        asker.close()
    return found


def reached(targets):
    """Those of `targets` (any key: address and port) that answer, asked all at once."""
    selector, found, open_sockets = selectors.DefaultSelector(), set(), []
    for key, (address, port) in targets.items():
        asker = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        open_sockets.append(asker)
        asker.setblocking(False)
        if asker.connect_ex((address, port)) in (0, 115):
            selector.register(asker, selectors.EVENT_WRITE, key)
    end = time.monotonic() + PATIENCE
    while selector.get_map() and time.monotonic() < end:
        for key, _ in selector.select(0.5):
            selector.unregister(key.fileobj)
            if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.add(key.data)
    for asker in open_sockets:
        asker.close()
    return found


def main():
    found = containers()
    by_id = {one["Id"]: name for name, one in found.items()}
    spaces, listeners, addresses = {}, [listen()], {}
    for name, one in found.items():
        mode = one["HostConfig"]["NetworkMode"]
        holder = by_id[mode.removeprefix("container:")] if mode.startswith("container:") else name
        networks = found[holder]["NetworkSettings"]["Networks"].values()
        addresses[name] = [network["IPAddress"] for network in networks if network["IPAddress"]]
        space = inside(one)
        if space not in spaces.values():
            listeners.append(listen())
        spaces[name] = space
    for name, one in sorted(found.items()):
        inside(one)
        others = [other for other in found if other != name]
        known = resolved(others)
        names = reached({other: (address, PORT) for other, address in known.items()})
        # What a name leads to must be that container, and no other.
        names = {other for other in names if known[other] in addresses[other]}
        pairs = reached({(other, address): (address, PORT) for other in others for address in addresses[other]})
        gateways = {f"gateway of {network}": (settings["Gateway"], PORT)
                    for network, settings in one["NetworkSettings"]["Networks"].items() if settings["Gateway"]}
        line = {
            "names": sorted(names),
            "addresses": sorted({other for other, _ in pairs}),
            "home": sorted(reached({**HOME, **gateways})),
            "out": sorted(reached(OUT)),
        }
        print(f"reach {name} {json.dumps(line)}", flush=True)


main()
