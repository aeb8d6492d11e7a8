//! One service's Compose file against its plan: networks, ports, paths, rights.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Breach;
use super::addresses;
use crate::plan::{ContainerPlan, DOCKER_SOCKET, Plan, ServicePlan, VolumeKind};
use crate::profile::{DiskSource, Profile};

/// What a Compose file is held against.
pub(super) struct Subject<'a> {
    pub(super) service: &'a ServicePlan,
    pub(super) plan: &'a Plan,
    pub(super) profile: &'a Profile,
    /// Whether its owner takes on what Docker's socket gives away.
    pub(super) socket: bool,
}

/// Breaches about one container.
struct Report<'a> {
    service: &'a str,
    place: String,
    list: &'a mut Vec<Breach>,
}

impl Report<'_> {
    fn add(&mut self, code: &'static str, message: &str, help: &'static str) {
        let message = format!("{}: {message}", self.place);
        self.list.push(Breach { service: self.service.to_owned(), code, message, help });
    }
}

/// Keys of a container with which it would leave its own namespaces, or take over another's, and what they may hold.
const NAMESPACES: [(&str, &[&str]); 6] = [
    ("pid", &[]),
    ("uts", &[]),
    ("ipc", &["private", "none"]),
    ("userns_mode", &[]),
    ("cgroup", &["private"]),
    ("cgroup_parent", &[]),
];

/// Keys that bring in what is not in the file: it could not be checked.
const FOREIGN: [&str; 6] = ["build", "env_file", "extends", "volumes_from", "external_links", "develop"];

impl Subject<'_> {
    /// Checks the whole file.
    pub(super) fn file(&self, name: &str, file: &Value, list: &mut Vec<Breach>) {
        let mut report = Report { service: &self.service.name, place: name.to_owned(), list };
        let main = name == "compose.yaml";
        if file.get("include").is_some() {
            report.add("foreign-definition", "`include` brings in other files", "write it all into one file");
        }
        self.own_networks(file, &mut report);
        let none = serde_json::Map::new();
        let containers = file.get("services").and_then(Value::as_object).unwrap_or(&none);
        for (key, value) in containers {
            report.place = format!("{name}, services.{key}");
            let Some(planned) = self.service.containers.iter().find(|one| one.key == *key) else {
                let help = "declare it in service.toml under [containers]: what is not declared is neither locked nor watched";
                report.add("unknown-container", "service.toml has no such container", help);
                continue;
            };
            self.rights(value, planned, main, &mut report);
            self.networks(value, planned, main, &mut report);
            self.ports(value, planned, &mut report);
            self.paths(value, planned, &mut report);
            addresses::in_container(value, self.plan, |message| {
                report.add("address-for-name", message, "write the name: containers find each other by it");
            });
        }
        for planned in self.service.containers.iter().filter(|one| main && !containers.contains_key(&one.key))
        {
            report.place = format!("{name}, services.{}", planned.key);
            report.add("missing-container", "service.toml declares it", "add it to the template");
        }
    }

    /// Networks are made by the box, with fixed addresses and rules in the firewall; a file only uses them.
    fn own_networks(&self, file: &Value, report: &mut Report<'_>) {
        let help = "write `{{ <bw.rest service={service} /> }}` at the end of the template";
        for (name, value) in file.get("networks").and_then(Value::as_object).into_iter().flatten() {
            let external = value.get("external") == Some(&Value::Bool(true)) && value.get("name").is_none();
            if !external || !self.service.networks.contains(name) {
                report.add("foreign-network", &format!("the network `{name}` is not the plan's"), help);
            }
        }
        for name in file.get("volumes").and_then(Value::as_object).into_iter().flat_map(|map| map.keys()) {
            let message = format!("`{name}` is a volume of Docker's own: no backup finds it");
            report.add("named-volume", &message, "declare a `state` volume in service.toml");
        }
    }

    fn rights(&self, value: &Value, planned: &ContainerPlan, main: bool, report: &mut Report<'_>) {
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
        for key in FOREIGN.into_iter().filter(|key| value.get(key).is_some()) {
            let message = format!("`{key}` brings in what is not in the file");
            report.add("foreign-definition", &message, "write it out, or use a rendered file");
        }
        for option in
            list_of(value.get("security_opt")).filter(|option| !option.starts_with("no-new-privileges"))
        {
            report.add("security-option", &format!("`{option}` takes protection away"), "remove it");
        }
        let added: BTreeSet<String> = list_of(value.get("cap_add")).collect();
        for capability in added.iter().filter(|one| !planned.capabilities.contains(one)) {
            let message = format!("the capability {capability} is not declared");
            report.add("undeclared-capability", &message, "add it to `capabilities` in service.toml");
        }
        for device in list_of(value.get("devices")) {
            let graphics = planned.gpu && device.starts_with("/dev/dri");
            if !graphics && !planned.devices.contains(&device) {
                let message = format!("the device {device} is not declared");
                report.add("undeclared-device", &message, "add it to `devices` in service.toml");
            }
        }
        if !main {
            return;
        }
        if !list_of(value.get("cap_drop")).any(|one| one == "ALL") {
            report.add(
                "capabilities-kept",
                "Docker's usual capabilities are not dropped",
                "write cap_drop: [ALL]",
            );
        }
        if value.get("image").map(text_of).as_ref() != Some(&planned.image) {
            report.add(
                "unlocked-image",
                "its image is not the one in service.toml, which is locked",
                "use that one",
            );
        }
        let label = value.get("labels").and_then(|labels| labels.get("boxwright.service")).map(text_of);
        if label.as_ref() != Some(&self.service.name)
            || value.get("container_name").map(text_of).as_ref() != Some(&planned.name)
        {
            let help = "write `{{ <bw.container service={service} key=\"…\" /> }}` first in each container";
            report.add(
                "unwatched-container",
                "it has neither the label nor the name by which the box watches it",
                help,
            );
        }
    }

    fn networks(&self, value: &Value, planned: &ContainerPlan, main: bool, report: &mut Report<'_>) {
        let joined = names_of(value.get("networks"));
        let agreed: BTreeSet<String> = planned.networks.iter().map(|network| network.name.clone()).collect();
        let mode = value.get("network_mode").map(text_of);
        let expected = planned.namespace.as_ref().map(|holder| format!("container:{holder}"));
        match (&mode, &expected) {
            (Some(mode), _) if mode == "host" => {
                report.add("host-network", "it would be on the box's own network", "remove `network_mode`");
            }
            (Some(mode), Some(expected)) if mode == expected => {}
            (Some(mode), _) if mode == "none" => {}
            (Some(mode), _) => {
                let message = format!("`network_mode: {mode}` is not what was planned");
                report.add(
                    "foreign-network",
                    &message,
                    "remove it, or write `egress = \"vpn\"` in the profile",
                );
            }
            (None, Some(expected)) if main => {
                let message = format!("it leaves through the VPN, and is not in its namespace ({expected})");
                report.add("outside-the-vpn", &message, "write `{{ <bw.container … /> }}`");
            }
            (None, _) => {}
        }
        for name in joined.difference(&agreed) {
            let message = format!("it joins `{name}`, which is not one of its networks");
            report.add("foreign-network", &message, "say in `talks-to` whom it needs");
        }
        if main && mode.is_none() && joined.is_empty() {
            let message = "without `networks` it would be on a network of Docker's own";
            report.add("foreign-network", message, "write `{{ <bw.container … /> }}`");
        }
        let alone = |network: &&crate::plan::NetworkPlan| {
            joined.contains(&network.name)
                && network.members.iter().any(|one| one.service != self.service.name)
        };
        for network in self.plan.networks.iter().filter(alone).filter(|_| planned.private) {
            let message = format!("it is private, and shares `{}` with another service", network.name);
            report.add("database-in-reach", &message, "leave it on the service's `_db` network alone");
        }
    }

    fn ports(&self, value: &Value, planned: &ContainerPlan, report: &mut Report<'_>) {
        let published = value.get("ports").and_then(Value::as_array).into_iter().flatten();
        for port in published {
            let text = text_of(port);
            let agreed = planned.ports.iter().any(|one| {
                let (protocol, inside) = (one.protocol.to_string(), one.container_port);
                let short = format!("0.0.0.0:{}:{inside}/{protocol}", one.port);
                let long = |key: &str| port.get(key).map(text_of).unwrap_or_default();
                text == short
                    || (long("host_ip") == "0.0.0.0"
                        && long("published") == one.port.to_string()
                        && long("target") == inside.to_string()
                        && (long("protocol") == protocol))
            });
            if !agreed {
                let help =
                    "open it in the profile with `lan` or `edge`; its form is \"0.0.0.0:PORT:PORT/tcp\"";
                report.add("unnamed-port", &format!("the profile does not open the port {text}"), help);
            }
        }
    }

    fn paths(&self, value: &Value, planned: &ContainerPlan, report: &mut Report<'_>) {
        for volume in value.get("volumes").and_then(Value::as_array).into_iter().flatten() {
            let short = volume.as_str().map(|text| text.split(':').next().unwrap_or_default().to_owned());
            let long = || volume.get("source").map(text_of).unwrap_or_default();
            let source = short.clone().unwrap_or_else(long);
            let kind = volume.get("type").map(text_of);
            if kind.as_deref() == Some("tmpfs") {
                continue;
            }
            if holds_socket(&source) {
                let allowed = self.socket && planned.volumes.iter().any(|one| one.kind == VolumeKind::Socket);
                if !allowed || source != DOCKER_SOCKET {
                    let message = format!("{source} would give it Docker's socket, and with it the box");
                    report.add("docker-socket", &message, "take it out: `docker-socket` in service.toml and `accept` in the profile are for what cannot do without");
                }
                continue;
            }
            if !self.may_use(&source, planned) {
                let message = format!("{source} is neither its state, nor its disk, nor a file of its own");
                report.add("foreign-path", &message, "declare it under `volumes` in service.toml");
            }
            let create = volume.get("bind").and_then(|bind| bind.get("create_host_path"));
            if short.is_some() || create != Some(&Value::Bool(false)) {
                let message = format!("Docker would make {source} where a disk is missing");
                report.add(
                    "path-made",
                    &message,
                    "write the long form with bind: { create_host_path: false }",
                );
            }
            if planned.private && self.on_a_share(&source, planned) {
                let message = format!("{source} is on a disk in the network, which databases do not survive");
                report.add("database-on-a-share", &message, "keep it in a `state` folder");
            }
        }
    }

    /// Of a disk only all of it, or what the plan has mounted: a path on it leads where a container wants.
    fn may_use(&self, source: &str, planned: &ContainerPlan) -> bool {
        let name = &self.service.name;
        let own = [
            self.service.state.clone(),
            format!("/etc/boxwright/services/{name}"),
            format!("/run/boxwright/secrets/{name}"),
        ];
        let whole = self.service.disks.iter().any(|disk| disk.path == source);
        let mounted = planned.volumes.iter().any(|volume| volume.given == source);
        let below = |folder: String| {
            source == folder || source.strip_prefix(&folder).is_some_and(|rest| rest.starts_with('/'))
        };
        whole || mounted || (!source.split('/').any(|part| part == "..") && own.into_iter().any(below))
    }

    fn on_a_share(&self, source: &str, planned: &ContainerPlan) -> bool {
        let known = planned.volumes.iter().find(|volume| volume.given == source);
        let source = known.map_or(source, |volume| &volume.source);
        self.service.disks.iter().filter(|disk| source.starts_with(&disk.path)).any(|disk| {
            let planned = self.profile.disks.get(&disk.name).and_then(|disk| disk.source());
            matches!(planned, Some(DiskSource::Nfs(_) | DiskSource::Cifs(_)))
        })
    }
}

/// Whether a path is Docker's socket, or a folder that has it.
fn holds_socket(source: &str) -> bool {
    let path = source.trim_end_matches('/');
    ["", "/run", "/var", "/var/run", "/run/docker.sock", "/var/run/docker.sock", "/run/containerd"]
        .contains(&path)
        || path.ends_with(".sock")
}

/// A scalar as text.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A list of texts.
fn list_of(value: Option<&Value>) -> impl Iterator<Item = String> {
    value.and_then(Value::as_array).into_iter().flatten().map(text_of)
}

/// The names in a list, or the keys of a map.
fn names_of(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        other => list_of(other).collect(),
    }
}
