"""Servers that are reached over SFTP, for programs `repository`: where one is, and the two files that SSH needs for it.

A private key in an argument would be for everybody to see, and a server that is known by no key could be anyone: so both are files.
"""

import os
import tempfile
import textwrap

PORT, FOLDER = 22, "backups"


class Server:
    """The server of a target. Its files lie in `folder`, which is the program's own and gone after a restart."""

    def __init__(self, target, folder):
        self.host, self.user = target["sftp"], target["user"]
        self.port, self.path = target.get("port") or PORT, target.get("prefix") or FOLDER
        keys = target["host-key"]
        self.host_keys = keys if isinstance(keys, list) else [keys]
        self.key, self.known_hosts = folder / "private-key", folder / "known_hosts"

    def prepare(self, private_key):
        """Writes the files. `private_key`: what stands between the first and the last line of OpenSSH's own file."""
        lines = ["-----BEGIN OPENSSH PRIVATE KEY-----", *textwrap.wrap(private_key, 70), "-----END OPENSSH PRIVATE KEY-----"]
        replace(self.key, lines)
        host = self.host if self.port == PORT else f"[{self.host}]:{self.port}"
        # The type and the key; a comment may say anything.
        replace(self.known_hosts, [f"{host} {' '.join(key.split()[:2])}" for key in self.host_keys])


def replace(path, lines):
    """Writes a file that nobody else can read at any moment, nor find half of."""
    descriptor, fresh = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    os.replace(fresh, path)
