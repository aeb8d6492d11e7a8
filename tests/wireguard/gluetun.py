"""Runs the real Gluetun as the box's container runs it, in a network namespace whose only neighbour is the rest of the world.

gluetun.py GLUETUN WIREGUARD_GO SERVER_KEY BOX_PUBLIC SHARED SECRETS <ENVIRONMENT

SECRETS is the folder that the container finds as /run/secrets, ENVIRONMENT what its Compose file sets, as JSON. It is started where
it has mounts, processes and a network of its own. Prints whether what is behind the VPN was reached, whom it saw, and whatever left
the namespace but for the VPN's server.
"""

import contextlib
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import wireguard_go  # noqa: E402

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The world, all of it on one side of the cable: the VPN's server, and two hosts, of which nobody needs a VPN to be reached.
SERVER, FAR, STRANGER = "198.51.100.20", "203.0.113.80", "198.51.100.77"
GATEWAY, CONTAINER = "172.20.5.1", "172.20.5.2"
# What the image itself sets, and the program cannot do without.
IMAGE = {"VPN_INTERFACE": "tun0", "PPROF_BLOCK_PROFILE_RATE": "0", "PPROF_MUTEX_PROFILE_RATE": "0"}
# Seconds until it must have found its way, and how often it is tried once there is none.
LONGEST, TRIES = 120, 8
TRY = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
    try:
        asker.sendto(b"name?", ("{STRANGER}", 53))
    except OSError:
        pass
for host in ("{STRANGER}", "{FAR}"):
    try:
        socket.create_connection((host, 8443), timeout=1.5).close()
        print(host)
    except OSError:
        pass
"""


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, env={"PATH": PATH}, **options)


def world(program, key, public, shared):
    """The cable to the namespace `box`, and the VPN's server at its end."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("ip", "link", "set", "lo", "up")
    run("ip", "netns", "add", "box")
    run("ip", "link", "add", "out", "type", "veth", "peer", "name", "eth0", "netns", "box")
    run("ip", "address", "add", f"{GATEWAY}/24", "dev", "out")
    run("ip", "link", "set", "out", "up")
    for address in (SERVER, FAR, STRANGER):
        run("ip", "address", "add", f"{address}/32", "dev", "lo")
    for words in (["address", "add", f"{CONTAINER}/24", "dev", "eth0"], ["link", "set", "lo", "up"], ["link", "set", "eth0", "up"],
                  ["route", "add", "default", "via", GATEWAY]):
        run("ip", "-netns", "box", *words)
    run(program, "wg0")
    wireguard_go.tell("wg0", key, public, "10.64.222.21/32", shared)
    run("ip", "address", "add", "10.64.0.1/10", "dev", "wg0")
    run("ip", "link", "set", "wg0", "up")


def listen(peers):
    """Who reaches either host, by the address that it comes from."""
    def serve(host):
        server = socket.create_server((host, 8443), backlog=512)
        while True:
            connection, who = server.accept()
            peers.append([host, who[0]])
            connection.close()

    for host in (FAR, STRANGER):
        threading.Thread(target=serve, args=(host,), daemon=True).start()


def watch(left):
    """Whatever comes out of the namespace, but for the VPN's server and what neighbours say to each other."""
    cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    cable.bind(("out", 0))

    def look():
        while True:
            frame, (_, protocol, kind, *_) = cable.recvfrom(65536)
            if kind == socket.PACKET_OUTGOING or protocol not in (0x0800, 0x86DD):
                continue
            packet = frame[14:]
            if protocol == 0x86DD:
                to = socket.inet_ntop(socket.AF_INET6, packet[24:40])
                if not to.startswith(("fe80:", "ff02:")):
                    left.append(to)
                continue
            to, transport = socket.inet_ntoa(packet[16:20]), packet[9]
            start = (packet[0] & 15) * 4
            port = struct.unpack_from("!H", packet, start + 2)[0] if transport in (6, 17) else 0
            if (to, transport, port) != (SERVER, 17, 51820) and to != GATEWAY:
                left.append(f"{to} protocol {transport} port {port}")

    threading.Thread(target=look, daemon=True).start()


def container(gluetun, secrets):
    """This machine's programs as a root of its own, with what Gluetun's image has besides."""
    run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    for name in ("upper", "work", "root"):
        os.mkdir(f"/mnt/{name}")
    run("mount", "-t", "overlay", "overlay", "-o", "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work", "/mnt/root")
    root = pathlib.Path("/mnt/root")
    run("mount", "--rbind", "/dev", root / "dev")
    run("mount", "-t", "proc", "proc", root / "proc")
    for place in ("run", "tmp"):
        run("mount", "-t", "tmpfs", "tmpfs", root / place)
    # It asks for these versions, and for a user that it would make with Alpine's program.
    (root / "etc/alpine-release").write_text("3.22.0\n")
    with (root / "etc/passwd").open("a", encoding="utf-8") as users:
        users.write("nonrootuser:x:1000:1000::/:/bin/false\n")
    openvpn = root / "usr/sbin/openvpn2.6"
    openvpn.write_text("#!/bin/sh\necho OpenVPN 2.6.14 stands in\n")
    openvpn.chmod(0o755)
    for name in (root / "gluetun", root / "run/secrets"):
        name.mkdir()
    run("mount", "--bind", secrets, root / "run/secrets")
    (root / "run/gluetun").touch()
    run("mount", "--bind", gluetun, root / "run/gluetun")
    return root


def tried():
    """Whom a program in the namespace reaches."""
    done = run("ip", "netns", "exec", "box", sys.executable, "-c", TRY, capture_output=True, text=True)
    return done.stdout.split()


def main():
    gluetun, server, key, public, shared, secrets = sys.argv[1:]
    environment = json.load(sys.stdin)
    peers, left = [], []
    world(server, key, public, shared)
    listen(peers)
    assert tried() == [STRANGER, FAR], "nothing is reached without a VPN either"
    peers.clear()
    root = container(gluetun, secrets)
    environment = {"PATH": PATH, **IMAGE, **{name: str(value) for name, value in environment.items()}}
    command = ["ip", "netns", "exec", "box", "chroot", root, "/run/gluetun"]
    program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = []
    reader = threading.Thread(target=lambda: log.extend(line.rstrip() for line in program.stdout), daemon=True)
    reader.start()
    # Its firewall is up before it says what it is to do.
    end = time.monotonic() + LONGEST
    while not any("ettings summary" in line for line in log) and program.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    watch(left)
    reached = False
    while not reached and program.poll() is None and time.monotonic() < end:
        reached = FAR in tried()
    run("ip", "link", "delete", "wg0")
    after = [host for _ in range(TRIES) for host in tried()]
    program.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(20)
    json.dump({"reached": reached, "after": after, "peers": peers, "left": sorted(set(left)), "log": log}, sys.stdout)


main()
