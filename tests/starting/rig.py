"""The box's shell programs in a folder: their paths lead there, and stand-ins are in front of what they call."""

import pathlib
import re
import subprocess
import tempfile

PLACES = {"/usr/lib/boxwright": "lib", "/var/lib/boxwright": "system", "/run/boxwright": "run", "/dev/boxwright": "dev", "/efi": "efi",
          "/proc/uptime": "uptime", "/sys/firmware": "sys"}


class Rig:
    def __init__(self, case, system):
        """System: the folder overlays/system."""
        folder = tempfile.TemporaryDirectory()
        case.addCleanup(folder.cleanup)
        self.root, self.system = pathlib.Path(folder.name), pathlib.Path(system)
        for name in ("lib", "system", "run/problems", "dev", "efi/loader/entries", "bin"):
            (self.root / name).mkdir(parents=True)
        (self.root / "run/release").write_text("aaaa\n")
        self.program("say", f'echo "$*" >>{self.root}/said')

    def take(self, overlay, name):
        """Takes a program of the box."""
        text = (self.system / overlay / "root/usr/lib/boxwright" / name).read_text()
        for old, new in PLACES.items():
            text = re.sub(rf"(?<!\w){old}", f"{self.root}/{new}", text)
        self.place(f"lib/{name}", text)

    def program(self, name, script):
        """A stand-in for one."""
        self.place(f"lib/{name}", f"#!/bin/sh\ncd {self.root}\n{script}\n")

    def command(self, name, script):
        """A stand-in for a command; it runs in the folder."""
        self.place(f"bin/{name}", f"#!/bin/sh\ncd {self.root}\n{script}\n")

    def place(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(self, name):
        environment = {"PATH": f"{self.root}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        return subprocess.run([self.root / "lib" / name], env=environment, capture_output=True, text=True, timeout=60)

    def read(self, name):
        """A file's text, or nothing where there is none."""
        path = self.root / name
        return path.read_text() if path.exists() else None
