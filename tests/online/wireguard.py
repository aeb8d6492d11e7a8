#!/usr/bin/python3
"""Runs a command in front of a real WireGuard server (wireguard-go) on 127.0.0.1:51820, in namespaces that the caller made.

wireguard.py WIREGUARD_GO PRIVATE_KEY PEER_PUBLIC_KEY PRESHARED_KEY COMMAND...   keys in hexadecimal, the server's and its one peer's
"""

import os
import pathlib
import socket
import subprocess
import sys
import time

program, private, public, preshared, *command = sys.argv[1:]
# Its control socket has a fixed place, which is not everybody's to write.
subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = subprocess.Popen([program, "--foreground", "tun0"], env={"PATH": os.environ["PATH"], "LOG_LEVEL": "error"})
try:
    control = pathlib.Path("/run/wireguard/tun0.sock")
    end = time.monotonic() + 60
    while not control.exists():
        if server.poll() is not None or time.monotonic() > end:
            sys.exit("wireguard-go does not start")
        time.sleep(0.05)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(control))
        words = ["set=1", f"private_key={private}", "listen_port=51820", f"public_key={public}",
                 f"preshared_key={preshared}", "allowed_ip=10.64.222.21/32"]
        client.sendall(("\n".join(words) + "\n\n").encode())
        answer = client.recv(4096).decode()
    if "errno=0" not in answer:
        sys.exit(f"wireguard-go refuses: {answer}")
    subprocess.run(["ip", "link", "set", "tun0", "up"], check=True)
    # What it thinks of the keys is in what it prints.
    subprocess.run(command, check=False)
finally:
    server.terminate()
    server.wait()
