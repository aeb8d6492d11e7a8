"""Containers that crash again and again. Docker starts them anew at once, so that each look finds them `starting`, or even healthy."""

# What is remembered: the last so many looks, one each half minute.
LOOKS, SECONDS = 20, 30
# So many crashes within them are too many, as long as one of them is among the last few looks.
CRASHES, RECENT = 3, 4
# What Docker takes where a health check does not say: interval and timeout in nanoseconds, and how many failures in a row.
INTERVAL, TIMEOUT, RETRIES = 30 * 10**9, 30 * 10**9, 3


def remember(one, word, before):
    """What is kept of a container until the next look: which one it is, how often Docker had started it anew at each look, and for
    how many looks in a row it has not been healthy. What began anew begins anew here."""
    count, past = one.get("RestartCount", 0), before.get("restarts", [])
    if before.get("id") != one.get("Id") or past and count < past[-1]:
        before, past = {}, []
    unready = before.get("unready", 0) + 1 if word else 0
    return {"id": one.get("Id"), "restarts": [*past, count][-LOOKS:], "unready": unready}


def allowed(one):
    """Seconds after which a container that starts once is healthy or unhealthy."""
    check = one.get("Config", {}).get("Healthcheck") or {}
    each = (check.get("Interval") or INTERVAL) + (check.get("Timeout") or TIMEOUT)
    return ((check.get("StartPeriod") or 0) + ((check.get("Retries") or RETRIES) + 1) * each) / 10**9


def judge(one, word, past):
    """The word for a container, of which `word` is what this look alone says."""
    if word not in (None, "starting"):
        return word
    restarts = past["restarts"]
    if restarts[-1] - restarts[0] >= CRASHES and (word or restarts[-1] > restarts[-RECENT:][0]):
        return "restarting"
    return "unhealthy" if word and past["unready"] * SECONDS > allowed(one) else word
