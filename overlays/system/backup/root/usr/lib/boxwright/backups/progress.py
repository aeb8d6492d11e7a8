"""How far a restore is: on the consoles, and for `box status` in /run/boxwright/restore.json."""

import json
import os
import subprocess
import threading

from backups.config import STATE, amount, say
from services.config import RUN, write

SHOWN = RUN / "restore.json"
SAY = "/usr/lib/boxwright/say"
# Seconds between two looks, and the steps that are told, in percent.
LOOK, STEP = 5, 10


class Progress:
    """Bytes that have come are told by the room that has gone: what fetches says nothing before its end."""

    def __init__(self):
        self.title, self.before, self.bytes, self.total = "", 0, 0, 0
        self.told = None

    def wait(self, why):
        self.before = self.bytes = 0
        self.show(f"waits: {why}")

    def skip(self, size):
        self.before += size

    def begin(self, title, size, total):
        self.title, self.bytes, self.total, self.told = title, size, total, None

    def __enter__(self):
        self.free, self.stop = self.room(), threading.Event()
        self.look()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.before += self.bytes

    def watch(self):
        while not self.stop.wait(LOOK):
            self.look()

    def room(self):
        free = os.statvfs(STATE)
        return free.f_bavail * free.f_frsize

    def look(self):
        come = self.before + max(0, min(self.free - self.room(), self.bytes))
        percent = 100 * come // self.total // STEP * STEP if self.total else 0
        if percent != self.told:
            self.told = percent
            text = f"{self.title}: {percent} % of {amount(self.total)}"
            self.show(text)
            self.loudly(f"restore: {text}")

    def show(self, text):
        write(SHOWN, json.dumps({"text": text}) + "\n")

    def loudly(self, sentence):
        """On the consoles and in the journal."""
        say(sentence)
        subprocess.run([SAY, sentence], check=False)

    def end(self, sentence):
        SHOWN.unlink(missing_ok=True)
        self.loudly(f"restore: {sentence}")
