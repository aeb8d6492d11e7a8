//! As whom a container runs, and what it may do: privileges, capabilities, devices.

use super::Import;
use super::container::Subject;
use super::yaml::{Key, Node};
use crate::catalog::{Use, User, device_fault};

/// Capabilities with which an image that starts as root becomes somebody else, and owns its files.
const TO_CHANGE_USER: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];
/// Variables by which images are told whom to become.
const USER_VARIABLES: [(&str, &str); 2] = [("PUID", "PGID"), ("USERMAP_UID", "USERMAP_GID")];

impl Import<'_> {
    pub(super) fn user(&mut self, name: &Key, subject: &Subject<'_>) {
        let variables = |wanted: &str| {
            subject.node.get("environment").and_then(|node| super::environment::value(node, wanted))
        };
        let pair = USER_VARIABLES.iter().find_map(|(uid, gid)| Some((variables(uid)?, variables(gid)?)));
        let written = subject.node.get("user").and_then(|node| Some((self.report.text(node)?, node)));
        let image = self.containers.get(&subject.key).map(|one| one.image.clone()).unwrap_or_default();
        let (mut user, mut as_root) = (None, false);
        if let Some((text, node)) = written {
            user = ids(&text);
            if user.is_none() {
                let help = "write numeric ids: `user: \"1000:1000\"`";
                self.report.error(
                    &node.span,
                    "user",
                    format!("`{text}` is a name that only the image knows"),
                    help,
                );
            } else if user == Some(User::Ids(0, 0)) {
                let help = "see whether it runs as another user, such as \"1000:1000\"";
                self.report.warning(&node.span, "runs-as-root", "it stays root in its container", help);
            }
        } else if let Some((uid, gid)) = pair {
            let texts = (self.report.text(&uid), self.report.text(&gid));
            user = texts.0.zip(texts.1).and_then(|(uid, gid)| ids(&format!("{uid}:{gid}")));
            as_root = user.is_some();
            if user.is_none() {
                self.report.error(&uid.span, "user", "these are no numeric ids", "write numbers");
            }
        } else if let Some(known) = &subject.known {
            user = ids(known.user(&image));
        } else {
            let message = format!(
                "`{}` does not say as whom it runs: it is started as 1000:1000, without any capability",
                name.text
            );
            let help = "try it; where the image starts as root and then changes, write starts-as-root = true, its user, and \
                        capabilities = [\"CHOWN\", \"DAC_OVERRIDE\", \"FOWNER\", \"SETGID\", \"SETUID\"] in service.toml";
            self.report.warning(&name.span, "user", message, help);
        }
        let Some(container) = self.containers.get_mut(&subject.key) else { return };
        container.user = user.unwrap_or(User::Ids(1000, 1000));
        container.starts_as_root = as_root;
        if as_root {
            container.capabilities = TO_CHANGE_USER.map(str::to_owned).to_vec();
        }
    }

    /// Privileges, capabilities, devices.
    pub(super) fn rights(&mut self, subject: &Subject<'_>) {
        if let Some(node) = subject.node.get("privileged")
            && self.report.flag(node)
        {
            self.report.error(
                &node.span,
                "privileged",
                "it would be root on the box",
                "name what it needs under `cap_add` and `devices`",
            );
        }
        for (key, allowed) in [("ipc", ["private", "none"]), ("cgroup", ["private", "private"])] {
            if let Some(node) = subject.node.get(key)
                && let Some(text) = self.report.text(node).filter(|text| !allowed.contains(&text.as_str()))
            {
                let message = format!("`{key}: {text}` leaves its own namespace");
                self.report.error(&node.span, "host-namespace", message, "remove it");
            }
        }
        for item in subject.node.get("security_opt").map(|node| self.report.items(node)).unwrap_or_default() {
            match self.report.text(item).as_deref() {
                Some("no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true") | None => {}
                Some("no-new-privileges:false" | "no-new-privileges=false") => {
                    let help = "remove it unless the image breaks";
                    self.report.warning(
                        &item.span,
                        "security-option",
                        "its processes may gain privileges",
                        help,
                    );
                    self.with(&subject.key, |container| container.no_new_privileges = false);
                }
                Some(option) => {
                    let message = format!("`{option}` takes protection away");
                    self.report.error(&item.span, "security-option", message, "remove it");
                }
            }
        }
        for item in subject.node.get("cap_add").map(|node| self.report.items(node)).unwrap_or_default() {
            let Some(text) = self.report.text(item) else { continue };
            let name = text.to_ascii_uppercase().trim_start_matches("CAP_").to_owned();
            if name == "ALL" {
                self.report.error(
                    &item.span,
                    "capability",
                    "every capability is root on the box",
                    "name those that it needs",
                );
            } else {
                self.with(&subject.key, |container| {
                    container.capabilities.push(name);
                    container.capabilities.sort();
                    container.capabilities.dedup();
                });
            }
        }
        for item in subject.node.get("devices").map(|node| self.report.items(node)).unwrap_or_default() {
            self.device(subject, item);
        }
        if subject.node.get("gpus").is_some() {
            self.graphics(&subject.key);
        }
    }

    fn device(&mut self, subject: &Subject<'_>, item: &Node) {
        let written = item.get("source").unwrap_or(item);
        let Some(text) = self.report.text(written) else { return };
        let mut parts = text.split(':');
        let path = parts.next().unwrap_or_default().to_owned();
        let inside =
            item.get("target").and_then(|node| self.report.text(node)).or(parts.next().map(str::to_owned));
        if path == "/dev/dri" || path.starts_with("/dev/dri/") {
            self.graphics(&subject.key);
            return;
        }
        if let Some(message) = device_fault(&path) {
            self.report.error(
                &item.span,
                "device",
                message,
                "remove it; a data disk is named in the profile's [disks]",
            );
        } else if inside.is_some_and(|inside| inside != path) {
            let help = "write the same path on both sides, and tell the application of it";
            self.report.error(&item.span, "device", "a device has one path on a box", help);
        } else {
            let message = format!("{path} must be there on every machine that this box may run on");
            self.report.once(&item.span, "device", message);
            self.with(&subject.key, |container| container.devices.push(path));
        }
    }

    pub(super) fn graphics(&mut self, key: &str) {
        self.gpu = Use::Optional;
        self.with(key, |container| container.gpu = true);
    }
}

/// `1000:1000`, or `1000` for both.
fn ids(text: &str) -> Option<User> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| if text == "root" { Some(0) } else { text.parse().ok() };
    Some(User::Ids(number(uid)?, number(gid)?))
}
