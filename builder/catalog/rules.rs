//! What a `service.toml` must obey beyond its types: one service at a time, then all of them together.
//!
//! In: services. Out: what is wrong and the path of keys to it. Nothing here reads files.

use std::collections::{BTreeMap, BTreeSet};

use super::container::{Container, Volume};
use super::service::{SecretSource, Service};
use crate::profile::Egress;

/// Something wrong in a `service.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The keys that lead to it; indexes of arrays as numbers.
    pub path: Vec<String>,
    /// The rule.
    pub code: &'static str,
    /// What is the matter.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// In `talks-to`: every service that answers requests.
pub const EVERYONE: &str = "*";

/// Tags that name another program every few weeks.
const FLOATING_TAGS: [&str; 12] = [
    "latest",
    "stable",
    "edge",
    "main",
    "master",
    "nightly",
    "beta",
    "develop",
    "public",
    "plexpass",
    "production",
    "release",
];

/// Docker's names of the capabilities (capabilities(7) without `CAP_`).
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Collects what is wrong with one service.
struct Report {
    list: Vec<Wrong>,
}

impl Report {
    fn add(&mut self, path: &[&str], code: &'static str, message: String) -> &mut Wrong {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        self.list.push(Wrong { path, code, message, help: None });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    fn help(&mut self, path: &[&str], code: &'static str, message: String, help: impl Into<String>) {
        self.add(path, code, message).help = Some(help.into());
    }
}

/// Everything that is wrong with `service` by itself.
pub fn check(service: &Service) -> Vec<Wrong> {
    let mut report = Report { list: Vec::new() };
    let name = service.name.as_str();
    if service.schema != 1 {
        let message = format!("schema {} is not known to this version of Boxwright", service.schema);
        report.help(&["schema"], "service-schema", message, "write `schema = 1`");
    }
    if !is_label(name) {
        let message =
            format!("the folder's name `{name}` is no host name: lower-case letters, digits and `-` only");
        report.add(&["schema"], "service-name", message);
    }
    if ["box", "db", "lan", "out"].contains(&name) {
        let message = format!("`{name}` already means something to Boxwright");
        report.help(&["schema"], "service-name", message, "give the folder another name");
    }
    if !service.containers.contains_key(name) {
        let message = format!("no container is called `{name}` like the service");
        let help = format!("call the container that others talk to `[containers.{name}]`");
        report.help(&["containers"], "service-container", message, help);
    }
    for (key, container) in &service.containers {
        containers(&mut report, service, key, container);
    }
    references(&mut report, service);
    egress(&mut report, service);
    settings(&mut report, service);
    exposure(&mut report, service);
    report.list
}

/// A DNS label that is also fit for file and unit names.
pub fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn containers(report: &mut Report, service: &Service, key: &str, container: &Container) {
    let at = ["containers", key];
    if !is_label(key) {
        report.add(
            &at,
            "service-name",
            format!("`{key}` is no host name: lower-case letters, digits and `-` only"),
        );
    }
    if let Some((message, help)) = wrong_image(&container.image) {
        report.help(&["containers", key, "image"], "service-image", message, help);
    }
    for (index, capability) in container.capabilities.iter().enumerate() {
        if !CAPABILITIES.contains(&capability.as_str()) {
            let nearest = nearest(capability, CAPABILITIES.into_iter());
            let help = nearest
                .map_or("see capabilities(7), without `CAP_`".to_owned(), |near| format!("write `{near}`"));
            let path = ["containers", key, "capabilities", &index.to_string()];
            report.help(&path, "service-capability", format!("unknown capability `{capability}`"), help);
        }
    }
    for (index, device) in container.devices.iter().enumerate() {
        if !device.starts_with("/dev/") || device.contains("..") {
            let path = ["containers", key, "devices", &index.to_string()];
            report.add(&path, "service-device", format!("`{device}` is not a device under /dev/"));
        }
    }
    for (index, volume) in container.volumes.iter().enumerate() {
        volumes(report, &["containers", key, "volumes", &index.to_string()], volume);
    }
    if container.health.none && container.health.test.is_some() {
        let message = "both `none` and `test`".to_owned();
        report.help(&["containers", key, "health"], "service-health", message, "write only one of them");
    }
    let health = &container.health;
    let times =
        [health.interval.as_ref(), health.timeout.as_ref(), health.start.as_ref(), Some(&container.stop)];
    for time in times.into_iter().flatten() {
        if !is_number_with_unit(time, &["s", "m", "h"]) {
            let message = format!("`{time}` is not a duration");
            report.help(&at, "service-duration", message, "write it like `30s` or `2m`");
        }
    }
    for size in [Some(&container.limits.memory), container.shm_size.as_ref()].into_iter().flatten() {
        if !is_number_with_unit(size, &["m", "g"]) {
            let message = format!("`{size}` is not a size");
            report.help(&at, "service-size", message, "write it like `512m` or `2g`");
        }
    }
    for other in &container.after {
        if other == key || !service.containers.contains_key(other) {
            let message = format!("`{other}` is no other container of this service");
            report.add(&["containers", key, "after"], "service-container", message);
        }
    }
}

/// What is wrong with an image's name, and what to do.
fn wrong_image(image: &str) -> Option<(String, String)> {
    if image.contains('@') {
        let message = format!("`{image}` has a digest: that is the lock's part");
        return Some((message, "write the name and the tag; `boxwright lock` adds the digest".to_owned()));
    }
    let registry = image.split_once('/').map(|(registry, _)| registry);
    if !registry.is_some_and(|registry| registry.contains('.') || registry.contains(':')) {
        let message = format!("`{image}` does not name its registry");
        return Some((
            message,
            format!("write `docker.io/{image}`, with `library/` for Docker's own images"),
        ));
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    let Some((_, tag)) = last.split_once(':') else {
        return Some((format!("`{image}` has no tag"), "add the version: `:1.2.3`".to_owned()));
    };
    FLOATING_TAGS.contains(&tag).then(|| {
        let message = format!("the tag `{tag}` is another program every few weeks");
        (message, "write the tag of one version".to_owned())
    })
}

fn volumes(report: &mut Report, path: &[&str], volume: &Volume) {
    let kinds = [volume.state.is_some(), volume.disk.is_some(), volume.config.is_some()];
    if kinds.iter().filter(|&&kind| kind).count() != 1 {
        let message = "a volume has exactly one of `state`, `disk` and `config`".to_owned();
        report.add(path, "service-volume", message);
    }
    if !volume.at.starts_with('/') || volume.at.contains("..") {
        report.add(
            path,
            "service-volume",
            format!("`{}` is not an absolute path in the container", volume.at),
        );
    }
    let relative = [volume.state.as_deref(), volume.config.as_deref(), volume.folder()];
    for part in relative.into_iter().flatten() {
        if part.is_empty()
            || part.starts_with('/')
            || part.split('/').any(|part| part.is_empty() || part == "..")
        {
            report.add(path, "service-volume", format!("`{part}` is not a relative path without `..`"));
        }
    }
    if let Some(mode) = &volume.mode
        && u32::from_str_radix(mode, 8).map_or(true, |mode| mode > 0o1777)
    {
        report.help(path, "service-volume", format!("`{mode}` is no mode"), "write it in octal: `0700`");
    }
}

fn references(report: &mut Report, service: &Service) {
    let mut refer = |path: &[&str], container: &str| {
        if !service.containers.contains_key(container) {
            let known = nearest(container, service.containers.keys().map(String::as_str));
            let message = format!("this service has no container `{container}`");
            match known {
                Some(known) => report.help(path, "service-container", message, format!("write `{known}`")),
                None => drop(report.add(path, "service-container", message)),
            }
        }
    };
    if let Some(container) = service.exposure.as_ref().and_then(|exposure| exposure.container.as_deref()) {
        refer(&["exposure", "container"], container);
    }
    for (index, port) in service.ports.iter().enumerate() {
        if let Some(container) = &port.container {
            refer(&["ports", &index.to_string(), "container"], container);
        }
    }
    for (name, secret) in &service.secrets {
        for container in &secret.containers {
            refer(&["secrets", name, "containers"], container);
        }
    }
    for (index, dump) in service.backup.dumps.iter().enumerate() {
        refer(&["backup", "dumps", &index.to_string(), "container"], &dump.container);
    }
    for (key, exec) in [("before", &service.backup.before), ("after", &service.backup.after)] {
        if let Some(exec) = exec {
            refer(&["backup", key, "container"], &exec.container);
        }
    }
    let account = service.exposure.as_ref().and_then(|exposure| exposure.owner.as_ref());
    if let Some(secret) =
        account.map(|account| &account.secret).filter(|one| !service.secrets.contains_key(*one))
    {
        let message = format!("this service has no secret `{secret}`");
        report.add(&["exposure", "owner", "secret"], "service-unknown", message);
    }
    for name in service.secrets.keys() {
        if !is_label(name) {
            let message =
                format!("`{name}` is no name for a secret: lower-case letters, digits and `-` only");
            report.add(&["secrets", name], "service-name", message);
        }
    }
}

fn egress(report: &mut Report, service: &Service) {
    let chosen = service.containers.values().any(|container| container.egress);
    let wanted = service.egress.iter().any(|&egress| egress != Egress::None);
    if service.egress.is_empty() {
        let message = "`egress` lists nothing".to_owned();
        report.help(&["egress"], "service-egress", message, "write `egress = [\"none\"]`");
    }
    if wanted && !chosen {
        let message = "no container has `egress = true`".to_owned();
        report.help(
            &["egress"],
            "service-egress",
            message,
            "write it at the container that needs the way out",
        );
    }
    if chosen && !wanted {
        let message = "a container has `egress = true` but the service has no way out".to_owned();
        report.help(&["egress"], "service-egress", message, "write `egress = [\"direct\"]`");
    }
}

fn settings(report: &mut Report, service: &Service) {
    for (key, setting) in &service.settings {
        if setting.default.as_ref().is_some_and(|default| !setting.kind.holds(default)) {
            let message = format!("the default of `{key}` is not of its type");
            report.add(&["settings", key, "default"], "service-setting", message);
        }
    }
    for (name, secret) in &service.secrets {
        let named = secret.when.as_ref().and_then(|when| when.setting.as_ref());
        if let Some(setting) = named.filter(|setting| !service.settings.contains_key(*setting)) {
            let message = format!("this service has no setting `{setting}`");
            report.add(&["secrets", name, "when"], "service-setting", message);
        }
    }
}

fn exposure(report: &mut Report, service: &Service) {
    let Some(exposure) = &service.exposure else { return };
    if !["http", "https"].contains(&exposure.scheme.as_str()) {
        let message = format!("`{}` is no scheme for a web port", exposure.scheme);
        report.help(&["exposure", "scheme"], "service-exposure", message, "write `http` or `https`");
    }
}

/// Everything that is wrong between services: the service's name with each.
pub fn check_together(services: &BTreeMap<String, Service>) -> Vec<(String, Wrong)> {
    let mut wrong = Vec::new();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    let mut roles = BTreeSet::new();
    for (name, service) in services {
        let mut report = Report { list: Vec::new() };
        let others = services.keys().map(String::as_str);
        for (key, names) in [("needs", &service.needs), ("talks-to", &service.talks_to)] {
            for (index, other) in names.iter().enumerate().filter(|(_, other)| {
                !(services.contains_key(*other) || key == "talks-to" && *other == EVERYONE)
            }) {
                let near =
                    nearest(other, others.clone()).map_or_else(String::new, |near| format!("write `{near}`"));
                let message = format!("there is no service `{other}`");
                report.help(&[key, &index.to_string()], "service-unknown", message, near);
            }
        }
        for (secret, value) in &service.secrets {
            if let SecretSource::Service(from) = &value.from
                && !secret_exists(services, from)
            {
                let message = format!("no service has the secret `{from}`");
                let help = "write `<service>/<secret>`";
                report.help(&["secrets", secret, "from"], "service-unknown", message, help);
            }
        }
        for alias in service.aliases.keys() {
            let other = services.contains_key(alias).then_some(alias.as_str());
            if let Some(other) = other.or_else(|| taken.insert(alias, name)) {
                let message = format!("the name `{alias}` is already taken by `{other}`");
                report.add(&["aliases", alias], "service-name", message);
            }
        }
        if service.role.is_some_and(|role| !roles.insert(role)) {
            report.add(&["role"], "service-role", "another service has this role".to_owned());
        }
        wrong.extend(report.list.into_iter().map(|each| (name.clone(), each)));
    }
    wrong
}

/// The section of secrets that belong to the box itself; each is there where the profile calls for it.
pub const BOX: &str = "box";

fn secret_exists(services: &BTreeMap<String, Service>, reference: &str) -> bool {
    let of_the_box = |(section, name): (&str, &str)| section == BOX && is_label(name);
    if reference.split_once('/').is_some_and(of_the_box) {
        return true;
    }
    reference.split_once('/').is_some_and(|(service, secret)| {
        services.get(service).is_some_and(|s| s.secrets.contains_key(secret))
    })
}

fn is_number_with_unit(text: &str, units: &[&str]) -> bool {
    units.iter().filter_map(|unit| text.strip_suffix(unit)).any(|number| number.parse::<u32>().is_ok())
}

fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::jaro_winkler(text, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}
