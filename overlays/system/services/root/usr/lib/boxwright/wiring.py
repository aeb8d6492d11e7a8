"""What the services' `setup` programs share: they talk to applications over HTTP, and may run any number of times.

In: URLS (JSON: where the box reaches the service and those that it talks to), SECRETS (a folder of files), and ROTATED (the name
of the one that has a new value, if that is why the program runs). Applications are told names, never these addresses. A failure is one sentence on standard error; whoever started the program tries it again.
"""

import http.client
import json
import os
import pathlib
import sys
import urllib.error
import urllib.parse
import urllib.request

import inside

SECONDS = 15
# The exit status for what only the owner can do: it is not tried again.
LEFT = 4
# The exit status of an `owned` for "nobody yet".
NOBODY = 3


class Trouble(Exception):
    """Why it cannot be done yet, for `box status`."""


class Left(Trouble):
    """What only the owner can do."""


class Refused(Trouble):
    """An answer that is no success."""

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


def secret(name):
    """A secret's value, or nothing where there is none."""
    try:
        return (pathlib.Path(os.environ["SECRETS"]) / name).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def rotated(name):
    """Whether this run is there because the owner has handed over a new value of that secret."""
    return os.environ.get("ROTATED") == name


def needed(name):
    """A secret that must be there."""
    value = secret(name)
    if value is None:
        raise Trouble(f"the secret {name} is not here yet")
    return value


class Api:
    """One application."""

    def __init__(self, service, headers=None):
        url = json.loads(os.environ["URLS"]).get(service)
        if url is None:
            raise Trouble(f"{service} does not run yet")
        self.service, self.url, self.headers = service, url, dict(headers or {})
        # The port is the same by name and by address.
        self.port = urllib.parse.urlsplit(url).port

    def call(self, method, path, body=None):
        """The answer: decoded JSON, text where it is none, or nothing where it is empty."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", **self.headers}
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise Refused(f"{self.service} answered {error.code} to {method} {path}: {reason(error)}", error.code) from None
        except (urllib.error.URLError, OSError) as error:
            raise Trouble(f"{self.service} cannot be reached: {getattr(error, 'reason', error)}") from None
        try:
            return json.loads(text) if text else None
        except ValueError:
            return text

    def look(self, path):
        """The status of an answer and where it sends a browser, without going there."""
        there = urllib.parse.urlsplit(self.url)
        kind = http.client.HTTPSConnection if there.scheme == "https" else http.client.HTTPConnection
        connection = kind(there.hostname, there.port, timeout=SECONDS)
        try:
            connection.request("GET", path, headers=self.headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Location") or ""
        except (OSError, http.client.HTTPException) as error:
            raise Trouble(f"{self.service} cannot be reached: {error}") from None
        finally:
            connection.close()

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body=None):
        return self.call("POST", path, {} if body is None else body)

    def put(self, path, body):
        return self.call("PUT", path, body)


def reason(error):
    """What an application says of a refusal, in one line and never long."""
    text = error.read(4000).decode(errors="replace")
    try:
        found = json.loads(text)
        found = found[0] if isinstance(found, list) and found else found
        text = str(found.get("errorMessage") or found.get("message") or text) if isinstance(found, dict) else text
    except ValueError:
        pass
    return " ".join(text.split())[:200]


def run(main):
    """Runs `main`; what it cannot do yet is one sentence and the exit code 1."""
    try:
        main()
    except Left as left:
        print(left, file=sys.stderr)
        sys.exit(LEFT)
    except Trouble as trouble:
        sys.exit(str(trouble))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, StopIteration) as error:
        sys.exit(f"an application answered something else than expected: {type(error).__name__} {error}")


def whether(main):
    """Runs an `owned`: there is an owner where `main` says so; what cannot be told changes nothing."""

    def answer():
        sys.exit(0 if main() else NOBODY)

    run(answer)


# ---- Sonarr, Radarr and Prowlarr have one API ------------------------------------------------------------------------


def owner(api, base):
    """The owner's account: without one, the first visitor is asked to make it."""
    host = api.get(f"{base}/config/host")
    if host["authenticationMethod"] == "forms" and host.get("username"):
        return
    password = needed("password")
    host |= {"authenticationMethod": "forms", "authenticationRequired": "enabled", "username": "admin"}
    api.put(f"{base}/config/host/{host['id']}", host | {"password": password, "passwordConfirmation": password})


def new_password(api, base, user, password):
    """Gives the one account that there is a new password."""
    host = api.get(f"{base}/config/host")
    if host.get("username") != user:
        raise Trouble(f"{api.service} has one account, and its name is {host.get('username') or 'not set yet'}")
    api.put(f"{base}/config/host/{host['id']}", host | {"password": password, "passwordConfirmation": password})


def provider(api, path, kind, values, more=None):
    """A download client or an application of the implementation `kind`, with these values; one that is there stays as its owner
    has it, but for where it finds the other."""
    places = {key: value for key, value in values.items() if key in PLACES}
    for one in api.get(path):
        if one["implementation"] != kind:
            continue
        fields = {field["name"]: field.get("value") for field in one["fields"]}
        if any(fields.get(key) != value for key, value in places.items()):
            # Without its secrets it could not be tried there.
            api.put(f"{path}/{one['id']}", filled(one, {key: values[key] for key in values if key in PLACES + SECRETS}))
        return
    for one in api.get(f"{path}/schema"):
        if one["implementation"] == kind:
            api.post(path, filled(one, values) | {"name": kind, "enable": True} | (more or {}))
            return
    raise Trouble(f"{api.service} knows no {kind}")


# Fields that say where the other is: the box's affair, while all others are the owner's once they are there.
PLACES = ("host", "port", "baseUrl", "prowlarrUrl")
# Fields that an API never shows again.
SECRETS = ("password", "apiKey")


def filled(one, values):
    known = {field["name"] for field in one["fields"]}
    if missing := sorted(set(values) - known):
        raise Trouble(f"{one['implementation']} has no field {', '.join(missing)}: its API has changed")
    fields = [{**field, "value": values[field["name"]]} if field["name"] in values else field for field in one["fields"]]
    return one | {"fields": fields}


def library(api, base, disk, folder, path):
    """Where its library is, unless its owner has chosen a place: `folder` of the disk that is mounted at `disk` is `path` in the
    container."""
    if api.get(f"{base}/rootfolder"):
        return
    try:
        owner = int(os.environ["OWNER_UID"]), int(os.environ["OWNER_GID"])
        with inside.folder(disk, folder, owner, 0o755, inside.HELD):
            pass
    except OSError as error:
        raise Trouble(f"its library {disk}/{folder} cannot be used, and no link is followed there: {error.strerror}") from None
    api.post(f"{base}/rootfolder", {"path": path})
