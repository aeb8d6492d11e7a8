"""The status page of the box."""

import wiring

SLUG = "box"
# What is shown, by the kind. Whether the box is backed up is none of a visitor's business.
GROUPS = {"web": "Services", "containers": "Containers"}


def show(session, wanted, monitors, new, domain):
    """Shows the monitors `new` on it, and answers to the box's name for it; `domain` is that of the last time."""
    pages = session.told("statusPageList").values()
    fresh = SLUG not in [one["slug"] for one in pages]
    if fresh:
        session.call("addStatusPage", wanted["title"], SLUG)
    config = session.call("getStatusPage", SLUG)["config"]
    before = [] if fresh else wiring.Api("uptime-kuma").get(f"/api/status-page/{SLUG}")["publicGroupList"]
    # A page that was deleted comes back as a whole.
    groups = placed(before, monitors, set(monitors) if fresh else new)
    names = config["domainNameList"]
    if fresh or wanted["page"] != domain:
        names = [name for name in names if name != domain] + ([wanted["page"]] if wanted["page"] else [])
    if groups == before and names == config["domainNameList"]:
        return
    config |= {"domainNameList": names, "analyticsType": config.get("analyticsType")}
    session.call("saveStatusPage", SLUG, config, config["icon"], groups)


def placed(before, monitors, new):
    """The groups with the monitors `new` in them, each with its like."""
    groups = [group | {"monitorList": list(group["monitorList"])} for group in before]
    there = {one["id"] for group in groups for one in group["monitorList"]}
    for key in sorted(new, key=list(monitors).index):
        kind = key.rpartition("/")[2]
        if monitors[key] in there or kind not in GROUPS:
            continue
        group = like(groups, kind, monitors)
        if group is None:
            group = {"name": GROUPS[kind], "monitorList": []}
            groups.append(group)
        group["monitorList"].append({"id": monitors[key]})
    return groups


def like(groups, kind, monitors):
    """The group that has others of the kind, whatever the owner calls it; or the one of its first name."""
    ids = {number for key, number in monitors.items() if key.rpartition("/")[2] == kind}
    for group in groups:
        if any(one["id"] in ids for one in group["monitorList"]):
            return group
    return next((group for group in groups if group["name"] == GROUPS[kind]), None)
