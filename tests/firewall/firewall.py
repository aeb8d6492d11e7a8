#!/usr/bin/env python3
"""Loads rendered firewall rules into network namespaces and probes them with packets.

firewall.py ROOT RENDERED

ROOT is a root filesystem with ufw, iptables, iproute2 and python3 (a box's base layer, or any chroot); it is not changed:
the rendered files lie over it in an overlay mount, as on a box. RENDERED is what `boxwright render` wrote.

    outside 203.0.113.9 ── router ── 192.168.7.0/24, 2001:db8:7::/64 ── box ── one bridge for each network of the profile
                                     └─ neighbour .50

Docker's own rules are set up as Docker 26 does it while it makes a network, the moment in which nothing but they is asked: its
jump to DOCKER-USER is out, and what it accepts stands first. Every line of the result is an expectation that the profile
implies; the exit status is 1 if one of them does not hold.
"""

import ipaddress
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PROBE = """
import concurrent.futures, json, socket, sys
def probe(target):
    kind, host, port, own = target
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if kind == "ping":
            # An echo request with its checksum; the answer comes with its IP header.
            s = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMP); s.settimeout(2)
            s.sendto(bytes([8, 0, 0xf7, 0xfd, 0, 1, 0, 1]), (host, 0))
            while s.recv(64)[20] != 0:
                pass
        elif kind == "tcp":
            s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(2); s.bind((own, 0))
            s.connect((host, port)); s.recv(64)
        else:
            s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(2); s.bind((own, 0))
            s.sendto(b"x", (host, port)); s.recv(64)
        return True
    except OSError:
        return False
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print(json.dumps(list(pool.map(probe, json.load(sys.stdin)))))
"""
LISTEN = """
import selectors, socket, sys
name = sys.argv[1].encode()
selector = selectors.DefaultSelector()
for spec in sys.argv[2:]:
    kind, port = spec.split("/")
    family = socket.AF_INET6
    s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", int(port)))
    if kind == "tcp":
        s.listen(64)
    selector.register(s, selectors.EVENT_READ, kind)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        if key.data == "tcp":
            connection, _ = key.fileobj.accept(); connection.sendall(name); connection.close()
        else:
            _, peer = key.fileobj.recvfrom(64); key.fileobj.sendto(name, peer)
"""


class World:
    def __init__(self, root):
        self.root = root
        self.processes = []
        self.namespaces = {}
        self.ends = 0
        self.expectations = []
        self.failures = 0
        self.passes = 0

    def start(self, *command):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def namespace(self, name):
        process = self.start("unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep 3600")
        process.stdout.readline()
        self.namespaces[name] = process.pid
        self.run(name, "ip", "link", "set", "lo", "up")

    def command(self, name, *command):
        net = f"--net=/proc/{self.namespaces[name]}/ns/net"
        return ["nsenter", net, "--", "chroot", self.root, *command]

    def run(self, name, *command, check=True, **options):
        return subprocess.run(self.command(name, *command), check=check, capture_output=True, text=True, **options)

    def ip(self, name, text):
        result = self.run(name, "ip", *text.split(), check=False)
        if result.returncode:
            sys.exit(f"ip {text} in {name}: {result.stderr}")

    def link(self, left, left_name, right, right_name):
        self.ip(left, f"link add {left_name} type veth peer name {right_name} netns {self.namespaces[right]}")
        self.ip(left, f"link set {left_name} up")
        self.ip(right, f"link set {right_name} up")

    def listen(self, name, *ports):
        process = self.start(*self.command(name, "python3", "-c", LISTEN, name, *ports))
        assert process.stdout.readline() == "ready\n", f"no listener in {name}"

    def later(self, what, wanted, source, kind, host, port=0, own=""):
        """Notes an expectation; `judge` probes all of them, those of one source at once. `own`: which of the source's addresses."""
        self.expectations.append((what, wanted, source, (kind, host, port, own)))

    def judge(self):
        noted, self.expectations = self.expectations, []
        for source in sorted({one[2] for one in noted}):
            mine = [one for one in noted if one[2] == source]
            targets = json.dumps([one[3] for one in mine])
            answer = self.run(source, "python3", "-c", PROBE, input=targets)
            for (what, wanted, _, _), got in zip(mine, json.loads(answer.stdout)):
                self.expect(what, wanted, got)

    def expect(self, what, wanted, got):
        good = bool(got) == wanted
        self.passes += good
        self.failures += not good
        line = f"{'ok  ' if good else 'FAIL'} {what}: {'yes' if got else 'no'}"
        print(line, file=sys.stdout if good else sys.stderr, flush=True)

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


def lan(world):
    """The house: a switch, a router to the outside, a neighbour, and the box."""
    for name in ("switch", "router", "outside", "neighbour", "box"):
        world.namespace(name)
    world.ip("switch", "link add br0 type bridge")
    world.ip("switch", "link set br0 up")
    for name, v4, v6 in (("router", 1, 1), ("neighbour", 50, 50), ("box", 2, 2)):
        world.link("switch", f"to-{name}"[:15], name, "eth0")
        world.ip("switch", f"link set to-{name} master br0"[:60])
        world.ip(name, f"addr add 192.168.7.{v4}/24 dev eth0")
        world.ip(name, f"-6 addr add 2001:db8:7::{v6}/64 dev eth0 nodad")
        if name != "router":
            world.ip(name, "route add default via 192.168.7.1")
            world.ip(name, "-6 route add default via 2001:db8:7::1")
    world.link("router", "wan", "outside", "eth0")
    world.ip("router", "addr add 203.0.113.1/24 dev wan")
    world.ip("router", "-6 addr add 2001:db8:ffff::1/64 dev wan nodad")
    world.ip("outside", "addr add 203.0.113.9/24 dev eth0")
    # One of Cloudflare's addresses, for ports that only its edge may reach.
    world.ip("outside", "addr add 173.245.48.9/32 dev eth0")
    world.ip("router", "route add 173.245.48.9/32 dev wan")
    world.ip("outside", "-6 addr add 2001:db8:ffff::9/64 dev eth0 nodad")
    world.ip("outside", "route add default via 203.0.113.1")
    world.ip("outside", "-6 route add default via 2001:db8:ffff::1")
    for key in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
        world.run("router", "sysctl", "-q", "-w", key)


def container(world, name, network, number):
    """A container on a network; it has its first network's gateway as its way out."""
    subnet = ipaddress.ip_network(network["subnet"])
    address = subnet[number]
    world.ends += 1
    end = f"end{world.ends}"
    index = len(json.loads(world.run(name, "ip", "-json", "link").stdout)) - 1
    world.link("box", end, name, f"eth{index}")
    world.ip("box", f"link set {end} master {network['bridge']}")
    world.ip(name, f"addr add {address}/{subnet.prefixlen} dev eth{index}")
    if not network["internal"]:
        world.run(name, "ip", "route", "replace", "default", "via", network["gateway"])
    return str(address)


def docker(world, networks, published):
    """What Docker 26 adds to the tables; published: (protocol, port, bridge, address)."""
    nat, rules = ["*nat", ":DOCKER - [0:0]"], ["*filter", ":DOCKER - [0:0]", ":DOCKER-ISOLATION-STAGE-1 - [0:0]"]
    rules.append(":DOCKER-ISOLATION-STAGE-2 - [0:0]")
    nat.append("-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER")
    nat.append("-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER")
    head = ["-I FORWARD -j DOCKER-ISOLATION-STAGE-1"]
    for network in networks:
        bridge, subnet = network["bridge"], network["subnet"]
        if network["internal"]:
            rules.append(f"-A DOCKER-ISOLATION-STAGE-1 ! -s {subnet} -o {bridge} -j DROP")
            rules.append(f"-A DOCKER-ISOLATION-STAGE-1 ! -d {subnet} -i {bridge} -j DROP")
            rules.append(f"-A FORWARD -i {bridge} -o {bridge} -j ACCEPT")
            continue
        rules.append(f"-A DOCKER-ISOLATION-STAGE-1 -i {bridge} ! -o {bridge} -j DOCKER-ISOLATION-STAGE-2")
        rules.append(f"-A DOCKER-ISOLATION-STAGE-2 -o {bridge} -j DROP")
        rules.append(f"-A FORWARD -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
        rules.append(f"-A FORWARD -o {bridge} -j DOCKER")
        rules.append(f"-A FORWARD -i {bridge} ! -o {bridge} -j ACCEPT")
        rules.append(f"-A FORWARD -i {bridge} -o {bridge} -j ACCEPT")
        if network["egress"] or network["reach"]:
            nat.append(f"-A POSTROUTING -s {subnet} ! -o {bridge} -j MASQUERADE")
    for protocol, port, bridge, address in published:
        nat.append(f"-A DOCKER ! -i {bridge} -p {protocol} --dport {port} -j DNAT --to {address}:{port}")
        rules.append(f"-A DOCKER -d {address} ! -i {bridge} -o {bridge} -p {protocol} --dport {port} -j ACCEPT")
    rules += head
    for lines in (nat, rules):
        text = "\n".join(lines + ["COMMIT", ""])
        result = world.run("box", "iptables-restore", "-n", check=False, input=text)
        if result.returncode:
            sys.exit(f"Docker's rules: {result.stderr}")
    world.run("box", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")


def services(world, networks, ports):
    """Bridges, and one namespace a container; returns (protocol, port, bridge, address) of what is published."""
    for network in networks:
        world.ip("box", f"link add {network['bridge']} type bridge")
        length = network["subnet"].split("/")[1]
        world.ip("box", f"addr add {network['gateway']}/{length} dev {network['bridge']}")
        world.ip("box", f"link set {network['bridge']} up")
    addresses = {}
    for network in networks:
        for number, member in enumerate(network["members"], start=2):
            name = member["container"]
            if name not in world.namespaces:
                world.namespace(name)
            addresses[name, network["name"]] = container(world, name, network, number)
    published = []
    for port in ports:
        for network in networks:
            if (port["container"], network["name"]) in addresses and not network["internal"]:
                published.append((port["protocol"], port["port"], network["bridge"], addresses[port["container"], network["name"]]))
                break
        else:
            sys.exit(f"{port} is published, and its container has no network that leads outside")
    return addresses, published


def ufw(world, words):
    result = world.run("box", "/usr/lib/ufw/ufw-init", *words, check=False)
    print(f"ufw-init {' '.join(words)}: {result.returncode} {(result.stdout + result.stderr).strip()}")
    if result.returncode:
        sys.exit("ufw does not accept the rules")


def from_outside(world, box, ports, what):
    """Nothing but the declared ports, from anywhere."""
    opened = {(port["protocol"], port["port"]): port["source"] for port in ports}
    ssh = box["ssh"]["lan"] == "always"
    for kind, port in sorted(set(opened) | {("tcp", 22), ("tcp", 8080), ("udp", 1900), ("udp", 9999)}):
        own = ssh and (kind, port) == ("tcp", 22)
        at_home = own or opened.get((kind, port)) == "lan"
        for source, address, wanted in (
            ("neighbour", "192.168.7.2", at_home),
            ("outside", "192.168.7.2", False),
            ("neighbour", "2001:db8:7::2", own),
            ("outside", "2001:db8:7::2", False),
        ):
            world.later(f"{what} {source} reaches {address} {port}/{kind}", wanted, source, kind, address, port)
    world.later(f"{what} neighbour pings box", True, "neighbour", "ping", "192.168.7.2")
    world.later(f"{what} outside pings box", False, "outside", "ping", "192.168.7.2")
    world.judge()


def from_containers(world, networks, addresses):
    """Only the own networks' members, the internet where there is a way out, and nothing of the box or the house."""
    share = {}
    for network in networks:
        for member in network["members"]:
            share.setdefault(member["container"], []).append(network)
    for name, theirs in sorted(share.items()):
        out = any(network["egress"] for network in theirs)
        reach = [ipaddress.ip_network(one) for network in theirs for one in network["reach"]]
        world.later(f"{name} reaches the internet", out, name, "tcp", "203.0.113.9", 80)
        home = any(ipaddress.ip_address("192.168.7.50") in one for one in reach)
        world.later(f"{name} reaches the neighbour", home, name, "tcp", "192.168.7.50", 80)
        world.later(f"{name} reaches the box's SSH at home", False, name, "tcp", "192.168.7.2", 22)
        for network in theirs:
            what = f"{name} reaches the box's SSH on {network['name']}"
            world.later(what, False, name, "tcp", network["gateway"], 22)
        mine = {network["name"] for network in theirs}
        for (other, network), address in sorted(addresses.items()):
            if other != name:
                what = f"{name} reaches {other} on {network}"
                world.later(what, network in mine, name, "tcp", address, 7777)
    world.judge()
    # A neighbour who knows Docker's addresses and sends them to the box.
    subnets = sorted({network["subnet"] for network in networks})
    for subnet in subnets:
        world.ip("neighbour", f"route add {subnet} via 192.168.7.2")
    for (other, network), address in sorted(addresses.items()):
        world.later(f"neighbour reaches {other} on {network}", False, "neighbour", "tcp", address, 7777)
    world.judge()


def rehearsal(world, networks, addresses):
    """What runs in a rehearsal reaches its own networks' members, and nothing outside."""
    world.run("box", "sh", "-c", "mkdir -p /run/boxwright/held && echo 'this is a rehearsal' >/run/boxwright/held/internet")
    world.run("box", "/usr/lib/boxwright/onlink", "apply")
    for network in networks:
        names = sorted(member["container"] for member in network["members"])
        for name in names:
            world.later(f"{name} reaches the internet in a rehearsal", False, name, "tcp", "203.0.113.9", 80)
        for other in names[1:]:
            what = f"{names[0]} reaches {other} on {network['name']} in a rehearsal"
            world.later(what, True, names[0], "tcp", addresses[other, network["name"]], 7777)
    world.judge()
    check = world.run("box", "/usr/lib/boxwright/firewall-check", check=False)
    world.expect("a rehearsal is no difference", True, check.returncode == 0 and not check.stdout)
    world.run("box", "rm", "/run/boxwright/held/internet")


def from_edge(world, ports, edge, what):
    """Ports for Cloudflare's edge are open to its addresses, and to no others outside."""
    for port in (port for port in ports if port["source"] == "edge"):
        for address in ("173.245.48.9", "203.0.113.9"):
            name = f"{what} {address} reaches {port['port']}/{port['protocol']}"
            world.later(name, address == edge, "outside", port["protocol"], "192.168.7.2", port["port"], address)
    world.judge()


def other_edge(world, ports):
    """Another list of Cloudflare's, as it is kept after it was fetched."""
    from_edge(world, ports, "173.245.48.9", "with the release's list:")
    world.run("box", "sh", "-c", "mkdir -p /var/lib/boxwright && echo '[\"203.0.113.0/24\"]' >/var/lib/boxwright/edge.json")
    world.run("box", "/usr/lib/boxwright/edge", "apply")
    from_edge(world, ports, "203.0.113.9", "with a new list:")
    ufw(world, ["force-reload"])
    from_edge(world, ports, "203.0.113.9", "with a new list, after a reload:")
    check = world.run("box", "/usr/lib/boxwright/firewall-check", check=False)
    print(check.stdout + check.stderr, end="")
    world.expect("a new list is no difference", True, check.returncode == 0 and not check.stdout)
    world.run("box", "rm", "/var/lib/boxwright/edge.json")
    ufw(world, ["force-reload"])
    from_edge(world, ports, "173.245.48.9", "with the release's list again:")


READY = """
import http.server
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *arguments):
        pass
server = http.server.HTTPServer(("127.0.0.1", 20239), Ready)
print("ready", flush=True)
server.serve_forever()
"""


def rescue(world):
    """SSH at home opens while its tunnel is down, also over a reload, and closes when it is up."""

    def check(what, opened):
        for source, address, wanted in (
            ("neighbour", "192.168.7.2", opened),
            ("neighbour", "2001:db8:7::2", opened),
            ("outside", "192.168.7.2", False),
            ("outside", "2001:db8:7::2", False),
        ):
            world.later(f"{what}: {source} reaches SSH at {address}", wanted, source, "tcp", address, 22)
        world.judge()

    program = "/usr/lib/boxwright/ssh-rescue"
    world.run("box", "mkdir", "-p", "/run/boxwright/ssh-rescue")
    # The tunnel was up long before this machine was started.
    world.run("box", "sh", "-c", "echo -1000 >/run/boxwright/ssh-rescue/last-up")
    world.run("box", program, "check")
    check("tunnel down", True)
    ufw(world, ["force-reload"])
    check("tunnel down, after a reload", True)
    server = world.start(*world.command("box", "python3", "-c", READY))
    server.stdout.readline()
    world.run("box", program, "check")
    check("tunnel up", False)
    server.kill()
    world.run("box", program, "check")
    check("tunnel down for a moment", False)


def lay_over(root, rendered, work):
    """A writable copy-on-write view of root with the rendered files in it."""
    for folder in ("upper", "work", "root"):
        (work / folder).mkdir()
    options = f"lowerdir={rendered}:{root},upperdir={work / 'upper'},workdir={work / 'work'}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(work / "root")], check=True)
    for kind, place in (("proc", "proc"), ("sysfs", "sys"), ("tmpfs", "run")):
        subprocess.run(["mount", "-t", kind, kind, str(work / "root" / place)], check=True)
    return str(work / "root")


def probe(world, rendered):
    networks = rendered / "etc/boxwright/networks.json"
    networks = json.loads(networks.read_text()) if networks.exists() else []
    box = json.loads((rendered / "etc/boxwright/box.json").read_text())
    ports = box["ports"]
    lan(world)
    ufw(world, ["start", "quiet"])
    addresses, published = services(world, networks, ports)
    docker(world, networks, published)
    world.listen("box", "tcp/22", "tcp/8080", "udp/1900", "udp/9999")
    world.listen("outside", "tcp/80")
    world.listen("neighbour", "tcp/80")
    for name in sorted({name for name, _ in addresses}):
        mine = [f"{port['protocol']}/{port['port']}" for port in ports if port["container"] == name]
        world.listen(name, "tcp/7777", *mine)
    from_outside(world, box, ports, "at first:")
    from_containers(world, networks, addresses)
    rehearsal(world, networks, addresses)
    ufw(world, ["force-reload"])
    from_outside(world, box, ports, "after a reload:")
    check = world.run("box", "/usr/lib/boxwright/firewall-check", check=False)
    print(check.stdout + check.stderr, end="")
    world.expect("the live rules are the rendered ones", True, check.returncode == 0 and "differs" not in check.stdout)
    world.run("box", "iptables", "-I", "ufw-before-input", "-p", "tcp", "--dport", "8080", "-j", "ACCEPT")
    world.run("box", "iptables", "-t", "mangle", "-D", "bw-forward", "-j", "DROP")
    world.run("box", "iptables", "-t", "mangle", "-I", "FORWARD", "-i", "eth0", "-j", "ACCEPT")
    check = world.run("box", "/usr/lib/boxwright/firewall-check", check=False)
    print(check.stdout + check.stderr, end="")
    said = ("8080", "mangle bw-forward: missing", "mangle FORWARD: not ours")
    world.expect("a change is found and taken back", True, check.returncode == 0 and all(one in check.stdout for one in said))
    # What Docker makes of FORWARD is its own affair.
    world.run("box", "iptables", "-I", "FORWARD", "-i", "eth0", "-j", "ACCEPT")
    check = world.run("box", "/usr/lib/boxwright/firewall-check", check=False)
    world.expect("Docker may accept what it likes", True, check.returncode == 0 and not check.stdout)
    from_outside(world, box, ports, "after the repair:")
    other_edge(world, ports)
    if box["ssh"]["lan"] == "rescue":
        rescue(world)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if os.environ.get("FIREWALL_PROBE") != "1":
        # Mounts in a namespace of our own go with us.
        environment = {**os.environ, "FIREWALL_PROBE": "1"}
        os.execvpe("unshare", ["unshare", "--mount", "--", sys.executable, *sys.argv], environment)
    root, rendered = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory(prefix="firewall-") as folder:
        work = pathlib.Path(folder)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        world = None
        try:
            world = World(lay_over(root, rendered, work))
            probe(world, rendered)
        finally:
            if world:
                world.end()
            subprocess.run(["umount", "--lazy", "--recursive", folder], check=False)
    print(f"{world.passes} passed, {world.failures} failed")
    sys.exit(1 if world.failures else 0)


main()
