//! One service's Compose file against its plan: what it is made of, which networks it joins, which ports it opens.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::values::{names_of, text_of};
use super::{Breach, addresses, keys};
use crate::catalog::known;
use crate::plan::{ContainerPlan, Plan, ServicePlan};
use crate::profile::Profile;

/// The file that has every container; a second one only adds to them.
pub(super) const MAIN: &str = "compose.yaml";

/// What a Compose file is held against.
pub(super) struct Subject<'a> {
    pub(super) service: &'a ServicePlan,
    pub(super) plan: &'a Plan,
    pub(super) profile: &'a Profile,
    /// Whether its owner takes on what Docker's socket gives away.
    pub(super) socket: bool,
}

/// Breaches about one container.
pub(super) struct Report<'a> {
    service: &'a str,
    place: String,
    list: &'a mut Vec<Breach>,
}

impl Report<'_> {
    pub(super) fn add(&mut self, code: &'static str, message: &str, help: &'static str) {
        let message = format!("{}: {message}", self.place);
        self.list.push(Breach { service: self.service.to_owned(), code, message, help });
    }
}

impl Subject<'_> {
    /// Checks the whole file.
    pub(super) fn file(&self, name: &str, file: &Value, list: &mut Vec<Breach>) {
        let mut report = Report { service: &self.service.name, place: name.to_owned(), list };
        let main = name == MAIN;
        keys::of_file(file, &mut report);
        self.top(file, main, &mut report);
        let none = serde_json::Map::new();
        let containers = file.get("services").and_then(Value::as_object).unwrap_or(&none);
        for (key, value) in containers {
            report.place = format!("{name}, services.{key}");
            let Some(planned) = self.service.containers.iter().find(|one| one.key == *key) else {
                let help = "declare it in service.toml under [containers]: what is not declared is neither locked nor watched";
                report.add("unknown-container", "service.toml has no such container", help);
                continue;
            };
            keys::of_container(value, main, &mut report);
            self.rights(value, planned, main, &mut report);
            if main {
                self.identity(value, planned, &mut report);
            }
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

    /// Networks and secrets are made by the box, with fixed addresses, owners and rules in the firewall; a file only uses them.
    fn top(&self, file: &Value, main: bool, report: &mut Report<'_>) {
        let help = "write `{{ <bw.rest service={service} /> }}` at the end of the template";
        for (name, value) in file.get("networks").and_then(Value::as_object).into_iter().flatten() {
            if *value != json!({ "external": true }) || !self.service.networks.contains(name) {
                report.add("foreign-network", &format!("the network `{name}` is not the plan's"), help);
            }
        }
        for name in file.get("volumes").and_then(Value::as_object).into_iter().flat_map(|map| map.keys()) {
            let message = format!("`{name}` is a volume of Docker's own: no backup finds it");
            report.add("named-volume", &message, "declare a `state` volume in service.toml");
        }
        let own = self.service.secret_files.iter().filter(|_| main);
        let own: serde_json::Map<String, Value> =
            own.map(|secret| (secret.source.clone(), json!({ "file": secret.path }))).collect();
        if file.get("secrets").map_or(!own.is_empty(), |given| *given != Value::Object(own)) {
            report.add("foreign-secret", "its `secrets` are not those of service.toml", help);
        }
        if main && file.get("name").map(text_of).as_ref() != Some(&self.service.name) {
            let message = "it is not called by the service's name, by which the box watches it";
            report.add("unwatched-container", message, "write `name:` with the name of its folder");
        }
    }

    /// By what the box knows the container again: its image, its label, its names.
    fn identity(&self, value: &Value, planned: &ContainerPlan, report: &mut Report<'_>) {
        let text = |key: &str| value.get(key).map(text_of);
        if text("image").as_ref() != Some(&planned.image) {
            report.add(
                "unlocked-image",
                "its image is not the one in service.toml, which is locked",
                "use that one",
            );
        }
        let label = value.get("labels").and_then(|labels| labels.get("boxwright.service")).map(text_of);
        let help = "write `{{ <bw.container service={service} key=\"…\" /> }}` first in each container";
        if label.as_ref() != Some(&self.service.name)
            || text("container_name").as_ref() != Some(&planned.name)
        {
            report.add(
                "unwatched-container",
                "it has neither the label nor the name by which the box watches it",
                help,
            );
        }
        if text("hostname").is_some_and(|name| name != planned.name) {
            report.add("foreign-name", "its `hostname` is not its name, and may be another's", help);
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
        for (name, options) in value.get("networks").and_then(Value::as_object).into_iter().flatten() {
            let agreed = planned.networks.iter().find(|network| network.name == *name);
            let agreed = json!({ "aliases": agreed.map(|network| &network.aliases) });
            if !options.is_null() && *options != agreed {
                let message = format!("on `{name}` it would have names or addresses that were not planned");
                report.add("foreign-name", &message, "write `{{ <bw.container … /> }}`");
            }
        }
        let alone = |network: &&crate::plan::NetworkPlan| {
            joined.contains(&network.name)
                && network.members.iter().any(|one| one.service != self.service.name)
        };
        for network in self.plan.networks.iter().filter(alone).filter(|_| planned.private) {
            let message = format!("it is private, and shares `{}` with another service", network.name);
            report.add("database-in-reach", &message, "leave it on the service's `_db` network alone");
        }
        if main && !planned.private && is_database(planned) {
            let message =
                "its image is a database's or a cache's, and others than its own service may reach it";
            report.add("database-in-reach", message, "write networks = \"private\" in service.toml");
        }
    }

    fn ports(&self, value: &Value, planned: &ContainerPlan, report: &mut Report<'_>) {
        for port in value.get("ports").and_then(Value::as_array).into_iter().flatten() {
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
}

/// Whether a container's image is known as that of a database or a cache.
pub(super) fn is_database(planned: &ContainerPlan) -> bool {
    known::find(&known::full_name(&planned.image)).is_some()
}
