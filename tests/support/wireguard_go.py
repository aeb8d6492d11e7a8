"""Tells a wireguard-go that listens what it is to be, over its socket (https://www.wireguard.com/xplatform/)."""

import socket
import sys

PORT = 51820


def tell(device, private, public, address, preshared=None):
    """Makes `device` a server on PORT with one peer, whose address in the tunnel is `address`; keys are in hexadecimal."""
    words = ["set=1", f"private_key={private}", f"listen_port={PORT}", f"public_key={public}"]
    words += [f"preshared_key={preshared}"] if preshared else []
    words.append(f"allowed_ip={address}")
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(f"/var/run/wireguard/{device}.sock")
        control.sendall(("\n".join(words) + "\n\n").encode())
        answer = control.recv(4096).decode()
    if "errno=0" not in answer:
        sys.exit(f"wireguard-go refuses: {answer}")
