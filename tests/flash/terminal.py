"""Runs a program on a terminal, chooses DEVICE from its list, and types ANSWER when it asks to confirm.

    terminal.py DEVICE ANSWER PROGRAM…

What the program prints is printed; its exit code is this one's. ^C as the answer is Ctrl-C.
"""

import os
import pty
import re
import sys


def main():
    device, answer, *program = sys.argv[1:]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(program[0], program)
    seen, asked = "", 0
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data.decode(errors="replace")
        if asked == 0 and re.search(r"write to which one[^\n]*[\])?] $", seen):
            number = re.search(rf"^\s*(\d+)\s+{re.escape(device)}\s", seen, re.MULTILINE).group(1)
            # What is none of them is asked again.
            os.write(terminal, b"99\n")
            os.write(terminal, f"{number}\n".encode())
            asked = 1
        elif asked == 1 and re.search(r"type [^\n]*: $", seen):
            os.write(terminal, b"\x03" if answer == "^C" else f"{answer}\n".encode())
            asked = 2
    print(seen)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


main()
