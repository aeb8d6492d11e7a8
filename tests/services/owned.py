#!/usr/bin/python3
"""Runs the programs of the rendered tree (first argument) that find out who owns an application,
against stand-ins of the applications, on loopback. Prints one line for each thing that holds."""

import sys

sys.dont_write_bytecode = True
from standins import Application, as_json, holds, run  # noqa: E402


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
