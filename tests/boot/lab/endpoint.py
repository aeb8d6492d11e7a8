"""The VPN's server, on the lab's host `vpn`: endpoint.py WIREGUARD_GO PRIVATE_KEY PUBLIC_KEY ADDRESS, keys in hexadecimal.

Behind it, and nowhere else, is the host 203.0.113.80, which answers on TCP port 8443 and keeps what it is sent by UDP in /run/far.
"""

import pathlib
import socket
import subprocess
import sys
import threading

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "support"))

import wireguard_go  # noqa: E402

FAR = "203.0.113.80"


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def tunnel(program, private, public, address):
    # It goes into the background once it listens.
    subprocess.run([program, "tun0"], check=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    wireguard_go.tell("tun0", private, public, address)
    ip("address", "add", "10.64.0.1/10", "dev", "tun0")
    ip("link", "set", "tun0", "up")


def answer():
    server = socket.create_server((FAR, 8443), backlog=512)
    while True:
        connection, _ = server.accept()
        connection.close()


def main():
    ip("address", "add", f"{FAR}/32", "dev", "lo")
    threading.Thread(target=answer, daemon=True).start()
    tunnel(*sys.argv[1:])
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    heard.bind((FAR, 53))
    log = pathlib.Path("/run/far")
    log.touch()
    while True:
        data, who = heard.recvfrom(4096)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{who[0]} {data!r}\n")
        heard.sendto(data, who)


main()
