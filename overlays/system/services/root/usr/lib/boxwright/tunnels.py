"""What a cloudflared serves, held against the rules of the release: Cloudflare's dashboard can give a tunnel other rules than its file."""

import collections
import json
import urllib.request

Rule = collections.namedtuple("Rule", "hostname path service required team aud")
# What every tunnel answers where no rule fits.
REST = Rule("", "", "http_status:404", False, "", ())


class Silent(Exception):
    """Why a cloudflared does not say what it serves."""


def wanted(entry):
    """A rule as the release's lists have it, in JSON."""
    access = entry["access"] or {"team": "", "aud": []}
    return Rule(entry["hostname"], entry["path"] or "", entry["service"], bool(entry["access"]), access["team"], tuple(access["aud"]))


def served(config):
    """The rules of what cloudflared prints at /config."""
    for rule in config.get("ingress") or []:
        access = (rule.get("originRequest") or {}).get("access") or {}
        required = bool(access.get("required"))
        who = (access.get("teamName") or "", tuple(access.get("audTag") or [])) if required else ("", ())
        yield Rule(rule.get("hostname") or "", rule.get("path") or "", rule.get("service") or "", required, *who)


def ask(address):
    """What the cloudflared serves whose metrics are at an address (host:port)."""
    try:
        with urllib.request.urlopen(f"http://{address}/config", timeout=10) as answer:
            return list(served(json.load(answer)["config"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Silent(f"cloudflared does not say what it serves: {error}") from None


def difference(rules, got):
    """One sentence about the first rule that is not as it should be, or nothing."""
    for rule in got:
        if rule not in rules:
            return f"{rule.hostname or 'everything else'} leads to {rule.service}{'' if rule.required else ' for everyone'}"
    for rule in rules:
        if rule not in got:
            return f"{rule.hostname or 'everything else'} does not lead to {rule.service} any more"
    return None if rules == got else "the order of the rules is another"


def blame(found):
    """What a difference means, for the owner."""
    return f"the tunnel has rules that are not of this release ({found}): someone may have changed it in Cloudflare's dashboard"
