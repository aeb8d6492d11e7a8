//! What a `service.toml` must obey beyond its types, by itself; its containers are [`super::container_rules`]'s part, the
//! other services [`super::together`]'s.
//!
//! In: services. Out: what is wrong and the path of keys to it. Nothing here reads files.

use super::container_rules;
use super::exposure::Login;
use super::secret::{SecretApply, SecretSource};
use super::service::Service;
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

/// Collects what is wrong with one service.
pub(super) struct Report {
    pub(super) list: Vec<Wrong>,
}

impl Report {
    pub(super) fn add(&mut self, path: &[&str], code: &'static str, message: String) -> &mut Wrong {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        self.list.push(Wrong { path, code, message, help: None });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    pub(super) fn help(
        &mut self,
        path: &[&str],
        code: &'static str,
        message: String,
        help: impl Into<String>,
    ) {
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
        container_rules::check(&mut report, service, key, container);
    }
    references(&mut report, service);
    new_values(&mut report, service);
    egress(&mut report, service);
    settings(&mut report, service);
    exposure(&mut report, service);
    if service.reset_login && service.lost_login.is_some() {
        let message = "`reset-login` gives new passwords: nothing else is to be done".to_owned();
        report.help(&["lost-login"], "service-exposure", message, "remove one of the two");
    }
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

/// How new values of secrets reach the application.
fn new_values(report: &mut Report, service: &Service) {
    for (name, secret) in &service.secrets {
        let path = ["secrets", name.as_str(), "apply"];
        if secret.from == SecretSource::Box && secret.apply != SecretApply::Restart {
            let message = format!("the box makes `{name}`: nobody hands it a new one");
            report.help(&path, "service-secret", message, "remove `apply`");
        }
        if secret.apply == SecretApply::Setup && !service.setup {
            let message = "this service has no `setup` that could hand the secret to it".to_owned();
            report.help(&path, "service-secret", message, "write the program and `setup = true` at the top");
        }
        if matches!(&secret.apply, SecretApply::FirstStart(instead) if instead.trim().is_empty()) {
            let message = "`first-start` does not say what the owner does instead".to_owned();
            report.help(
                &path,
                "service-secret",
                message,
                "write the end of a sentence: \"enter it in its settings\"",
            );
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
    if exposure.login == Login::AfterSetup && !service.owned {
        let message =
            "nothing tells whether the owner's account exists, so that the first visitor could make it";
        let help = "write a program `owned` (overlays/services/README.md) and `owned = true` at the top";
        report.help(&["exposure", "login"], "service-exposure", message.to_owned(), help);
    }
    let made_by_setup = exposure.login == Login::Own && exposure.owner.is_some() && service.setup;
    if service.owned && exposure.login != Login::AfterSetup && !made_by_setup {
        let message =
            "nobody asks `owned`: neither the first visitor nor `setup` makes the account".to_owned();
        report.help(&["owned"], "service-exposure", message, "remove it, or write `login = \"after-setup\"`");
    }
}

pub(super) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::jaro_winkler(text, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}
