"""Scans an address: scan.py tcp|udp ADDRESS. Runs on one of the lab's hosts.

TCP: a SYN to each of the 65,535 ports, as often as the lab says that some were lost on the way. UDP: what such services answer to,
to the ports that they usually have. Any answer counts, refusals and ICMP's included: a port that is not open says nothing.
"""

import ipaddress
import json
import socket
import struct
import sys
import threading
import time

SOURCE_PORT = 45333
# Ports of services that homes and servers have, with a question that gets an answer from anything that speaks them.
DNS = bytes.fromhex("0001010000010000000000000776657273696f6e0462696e640000100003")
MDNS = bytes.fromhex("000000000001000000000000095f7365727669636573075f646e732d7364045f756470056c6f63616c00000c8001")
SNMP = bytes.fromhex("302602010104067075626c6963a01902040000000102010002010030 0b300906052b060102010500".replace(" ", ""))
SSDP = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n"
NTP = b"\xe3" + b"\0" * 47
QUESTIONS = {53: DNS, 5353: MDNS, 5355: DNS, 161: SNMP, 1900: SSDP, 123: NTP}
USUAL = [
    7, 9, 13, 17, 19, 37, 53, 67, 68, 69, 80, 111, 123, 135, 137, 138, 139, 161, 162, 177, 389, 427, 443, 445, 500, 514, 520, 546, 547,
    623, 631, 1194, 1434, 1701, 1812, 1900, 2049, 2375, 3478, 3702, 4500, 5060, 5353, 5355, 5683, 6881, 7359, 7844, 9993, 10001, 11211,
    16261, 19132, 20241, 25565, 27015, 32410, 32412, 32413, 32414, 34197, 41641, 51820,
]


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Answers:
    """What comes back: TCP's answers and ICMP's, by port."""

    def __init__(self, family, to):
        self.family, self.to = family, to
        self.found = {}
        for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6):
            listener = socket.socket(family, socket.SOCK_RAW, protocol)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
            threading.Thread(target=self.listen, args=(listener, protocol), daemon=True).start()

    def listen(self, listener, protocol):
        while True:
            data, who = listener.recvfrom(4096)
            if self.family == socket.AF_INET:
                data = data[(data[0] & 15) * 4 :]
            if protocol == socket.IPPROTO_TCP:
                source, to = struct.unpack_from("!HH", data)
                if to == SOURCE_PORT and who[0] == self.to:
                    self.found[source] = "open" if data[13] & 0x12 == 0x12 else "refused"
            else:
                self.unreachable(data, who[0])

    def unreachable(self, data, who):
        """An ICMP error has the beginning of the packet that it is about."""
        inner = data[8:]
        if self.family == socket.AF_INET:
            if data[0] != 3 or len(inner) < 24:
                return
            to, rest = socket.inet_ntop(socket.AF_INET, inner[16:20]), inner[(inner[0] & 15) * 4 :]
        else:
            if data[0] != 1 or len(inner) < 44:
                return
            to, rest = socket.inet_ntop(socket.AF_INET6, inner[24:40]), inner[40:]
        if to == self.to:
            self.found[struct.unpack_from("!H", rest, 2)[0]] = f"ICMP from {who}"


def tcp(family, to):
    """Sends SYNs until the lab has seen one arrive at each port."""
    sender = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
    with socket.socket(family, socket.SOCK_DGRAM) as route:
        route.connect((to, 9))
        own = route.getsockname()[0]
    ends = ipaddress.ip_address(own).packed + ipaddress.ip_address(to).packed
    pseudo = ends + (struct.pack("!BBH", 0, 6, 20) if family == socket.AF_INET else struct.pack("!IHBB", 20, 0, 0, 6))
    ports = range(1, 65536)
    while ports:
        for port in ports:
            head = struct.pack("!HHIIBBHHH", SOURCE_PORT, port, 7, 0, 0x50, 0x02, 1024, 0, 0)
            head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
            while True:
                try:
                    sender.sendto(head, (to, 0))
                    break
                except (BlockingIOError, OSError):
                    time.sleep(0.01)
        ports = told(len(ports))


def udp(family, to, answers):
    """Asks each of the usual ports, twice; an answer may be anything."""
    asker = socket.socket(family, socket.SOCK_DGRAM)
    asker.bind(("", SOURCE_PORT))
    asker.settimeout(1)
    for _ in range(2):
        for port in USUAL:
            asker.sendto(QUESTIONS.get(port, b"\0" * 8), (to, port))
        told(len(USUAL))
        try:
            while True:
                _, who = asker.recvfrom(4096)
                answers.found[who[1]] = "open"
        except (TimeoutError, ConnectionRefusedError):
            pass


def told(count):
    """Says how many were sent; the ports that the lab wants again."""
    print(json.dumps({"sent": count}), flush=True)
    return json.loads(sys.stdin.readline())["lost"]


def main():
    kind, to = sys.argv[1:]
    to = str(ipaddress.ip_address(to))
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    answers = Answers(family, to)
    if kind == "tcp":
        tcp(family, to)
    else:
        udp(family, to, answers)
    # What the box has sent is on this side of the cable by now; this host's own queue is all that is left.
    time.sleep(0.5)
    print(json.dumps({str(port): answers.found[port] for port in sorted(answers.found)}), flush=True)


main()
