"""Runs on the box as root: who reaches whom, asked inside every container's own network namespace, and what else each reaches.

Prints a line for each container: `reach NAME {"names": [...], "addresses": [...], "home": [...], "out": [...]}`.
`names` are the containers that it finds by name and reaches there, `addresses` those that it reaches at any of their addresses.
"""

import errno
import json
import os
import resource
import selectors
import socket
import struct
import subprocess
import time

# In each namespace a listener of ours, so that what is asked is the network and not an application.
PORT = 40123
RESOLVER = ("127.0.0.11", 53)
# Seconds that an emulated box may take to answer: what is dropped is known to be only then.
PATIENCE = 20
# Seconds until all containers run.
LONGEST = 1200
# At home: a device, the router, and the box itself; outside: hosts of the lab, of which `far` is behind the VPN alone.
HOME = {"tv": ("192.168.1.20", 8080), "router": ("192.168.1.1", 8080), "box": ("192.168.1.50", PORT), "tv6": ("2001:db8:1::20", 8080)}
OUT = {"stranger": ("198.51.100.77", 8443), "stranger6": ("2001:db8:2::77", 8443), "far": ("203.0.113.80", 8443)}


def containers():
    """Those that run. One that has ended between both questions is not there any more."""
    ids = subprocess.run(["docker", "ps", "-q"], check=True, capture_output=True, text=True).stdout.split()
    listing = subprocess.run(["docker", "inspect", *ids], check=False, capture_output=True, text=True).stdout
    return {one["Name"].lstrip("/"): one for one in sorted(json.loads(listing), key=lambda one: one["Name"])}


def settled():
    """All containers of the box, once all run: the tunnel's is started anew whenever an application has got its owner."""
    expected = set(os.environ["containers"].split())
    end = time.monotonic() + LONGEST
    while True:
        found = containers()
        missing = expected - found.keys()
        if not missing or time.monotonic() > end:
            return found
        time.sleep(3)


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


def told(asked):
    """Waits for whatever becomes ready of `asked` (socket: key and event), as long as an emulated box may need: pairs of both."""
    selector = selectors.DefaultSelector()
    for asker, (key, event) in asked.items():
        selector.register(asker, event, key)
    end = time.monotonic() + PATIENCE
    while selector.get_map() and time.monotonic() < end:
        for key, _ in selector.select(0.5):
            selector.unregister(key.fileobj)
            yield key.fileobj, key.data
    for asker in asked:
        asker.close()


def resolved(found):
    """Whom each container finds under whose name, and at which address. What Docker's resolver does not know it asks elsewhere."""
    asked, known = {}, {}
    for name, one in found.items():
        inside(one)
        for other in found.keys() - {name}:
            asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            asker.connect(RESOLVER)
            asker.send(question(other))
            asked[asker] = ((name, other), selectors.EVENT_READ)
    for asker, pair in told(asked):
        try:
            answer = asker.recv(4096)
        except OSError:
            continue
        if answer[3] & 15 == 0 and struct.unpack_from("!H", answer, 6)[0]:
            known[pair] = socket.inet_ntoa(answer[-4:])
    return known


def reached(found, targets):
    """Which of its targets (key: address and port) each container reaches, all asked at once."""
    asked, open_to = {}, {name: set() for name in found}
    for name, one in found.items():
        inside(one)
        for key, (address, port) in targets[name].items():
            asker = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            asker.setblocking(False)
            if asker.connect_ex((address, port)) in (0, errno.EINPROGRESS):
                asked[asker] = ((name, key), selectors.EVENT_WRITE)
            else:
                asker.close()
    for asker, (name, key) in told(asked):
        if asker.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            open_to[name].add(key)
    return open_to


def places(found):
    """The addresses of each container, those of its holder where it lives in another's namespace; and everybody listens."""
    by_id = {one["Id"]: name for name, one in found.items()}
    spaces, listeners, addresses = set(), [listen()], {}
    for name, one in found.items():
        mode = one["HostConfig"]["NetworkMode"]
        holder = by_id[mode.removeprefix("container:")] if mode.startswith("container:") else name
        networks = found[holder]["NetworkSettings"]["Networks"].values()
        addresses[name] = [network["IPAddress"] for network in networks if network["IPAddress"]]
        space = inside(one)
        if space not in spaces:
            listeners.append(listen())
        spaces.add(space)
    return addresses, listeners


def asked(found):
    """What each container reaches, by what is asked; nothing if one was started anew meanwhile."""
    try:
        addresses, listeners = places(found)
    except FileNotFoundError:
        return None
    known = resolved(found)
    # What a name leads to must be that container, and no other.
    by_name = {name: {other: (address, PORT) for (one, other), address in known.items() if one == name and address in addresses[other]}
               for name in found}
    by_address = {name: {(other, address): (address, PORT) for other in found if other != name for address in addresses[other]}
                  for name in found}
    home = {
        name: HOME | {f"gateway of {network}": (settings["Gateway"], PORT)
                      for network, settings in one["NetworkSettings"]["Networks"].items() if settings["Gateway"]}
        for name, one in found.items()}
    try:
        return [reached(found, targets) for targets in (by_name, by_address, home, {name: OUT for name in found})]
    except FileNotFoundError:
        return None
    finally:
        for listener in listeners:
            listener.close()


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))
    processes = lambda found: {name: one["State"]["Pid"] for name, one in found.items()}
    while True:
        found = settled()
        answers = asked(found)
        if answers and processes(containers()) == processes(found):
            break
    names, pairs, home, out = answers
    for name in found:
        line = {
            "names": sorted(names[name]),
            "addresses": sorted({other for other, _ in pairs[name]}),
            "home": sorted(home[name]),
            "out": sorted(out[name]),
        }
        print(f"reach {name} {json.dumps(line)}", flush=True)


main()
