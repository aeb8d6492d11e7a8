"""What the owner of a service does by hand: come in before the tunnel leads there, tie it to an account elsewhere, give an account a
new password, and read what it writes."""

import json
import os
import pathlib
import secrets
import subprocess
import urllib.parse

from services import gate, start, steps
from services.config import RUN, fail, planned

BOX = pathlib.Path("/etc/boxwright/box.json")
# No two of these look alike.
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
LENGTH = 20


def able(flag):
    """The services of this box that have a program, in words."""
    return ", ".join(name for name, service in planned().items() if service[flag]) or "none"


def way_in(service):
    """Says how a browser on the owner's own computer reaches it: through SSH, and at home where a port is open."""
    name, exposure = service["name"], service["exposure"]
    if not exposure:
        fail(f"{service['title']} has no page to open")
    url = steps.urls(service).get(name)
    if not url:
        fail(f"{service['title']} does not run: see `box status`")
    box = json.loads(BOX.read_text(encoding="utf-8"))
    there = urllib.parse.urlsplit(url)
    # A port below 1024 is root's on the other computer too.
    port = there.port if there.port > 1023 else there.port + 8000
    user = os.environ.get("SUDO_USER") or next(iter(box["admins"]), "ADMIN")
    host = box["ssh"]["hostname"] or f"{box['name']}.local"
    print("On your own computer, add -L to the command that you log in with, and leave it open:")
    print(f"\n    ssh -L {port}:{there.hostname}:{there.port} {user}@{host}\n")
    print(f"Then open there: {there.scheme}://localhost:{port}")
    if any((one["service"], one["port"], one["source"]) == (name, there.port, "lan") for one in box["ports"]):
        print(f"Or, at home: {there.scheme}://{box['name']}.local:{there.port}")
    if gate.closed(service):
        print("Make the owner's account. The host name leads there within two minutes: the tunnel starts again for it.")


def claim(service):
    """Runs its `claim`, which asks on this terminal."""
    if not service["claim"]:
        fail(f"{service['title']} is not tied to an account elsewhere; what is: {able('claim')}")
    by_hand(service, "claim")


def reset_login(service, user):
    """Gives an account a new password: what `box login` tells for the one that the box made, and a new one for others."""
    if not service["reset_login"]:
        instead = service["lost_login"] or "it has no passwords that the box could change"
        fail(f"{service['title']}: {instead}\n(box reset-login works for: {able('reset_login')})")
    if not user.isprintable() or not user.strip() or user.startswith("-"):
        fail("this is no user name")
    account = (service["exposure"] or {}).get("owner") or {}
    mine = account.get("user") == user
    if mine:
        password = (RUN / "secrets" / service["name"] / account["secret"]).read_text(encoding="utf-8").strip()
    else:
        password = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
    by_hand(service, "reset-login", [user], input=password + "\n", text=True)
    print(f"user      {user}\npassword  {password}")
    print(f"(as `box login {service['name']}` tells it)" if mine else "It is shown this once.")


def by_hand(service, program, arguments=(), **options):
    """Runs a program that its owner asked for; it has said itself why it failed."""
    more = {"URLS": json.dumps(steps.urls(service), sort_keys=True), "UNIT": service["unit"]}
    try:
        steps.run(service, program, more, arguments, **options)
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode if 0 < error.returncode < 128 else 1) from None


def logs(service):
    """Shows the last lines of its unit and of its containers, and those that come, until it is interrupted."""
    with subprocess.Popen(["journalctl", "--follow", "--lines=100", "--unit", service["unit"]]) as journal:
        try:
            # What has the role `backup` is a program, and no container.
            if service["role"] != "backup":
                start.compose(service, {}, "logs", "--follow", "--tail", "100")
            journal.wait()
        except KeyboardInterrupt:
            pass
        finally:
            journal.terminate()
