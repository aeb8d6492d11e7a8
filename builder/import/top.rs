//! The keys of the file besides its services: volumes, networks, secrets, and what brings in other files.

use super::Import;
use super::names::label;
use super::yaml::{Key, Node};
use crate::catalog::is_label;

impl Import<'_> {
    /// Everything in the file but its services.
    pub(super) fn top(&mut self, root: &Node) {
        for (key, node) in root.entries() {
            match key.text.as_str() {
                "services" | "name" | "version" => {}
                "volumes" => self.own_volumes(node),
                "networks" => self.own_networks(node),
                "secrets" => {
                    for (name, _) in node.entries() {
                        self.own_secret(name);
                    }
                }
                "configs" => {
                    let help = "bind-mount the file instead: `./file:/path:ro`";
                    self.report.error(&key.span, "foreign-definition", "`configs` is not taken over", help);
                }
                "include" => {
                    let help = "write it all into one file";
                    self.report.error(
                        &key.span,
                        "foreign-definition",
                        "`include` brings in other files",
                        help,
                    );
                }
                other if other.starts_with("x-") => {}
                other => {
                    self.report.error(
                        &key.span,
                        "unknown-key",
                        format!("unknown key `{other}`"),
                        "remove it",
                    );
                }
            }
        }
    }

    fn own_secret(&mut self, name: &Key) {
        let secret = label(&name.text);
        let help = "rename it: small letters, digits and hyphens";
        if !is_label(&secret) {
            let message = format!("`{}` cannot be a secret's name on a box", name.text);
            self.report.error(&name.span, "bad-name", message, help);
        }
        if let Some((other, _)) = self.declared.iter().find(|(_, one)| **one == secret) {
            let message = format!("`{other}` and `{}` would be one secret on a box: `{secret}`", name.text);
            self.report.error(&name.span, "bad-name", message, help);
        }
        self.declared.insert(name.text.clone(), secret);
        let message =
            format!("the secret `{}` is the owner's or the box's; its value is left out", name.text);
        self.report.once(&name.span, "secret", message);
    }

    fn own_volumes(&mut self, node: &Node) {
        for (name, volume) in node.entries() {
            for (key, value) in volume.entries() {
                let shown = format!("volume `{}`", name.text);
                match key.text.as_str() {
                    "external" | "name" => {
                        let message =
                            format!("the {shown} becomes a folder of the service, which is empty at first");
                        self.report.once(&key.span, "data-stays", message);
                    }
                    "driver" if value.raw() == Some("local") => {}
                    "labels" => self.report.once(&key.span, "dropped-key", "nothing on a box reads labels"),
                    _ => {
                        let help = "name the disk or the share in the profile's [disks], and mount a path below /mnt here";
                        self.report.error(
                            &key.span,
                            "volume-driver",
                            format!("the {shown} is on another machine or disk"),
                            help,
                        );
                    }
                }
            }
        }
    }

    fn own_networks(&mut self, node: &Node) {
        for (name, network) in node.entries() {
            if network.get("external").is_some_and(|external| external.raw() != Some("false")) {
                let message = format!("`{}` is shared with other services, and is left out", name.text);
                let help = "say in `talks-to` of service.toml whom it needs; the tunnel reaches it by itself";
                self.report.warning(&name.span, "shared-network", message, help);
            } else {
                self.report.once(
                    &name.span,
                    "dropped-key",
                    "networks are left out: the box makes each service its own",
                );
            }
        }
    }
}
