"""The box's ethernet cable: frames between QEMU's socket and a tap device, and a record of what the box sends."""

import fcntl
import ipaddress
import os
import select
import socket
import struct
import threading
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
IPV4, IPV6 = 0x0800, 0x86DD
TCP, UDP, ICMPV6 = 6, 17, 58
NAMES = {1: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmp6"}
NEIGHBOR_SOLICITATION = 135
SYN_ALONE = 0x02


class Cable:
    def __init__(self, path):
        self.tap = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22x", b"box", IFF_TAP | IFF_NO_PI))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.guard = threading.Lock()
        self.flows, self.sources = {}, set()
        self.counted, self.ports, self.last = None, set(), 0.0

    def run(self):
        """Carries frames, one machine after the other."""
        while True:
            machine, _ = self.listener.accept()
            try:
                self.carry(machine)
            except OSError:
                pass
            machine.close()

    def carry(self, machine):
        pending = b""
        while True:
            for ready in select.select([machine, self.tap], [], [])[0]:
                if ready is machine:
                    data = machine.recv(1 << 18)
                    if not data:
                        return
                    pending = self.outward(pending + data)
                else:
                    frame = os.read(self.tap, 1 << 16)
                    self.note_inward(frame)
                    # Waits for a machine that is slower: nothing that was read is lost.
                    machine.sendall(struct.pack("!I", len(frame)) + frame)

    def outward(self, data):
        """Hands whole frames to the tap; what is left."""
        at = 0
        while len(data) - at >= 4:
            (length,) = struct.unpack_from("!I", data, at)
            if len(data) - at - 4 < length:
                break
            frame = data[at + 4 : at + 4 + length]
            at += 4 + length
            self.note_outward(frame)
            try:
                os.write(self.tap, frame)
            except OSError:
                pass
        return data[at:]

    def note_outward(self, frame):
        found = parsed(frame)
        if found is None:
            return
        source, to, protocol, port, _ = found
        with self.guard:
            self.sources.add(source)
            # A neighbour solicitation from nowhere asks whether somebody has the address already (RFC 4862).
            if protocol == ICMPV6 and source == "::" and frame[54] == NEIGHBOR_SOLICITATION and len(frame) >= 78:
                self.sources.add(str(ipaddress.IPv6Address(frame[62:78])))
            key = (to, NAMES.get(protocol, str(protocol)), port if protocol in (TCP, UDP) else 0)
            self.flows[key] = self.flows.get(key, 0) + 1

    def note_inward(self, frame):
        if self.counted is None:
            return
        found = parsed(frame)
        if found and found[1] == self.counted and found[2] == TCP and found[4] == SYN_ALONE:
            with self.guard:
                self.ports.add(found[3])
                self.last = time.monotonic()

    def count(self, address):
        """Counts, from now on, to which ports of `address` somebody tries to connect."""
        with self.guard:
            self.counted, self.ports, self.last = str(ipaddress.ip_address(address)), set(), time.monotonic()

    def missing(self, count):
        """Which of the ports up to `count` nobody has reached, once all that is on its way has arrived."""
        while True:
            with self.guard:
                if len(self.ports) == count:
                    return []
                if time.monotonic() - self.last > 3:
                    return sorted(set(range(1, count + 1)) - self.ports)
            time.sleep(0.1)

    def global_addresses(self):
        with self.guard:
            found = {address for address in self.sources if ":" in address}
        return {address for address in found if ipaddress.ip_address(address) in ipaddress.ip_network("2001:db8:1::/64")}

    def forget(self):
        with self.guard:
            self.flows.clear()

    def sent(self):
        with self.guard:
            return sorted([to, protocol, port, count] for (to, protocol, port), count in self.flows.items())


def parsed(frame):
    """Source, destination, protocol, destination port, and TCP's flags of an IP packet."""
    if len(frame) < 34:
        return None
    (kind,) = struct.unpack_from("!H", frame, 12)
    if kind == IPV4:
        protocol, rest = frame[23], 14 + (frame[14] & 15) * 4
        source, to = (str(ipaddress.IPv4Address(frame[at : at + 4])) for at in (26, 30))
    elif kind == IPV6 and len(frame) >= 54:
        protocol, rest = frame[20], 54
        source, to = (str(ipaddress.IPv6Address(frame[at : at + 16])) for at in (22, 38))
    else:
        return None
    port = struct.unpack_from("!H", frame, rest + 2)[0] if len(frame) >= rest + 4 else 0
    flags = frame[rest + 13] & 0x17 if protocol == TCP and len(frame) > rest + 13 else 0
    return source, to, protocol, port, flags
