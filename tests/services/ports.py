#!/usr/bin/python3
"""Runs the command by which Gluetun of the rendered tree (first argument) hands on the port that the VPN forwards, with a stand-in
of wget. Prints one line for each thing that holds."""

import re
import shlex
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from standin import WORK, holds
from standins import BIN, TREE

heard, listens = WORK / "heard", WORK / "listens"
text = (TREE / "etc/boxwright/services/gluetun/compose.yaml").read_text()
command = re.search(r"^( +)VPN_PORT_FORWARDING_UP_COMMAND: >-\n((?:\1  .*\n)+)", text, re.M)[2]
# As YAML reads it; with less patience, and a folder of the test's.
command = " ".join(command.split()).replace("sleep 15", "sleep 0.05").replace("/tmp/", f"{WORK}/")
(BIN / "wget").write_text(f"""#!/bin/sh
for word in "$@"; do
	case $word in json=*) json=$word ;; esac
done
[ ! -e {listens} ] && echo "$json" >>{WORK}/refused && exit 4
echo "$json" >>{heard}
""")
(BIN / "wget").chmod(0o755)


def forwarded(port):
    """As Gluetun does: it waits until the command has ended, and nobody holds its output any more."""
    words = shlex.split(command.replace("{{PORT}}", str(port)))
    subprocess.run(words, env={"PATH": f"{BIN}:/usr/bin:/bin"}, check=True, capture_output=True, timeout=5)


def lines(path):
    return path.read_text().split() if path.exists() else []


def until(wanted):
    begin = time.monotonic()
    while not wanted():
        assert time.monotonic() - begin < 20
        time.sleep(0.02)


forwarded(51820)
until(lambda: len(lines(WORK / "refused")) > 2)
forwarded(4000)
until(lambda: 'json={"listen_port":4000}' in lines(WORK / "refused"))
# The older one ends: at its last try it may have been on its way.
time.sleep(0.3)
(WORK / "refused").unlink()
until(lambda: len(lines(WORK / "refused")) > 2)
assert set(lines(WORK / "refused")) == {'json={"listen_port":4000}'}, lines(WORK / "refused")
listens.touch()
until(lambda: lines(heard))
time.sleep(0.3)
assert lines(heard) == ['json={"listen_port":4000}'], lines(heard)
holds("qBittorrent that starts late hears of the port that the VPN forwards, once, and of no older one")
