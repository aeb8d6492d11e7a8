//! One container of the file: what becomes its table in service.toml, and what stays in the template.

use super::Import;
use super::keys::{DROPPED, FORBIDDEN, KEPT, TAKEN, UNUSED, nearest};
use super::template::{Template, flow};
use super::yaml::{Key, Node};
use crate::catalog::known::{self, Known};
use crate::catalog::{Container, Health, Limits, Networks, User, image_fault};

/// A container as far as it is known.
pub(super) struct Subject<'n> {
    /// Its name on the box.
    pub(super) key: String,
    pub(super) node: &'n Node,
    pub(super) known: Option<Known>,
    pub(super) main: bool,
}

impl Import<'_> {
    /// Takes over the container that the file calls `name`.
    pub(super) fn container(&mut self, name: &Key, node: &Node) {
        let Some(key) = self.names.keys.get(&name.text).cloned() else { return };
        self.other_keys(name, node);
        let image = self.image(name, node);
        let known = image.as_deref().and_then(known::find);
        let main = key == self.names.service;
        let subject = Subject { key: key.clone(), node, known, main };
        let private = !main && (subject.known.is_some() || node.get("ports").is_none());
        self.containers.insert(key.clone(), blank(image.unwrap_or_default(), private));
        self.templates.insert(key.clone(), Template::default());
        self.user(name, &subject);
        self.rights(&subject);
        self.resources(&subject);
        self.health(&subject);
        self.networks(&subject);
        self.ports(&subject);
        self.mounts(&subject);
        self.environment(&subject);
        self.kept(&subject);
    }

    /// Keys that are forbidden, dropped, or unknown.
    fn other_keys(&mut self, name: &Key, node: &Node) {
        if node.entries().is_empty() {
            let help = "write `image: …` below it";
            self.report.error(&name.span, "wrong-type", format!("`{}` has no keys", name.text), help);
        }
        for (key, value) in node.entries() {
            let text = key.text.as_str();
            if let Some((_, code, message, help)) = FORBIDDEN.iter().find(|row| row.0 == text) {
                if !value.is_null() {
                    self.report.error(&key.span, code, *message, *help);
                }
            } else if let Some((_, reason)) = DROPPED.iter().find(|row| row.0 == text) {
                self.report.once(&key.span, "dropped-key", format!("`{text}` is left out: {reason}"));
            } else if UNUSED.contains(&text) {
                let message = format!("`{text}` is left out: a box has nothing like it");
                self.report.warning(&key.span, "dropped-key", message, "see `limits` in service.toml");
            } else if !KEPT.contains(&text) && !TAKEN.contains(&text) && !text.starts_with("x-") {
                let help = nearest(text)
                    .map_or("remove it".to_owned(), |near| format!("write `{near}`, or remove it"));
                self.report.error(&key.span, "unknown-key", format!("unknown key `{text}`"), help);
            }
        }
    }

    fn image(&mut self, name: &Key, node: &Node) -> Option<String> {
        let Some(value) = node.get("image") else {
            let help = "write `image: registry/name:version`";
            self.report.error(&name.span, "no-image", format!("`{}` names no image", name.text), help);
            return None;
        };
        let written = self.report.text(value)?;
        let mut image = known::full_name(&written);
        if let Some((name, _)) = image.clone().split_once('@') {
            self.report.once(
                &value.span,
                "lock-pins",
                "the digest is left out: the lock adds it for every image",
            );
            image = name.to_owned();
        }
        if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.report.error(
                &value.span,
                "service-image",
                "this is no name of an image",
                "write `registry/name:version`",
            );
        } else if let Some((message, help)) = image_fault(&image) {
            self.report.error(&value.span, "service-image", message, help);
        }
        Some(image)
    }

    fn networks(&mut self, subject: &Subject<'_>) {
        if let Some(node) = subject.node.get("network_mode")
            && let Some(mode) = self.report.text(node)
        {
            let (message, help) = match mode.as_str() {
                "bridge" | "default" => return,
                "host" => (
                    "it would be on the box's own network",
                    "remove `network_mode`; list the `ports` that it needs".to_owned(),
                ),
                "none" => ("every container is on its service's network", "remove `network_mode`".to_owned()),
                _ => (
                    "it would live in another container's network",
                    "remove it; what leaves through the VPN says `egress = \"vpn\"` in the profile"
                        .to_owned(),
                ),
            };
            let code = if mode == "host" { "host-network" } else { "foreign-network" };
            self.report.error(&node.span, code, message, help);
        }
        for (key, network) in subject.node.get("networks").map(Node::entries).unwrap_or_default() {
            for (option, value) in network.entries() {
                match option.text.as_str() {
                    "ipv4_address" | "ipv6_address" | "link_local_ips" => {
                        let help = "remove it: containers find each other by name";
                        self.report.error(&value.span, "address-for-name", "the box gives addresses", help);
                    }
                    "aliases" => {
                        let message = format!("the other names on `{}` are left out", key.text);
                        self.report.warning(&option.span, "aliases", message, "use the container's own name");
                    }
                    _ => self.report.once(
                        &option.span,
                        "dropped-key",
                        "how a network is joined is left out: the box makes its own",
                    ),
                }
            }
        }
    }

    fn kept(&mut self, subject: &Subject<'_>) {
        for (key, node) in subject.node.entries().iter().filter(|(key, _)| KEPT.contains(&key.text.as_str()))
        {
            self.looked_through(node, &key.text);
            let Some(text) = flow(node, &mut self.report, &self.names) else { continue };
            if let Some(template) = self.templates.get_mut(&subject.key) {
                template.keys.push((key.text.clone(), text));
            }
        }
    }

    pub(super) fn with(&mut self, key: &str, change: impl FnOnce(&mut Container)) {
        self.containers.get_mut(key).map(change);
    }
}

fn blank(image: String, private: bool) -> Container {
    Container {
        image,
        series: None,
        user: User::Ids(1000, 1000),
        starts_as_root: false,
        capabilities: Vec::new(),
        read_only: false,
        no_new_privileges: true,
        tmpfs: Vec::new(),
        volumes: Vec::new(),
        devices: Vec::new(),
        docker_socket: false,
        gpu: false,
        egress: false,
        networks: if private { Networks::Private } else { Networks::Service },
        health: Health::default(),
        limits: Limits::default(),
        init: false,
        shm_size: None,
        stop: "30s".to_owned(),
        after: Vec::new(),
    }
}
