#!/usr/bin/python3
"""Runs a command in front of a real WireGuard server (wireguard-go) on 127.0.0.1:51820, in namespaces that the caller made.

server.py WIREGUARD_GO PRIVATE_KEY PEER_PUBLIC_KEY PRESHARED_KEY COMMAND...   keys in hexadecimal, the server's and its one peer's
"""

import os
import pathlib
import subprocess
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import wireguard_go  # noqa: E402

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
    wireguard_go.tell("tun0", private, public, "10.64.222.21/32", preshared)
    subprocess.run(["ip", "link", "set", "tun0", "up"], check=True)
    # What it thinks of the keys is in what it prints.
    subprocess.run(command, check=False)
finally:
    server.terminate()
    server.wait()
