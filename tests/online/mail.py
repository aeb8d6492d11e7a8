#!/usr/bin/python3
"""As much of SMTP as a login needs: PORT's first line out, then STARTTLS or TLS, and AUTH PLAIN for one user.

mail.py CERTIFICATE KEY USER PASSWORD starttls|tls|open. What clients send is printed, a verb a line. `open` protects nothing.
"""

import base64
import socketserver
import ssl
import sys

certificate, key, user, password, security = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


class Mail(socketserver.StreamRequestHandler):
    def secure(self):
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")
        self.wfile.flush()

    def handle(self):
        try:
            self.talk()
        except (OSError, ssl.SSLError):
            pass

    def talk(self):
        secured = security != "starttls"
        if security == "tls":
            self.secure()
        self.say("220 mail.test")
        while line := self.rfile.readline().decode().strip():
            words = line.split()
            print(words[0].upper(), flush=True)
            if words[0].upper() == "EHLO":
                self.say("250-mail.test")
                self.say("250 AUTH PLAIN" if secured else "250 STARTTLS")
            elif words[0].upper() == "STARTTLS":
                self.say("220 go")
                self.secure()
                secured = True
            elif words[0].upper() == "AUTH":
                good = base64.b64decode(words[2]) == f"\0{user}\0{password}".encode()
                self.say("235 ok" if good else f"535 5.7.8 not you, {words[2]}")
            elif words[0].upper() == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Mail)
print(server.server_address[1], flush=True)
server.serve_forever()
