//! What a container may do, and as whom: privileges, namespaces, capabilities, devices, user, name look-ups.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::compose::{Report, Subject};
use super::keys::GPU_GROUP;
use super::values::{list_of, text_of};
use crate::plan::ContainerPlan;

/// Keys of a container with which it would leave its own namespaces, or take over another's, and what they may hold.
const NAMESPACES: [(&str, &[&str]); 6] = [
    ("pid", &[]),
    ("uts", &[]),
    ("ipc", &["private", "none"]),
    ("userns_mode", &[]),
    ("cgroup", &["private"]),
    ("cgroup_parent", &[]),
];

/// The graphics processor, as the box gives it.
const GRAPHICS: &str = "/dev/dri:/dev/dri";

impl Subject<'_> {
    pub(super) fn rights(&self, value: &Value, planned: &ContainerPlan, main: bool, report: &mut Report<'_>) {
        if value.get("privileged").is_some_and(|one| one != &Value::Bool(false)) {
            report.add("privileged", "it would be root on the box", "name the capabilities that it needs");
        }
        for (key, allowed) in NAMESPACES {
            let text = value.get(key).map(text_of);
            if let Some(text) = text.filter(|text| !allowed.contains(&text.as_str())) {
                report.add(
                    "host-namespace",
                    &format!("`{key}: {text}` leaves its own namespace"),
                    "remove it",
                );
            }
        }
        let added: BTreeSet<String> = list_of(value.get("cap_add")).collect();
        for capability in added.iter().filter(|one| !planned.capabilities.contains(one)) {
            let message = format!("the capability {capability} is not declared");
            report.add("undeclared-capability", &message, "add it to `capabilities` in service.toml");
        }
        for device in list_of(value.get("devices")) {
            let graphics = planned.gpu && device == GRAPHICS;
            if !graphics && !planned.devices.contains(&device) {
                let message = format!("the device {device} is not declared");
                report.add("undeclared-device", &message, "add it to `devices` in service.toml");
            }
        }
        if value.get("group_add").is_some_and(|groups| !planned.gpu || *groups != json!([GPU_GROUP])) {
            let message = "`group_add` gives it groups that were not planned";
            report.add("foreign-group", message, "remove it: the box gives the graphics processor's");
        }
        if main {
            protection(value, planned, report);
            running(value, planned, report);
        }
    }
}

/// What keeps it from gaining rights.
fn protection(value: &Value, planned: &ContainerPlan, report: &mut Report<'_>) {
    let on = ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"];
    let off = ["no-new-privileges:false", "no-new-privileges=false"];
    let options: Vec<String> = list_of(value.get("security_opt")).collect();
    let allowed = |option: &str| on.contains(&option) || !planned.no_new_privileges && off.contains(&option);
    for option in options.iter().filter(|option| !allowed(option)) {
        report.add("security-option", &format!("`{option}` takes protection away"), "remove it");
    }
    if planned.no_new_privileges && !options.iter().any(|option| on.contains(&option.as_str())) {
        let help = "write security_opt: [\"no-new-privileges:true\"]";
        report.add("security-option", "its processes could gain privileges", help);
    }
    if !list_of(value.get("cap_drop")).any(|one| one == "ALL") {
        report.add(
            "capabilities-kept",
            "Docker's usual capabilities are not dropped",
            "write cap_drop: [ALL]",
        );
    }
    if planned.read_only && value.get("read_only") != Some(&Value::Bool(true)) {
        report.add("writable-root", "service.toml says `read-only`", "write read_only: true");
    }
    if value.get("user").map(text_of) != planned.user {
        let declared = planned.user.as_deref().unwrap_or("the image's own: `starts-as-root`");
        let message = format!("its `user` is not the one of service.toml ({declared})");
        report.add("foreign-user", &message, "change it there: its folders and secrets belong to that user");
    }
}

/// What the box does for every container alike.
fn running(value: &Value, planned: &ContainerPlan, report: &mut Report<'_>) {
    let logging = json!({ "driver": "local", "options": { "max-size": "10m", "max-file": "3" } });
    let rendered =
        [("pull_policy", json!("never")), ("restart", json!("unless-stopped")), ("logging", logging)];
    for (key, expected) in rendered {
        if value.get(key) != Some(&expected) {
            let message = format!("`{key}` is not {expected}, as for every container of a box");
            report.add("box-setting", &message, "write `{{ <bw.container … /> }}`, and leave it out");
        }
    }
    let servers = match value.get("dns") {
        Some(Value::String(server)) => vec![server.clone()],
        other => list_of(other).collect(),
    };
    // An address of the container's own takes look-ups away from it; any other takes them past the box.
    let inside = |server: &String| server.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    for server in servers.iter().filter(|server| !inside(server)) {
        let message = format!("{} would look names up at {server}", planned.name);
        report.add("own-resolver", &message, "remove `dns`: the box looks names up");
    }
}
