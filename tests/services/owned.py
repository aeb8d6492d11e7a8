#!/usr/bin/python3
"""Runs the programs of the rendered tree (first argument) that find out who owns an application, and those that make somebody its
owner, against stand-ins of the applications and of plex.tv, on loopback. Prints one line for each thing that holds."""

import io
import os
import sys
from contextlib import redirect_stdout
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from unittest import mock
from xml.etree import ElementTree

sys.dont_write_bytecode = True
from standin import holds  # noqa: E402
from standins import STATE, TREE, Application, as_json, calls, run, stub, variables  # noqa: E402

PREFERENCES = "config/Library/Application Support/Plex Media Server/Preferences.xml"


def identity(claimed):
    return as_json({"MediaContainer": {"size": 0, "claimed": claimed, "machineIdentifier": "m", "version": "1.43"}})


def in_xml(claimed):
    return 200, {}, f'<?xml version="1.0"?>\n<MediaContainer size="0" claimed="{claimed}" version="1.43"/>'


PAGE = (200, {}, "<html>log in</html>")
# The question, and answers with an owner and without: as the sources of these versions give them.
TABLE = {
    "plex": (("GET", "/identity"), [identity(True), in_xml(1)], [identity(False), in_xml(0)]),
    "seerr": (("GET", "/api/v1/settings/public"), [as_json({"initialized": True})], [as_json({"initialized": False})]),
    "casaos": (
        ("GET", "/v1/users/name"),
        [as_json({"success": 200, "message": "ok", "data": ["me"]})],
        [as_json({"success": 200, "message": "ok", "data": []})],
    ),
    "tautulli": (("GET", "/auth/login"), [PAGE, (401, {}, "")], [(303, {"Location": "/"}, "")]),
    "wizarr": (("GET", "/"), [(302, {"Location": "/admin"}, "")], [(302, {"Location": "/setup/"}, "")]),
}
for service, (question, owned, free) in TABLE.items():
    application = Application({})
    neither = [(500, {}, "oh"), (404, {}, ""), *([] if service == "tautulli" else [PAGE])]
    for answers, status in ((owned, 0), (free, 3), (neither, 1)):
        for answer in answers:
            application.answers[question] = answer
            found = run(service, "owned", applications={service: application})
            assert found[0] == status, (service, answer, found)
    application.server.shutdown()
    application.server.server_close()
    assert run(service, "owned", applications={service: application})[0] == 1, service
    assert run(service, "owned")[0] == 1, service
    holds(f"{service} says whether it has an owner, and nothing else is taken for an answer")

# ---- Plex's settings ---------------------------------------------------------------------------------------------------


def attributes():
    return ElementTree.parse(STATE / "plex" / PREFERENCES).getroot().attrib


stub("systemctl")
variables("plex")
(STATE / "plex/config").mkdir()
HOME, ABROAD = "http://every.local:32400", "https://plex.example.com:443"
assert run("plex", "seed") == (0, "")
assert attributes() == {"customConnections": f"{HOME},{ABROAD}"}, attributes()
file = STATE / "plex" / PREFERENCES
file.write_text(f'<Preferences ProcessedMachineIdentifier="id&amp;" customConnections="http://mine:1, {HOME}/"/>')
assert run("plex", "seed") == (0, "")
assert attributes() == {"ProcessedMachineIdentifier": "id&", "customConnections": f"http://mine:1,{HOME}/,{ABROAD}"}, attributes()
before = file.stat().st_ino
assert run("plex", "seed") == (0, "") and file.stat().st_ino == before
file.write_text("broken <")
status, said = run("plex", "seed")
assert status == 0 and "cannot be read" in said and file.read_text() == "broken <", said
holds("Plex knows where it is reached, and keeps what its owner has written")

other = STATE / "other"
other.mkdir()
(other / "Preferences.xml").write_text('<Preferences secret="1"/>')
file.unlink()
file.symlink_to(other / "Preferences.xml")
status, said = run("plex", "seed")
assert status != 0 and (other / "Preferences.xml").read_text() == '<Preferences secret="1"/>', said
file.unlink()
folder = file.parent
folder.rmdir()
folder.symlink_to(other)
status, said = run("plex", "seed")
assert status != 0 and sorted(path.name for path in other.iterdir()) == ["Preferences.xml"], said
folder.unlink()
holds("no link that was planted is followed")

# ---- box claim plex ----------------------------------------------------------------------------------------------------

sys.path[:0] = [str(TREE / "usr/lib/boxwright"), str(TREE / "etc/boxwright/services/plex")]
spec = spec_from_loader("claim", SourceFileLoader("claim", str(TREE / "etc/boxwright/services/plex/claim")))
claim = module_from_spec(spec)
spec.loader.exec_module(claim)
assert claim.EXCHANGE == "https://plex.tv/api/claim/exchange"

TOKEN = "claim-aaaaBBBBcccc1111dddd"
ANSWER = "<response><user id='1'><authentication-token>the-server-token</authentication-token></user></response>"
server = Application({("GET", "/identity"): identity(False)})
plex_tv = Application({("POST", "/api/claim/exchange"): (201, {}, ANSWER)})


def after_a_start():
    """Plex belongs to somebody once it was started with the token."""
    started = [words for name, words, _, _ in calls() if name == "systemctl"]
    assert started == [["stop", "boxwright-service-plex.service"], ["start", "boxwright-service-plex.service"]], started
    server.answers[("GET", "/identity")] = identity("PlexOnlineToken" in attributes())
    return claim.wiring.Api("plex")


def claimed(given, exchange=None, patience=0):
    """What `claim` says of a token: what it prints, and why it failed."""
    printed = io.StringIO()
    more = {**variables("plex", {"plex": server}), "PYTHONPATH": ""}
    with (
        mock.patch.dict(os.environ, more),
        mock.patch.object(claim, "EXCHANGE", exchange or f"{plex_tv.url}/api/claim/exchange"),
        mock.patch.object(claim, "PATIENCE", patience),
        mock.patch.object(claim, "where", after_a_start),
        mock.patch.object(claim.sys, "stdin", io.StringIO(given)),
        redirect_stdout(printed),
    ):
        try:
            claim.main()
        except claim.wiring.Trouble as trouble:
            return printed.getvalue(), str(trouble)
    return printed.getvalue(), None


assert "has not made its identifier" in claimed(TOKEN)[1]
folder.mkdir()
KEPT = {"ProcessedMachineIdentifier": "0123abcd", "FriendlyName": "a \"box\" & more", "customConnections": "x"}
claim.server.keep(str(STATE / "plex"), KEPT, (os.getuid(), os.getgid()))
for given, words in (("", "no claim token"), ("me@example.com", "no claim token"), ("claim-x\n", "no claim token")):
    assert words in claimed(given)[1], given
assert plex_tv.calls == []
for answer, words in (
    ((400, {}, "<errors/>"), "good for four minutes"),
    ((503, {}, ""), "try again later"),
    ((200, {}, "<response/>"), "gave no token"),
    ((200, {}, "<html><br>captive"), "cannot be asked"),
):
    plex_tv.answers[("POST", "/api/claim/exchange")] = answer
    said = claimed(TOKEN)[1]
    assert words in said and "Nothing was changed" in said and TOKEN not in said, said
assert "cannot be asked" in claimed(TOKEN, "http://127.0.0.1:1/")[1]
assert attributes() == KEPT and calls() == []
holds("a token that is wrong or too old, and no internet, change nothing")

plex_tv.answers[("POST", "/api/claim/exchange")] = (201, {}, ANSWER)
plex_tv.calls.clear()
with mock.patch.object(claim.time, "sleep", lambda _: None):
    printed, trouble = claimed(TOKEN + "\n")
assert trouble is None and "https://plex.tv/claim" in printed and "belongs to your account now" in printed, (printed, trouble)
[(_, path, _, headers)] = plex_tv.calls
assert path.endswith(f"?token={TOKEN}") and headers["X-Plex-Client-Identifier"] == "0123abcd", (path, headers)
assert attributes() == {**KEPT, "PlexOnlineToken": "the-server-token"}, attributes()
assert file.stat().st_mode & 0o777 == 0o600 and "the-server-token" not in printed
holds("a claim token makes Plex its owner's")
assert "belongs to an account already" in claimed(TOKEN)[1] and len(plex_tv.calls) == 1
holds("Plex that has an owner is left alone")
