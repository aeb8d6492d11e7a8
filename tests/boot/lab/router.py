"""What a router does at home: it leases an address, announces itself for IPv6, and answers questions for names with "no"."""

import contextlib
import ipaddress
import socket
import struct

OWN, LEASE, MASK = "192.168.1.1", "192.168.1.50", "255.255.255.0"
PREFIX = "2001:db8:1::"
MAGIC = b"\x63\x82\x53\x63"
# RFC 2132: message types.
DISCOVER, OFFER, REQUEST, ACKNOWLEDGE = 1, 2, 3, 5
ARP = 0x0806
# ICMPv6: a host asks for routers; <linux/icmpv6.h>.
SOLICITATION, ICMP6_FILTER = 133, 1


class Router:
    def __init__(self, interface):
        self.interface = interface.encode()
        self.leased, self.asked = None, set()
        self.hardware = None
        # Bound before anyone asks.
        self.dhcp = self.listener(67)
        self.dns = self.listener(53)

    def listener(self, port):
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface)
        found.bind(("0.0.0.0", port))
        return found

    def leases(self):
        """DHCP (RFC 2131) with one address to lease."""
        while True:
            question, _ = self.dhcp.recvfrom(2048)
            options = dict(options_of(question[240:]))
            kind = options.get(53, b"\0")[0]
            if kind not in (DISCOVER, REQUEST):
                continue
            answer = bytearray(question[:236])
            answer[0] = 2
            answer[16:20] = socket.inet_aton(LEASE)
            answer[20:24] = socket.inet_aton(OWN)
            given = [
                (53, bytes([OFFER if kind == DISCOVER else ACKNOWLEDGE])), (54, socket.inet_aton(OWN)),
                (51, struct.pack("!I", 86400)), (1, socket.inet_aton(MASK)), (3, socket.inet_aton(OWN)), (6, socket.inet_aton(OWN)),
            ]
            packed = b"".join(bytes([code, len(value)]) + value for code, value in given)
            self.dhcp.sendto(bytes(answer) + MAGIC + packed + b"\xff", ("255.255.255.255", 68))
            if kind == REQUEST:
                self.leased, self.hardware = LEASE, question[28:34]

    def advertise(self):
        """Router advertisements (RFC 4861), asked for or not: a prefix of which hosts take addresses by themselves."""
        sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        index = socket.if_nametoindex(self.interface.decode())
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        group = socket.inet_pton(socket.AF_INET6, "ff02::2") + struct.pack("@I", index)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        # RFC 3542: everything is blocked whose bit is set.
        others = [0xFFFFFFFF & ~(1 << (SOLICITATION & 31)) if word == SOLICITATION >> 5 else 0xFFFFFFFF for word in range(8)]
        sender.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("@8I", *others))
        # As often as routers at home do: each one is news to the box.
        sender.settimeout(120)
        header = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
        prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0) + ipaddress.IPv6Address(PREFIX).packed
        while True:
            try:
                sender.sendto(header + prefix, ("ff02::1", 0, 0, index))
            except OSError:
                pass
            with contextlib.suppress(TimeoutError):
                sender.recv(2048)

    def names(self):
        """DNS: no name exists; which were asked for is kept."""
        while True:
            question, who = self.dns.recvfrom(4096)
            labels, at = [], 12
            while at < len(question) and question[at]:
                labels.append(question[at + 1 : at + 1 + question[at]].decode(errors="replace"))
                at += 1 + question[at]
            self.asked.add(".".join(labels).lower())
            answer = question[:2] + b"\x81\x83" + question[4:6] + b"\0" * 6 + question[12 : at + 5]
            self.dns.sendto(answer, who)

    def answers(self):
        """Waits until the box has answered a question of the router's: it has looked at everything before it by then."""
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP))
        sender.bind((self.interface.decode(), ARP))
        sender.settimeout(2)
        own = sender.getsockname()[4]
        question = struct.pack("!6s6sHHHBBH6s4s6s4s", b"\xff" * 6, own, ARP, 1, 0x0800, 6, 4, 1, own, socket.inet_aton(OWN),
                               b"\0" * 6, socket.inet_aton(LEASE))
        for _ in range(150):
            sender.send(question)
            try:
                while True:
                    frame = sender.recv(2048)
                    if frame[20:22] == b"\0\x02" and frame[28:32] == socket.inet_aton(LEASE):
                        return
            except TimeoutError:
                continue
        raise SystemExit("the box does not answer its router any more")


def options_of(data):
    at = 0
    while at + 1 < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        yield data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
