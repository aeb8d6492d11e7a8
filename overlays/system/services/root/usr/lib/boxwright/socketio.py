"""A client of socket.io, for applications that offer nothing else: engine.io 4 over plain HTTP requests ("polling"), which each
server of it speaks. Text only; one call at a time.

Whatever goes wrong is a `wiring.Trouble`: one sentence, without anything that was sent.
"""

import json
import time
import urllib.error
import urllib.request

import wiring

# Between the packets of one answer.
BETWEEN = "\x1e"
# Kinds of packets: of engine.io, and within its messages of socket.io.
OPEN, CLOSE, PING, PONG, MESSAGE = "0", "1", "2", "3", "4"
CONNECT, DISCONNECT, EVENT, REPLY, REFUSED = "0", "1", "2", "3", "4"
# Seconds that an answer may take; a server that has nothing to say pings before that.
SECONDS = 30


class Client:
    """One connection. `events` has what the server last said under each name."""

    def __init__(self, service, url):
        self.service, self.address = service, url + "/socket.io/?EIO=4&transport=polling"
        self.events, self.replies, self.calls = {}, {}, 0
        self.connected = False
        opened = self.request()
        if not opened.startswith(OPEN):
            raise wiring.Trouble(f"{service} does not speak socket.io")
        self.address += "&sid=" + json.loads(opened.split(BETWEEN)[0][1:])["sid"]
        self.send(MESSAGE + CONNECT)
        self.until(lambda: self.connected)

    def request(self, text=None):
        """Sends packets, or waits for some."""
        headers = {} if text is None else {"Content-Type": "text/plain;charset=UTF-8"}
        request = urllib.request.Request(self.address, None if text is None else text.encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise wiring.Trouble(f"{self.service} answered {error.code} to socket.io") from None
        except (urllib.error.URLError, OSError) as error:
            raise wiring.Trouble(f"{self.service} cannot be reached: {getattr(error, 'reason', error)}") from None

    def send(self, packet):
        self.request(packet)

    def until(self, true):
        """Takes what comes until something is so."""
        latest = time.monotonic() + SECONDS
        while not true():
            if time.monotonic() > latest:
                raise wiring.Trouble(f"{self.service} did not answer within {SECONDS} s")
            for packet in self.request().split(BETWEEN):
                self.take(packet)

    def take(self, packet):
        kind, rest = packet[:1], packet[1:]
        if kind == PING:
            self.send(PONG)
        elif kind == CLOSE or (kind == MESSAGE and rest[:1] in (DISCONNECT, REFUSED)):
            raise wiring.Trouble(f"{self.service} closed the connection")
        elif kind == MESSAGE and rest[:1] == CONNECT:
            self.connected = True
        elif kind == MESSAGE and rest[:1] == EVENT:
            name, *values = json.loads(rest[1:].lstrip("0123456789"))
            self.events[name] = values
        elif kind == MESSAGE and rest[:1] == REPLY:
            number = rest[1 : rest.index("[")]
            self.replies[int(number)] = json.loads(rest[1 + len(number) :])

    def wait(self, *names):
        """Waits for an event of one of these names."""
        self.until(lambda: any(name in self.events for name in names))

    def call(self, name, *values):
        """Asks for something. Returns the values of the reply."""
        number, self.calls = self.calls, self.calls + 1
        self.send(f"{MESSAGE}{EVENT}{number}{json.dumps([name, *values])}")
        self.until(lambda: number in self.replies)
        return self.replies.pop(number)

    def close(self):
        self.send(MESSAGE + DISCONNECT)
