"""Finds the box at home as other devices do, and asks one of its services: local.py NAME.local PORT PATH. Runs on the lab's host `tv`.

Multicast DNS (RFC 6762): a question from port 5353 to the group; the answer's address is what the service is asked at, with the name.
"""

import socket
import struct
import sys
import time
import urllib.request

GROUP, PORT = "224.0.0.251", 5353


def question(name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 0, 0, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)


def resolved(name):
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    asker.bind(("", PORT))
    own = socket.inet_aton("192.168.1.20")
    asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
    asker.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + own)
    asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    asker.settimeout(2)
    label = bytes([len(name.split(".")[0])]) + name.split(".")[0].encode()
    for _ in range(30):
        asker.sendto(question(name), (GROUP, PORT))
        end = time.monotonic() + 2
        while time.monotonic() < end:
            try:
                answer = asker.recv(4096)
            except TimeoutError:
                break
            found = answer.find(struct.pack("!HH", 1, 0x8001))
            if answer[2] & 0x80 and label in answer and found > 0:
                return socket.inet_ntoa(answer[found + 10 : found + 14])
    sys.exit(f"nobody at home is {name}")


def main():
    name, port, path = sys.argv[1:]
    request = urllib.request.Request(f"http://{resolved(name)}:{port}{path}", headers={"Host": f"{name}:{port}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        print(answer.status, answer.read(200).decode(errors="replace"))


main()
