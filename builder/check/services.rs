//! Rules about the lines of `[services]`: the service exists, its line asks for what it has, and its owner has heard of
//! its drawbacks.

use std::collections::BTreeMap;

use crate::catalog::{Level, Login, Role, Service, SettingKind, Use, When};
use crate::diag::{Finding, Severity};
use crate::profile::{Audience, Egress, nearest};

use super::disks;
use super::report::{At, Facts, Line, Report};

/// Every name is a service, and no service stands there twice.
pub(super) fn names(facts: &Facts<'_>, report: &mut Report<'_>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for line in &facts.lines {
        let path = ["services", line.key];
        let Some(service) = line.service else {
            report.add(At::Key(&path), unknown(line.key, facts));
            continue;
        };
        if let Some(note) = line.note {
            let finding = Finding::note("renamed-service", trim_stop(note));
            report.add(At::Key(&path), finding.help(format!("write {} = …", service.name)));
        }
        if let Some(first) = seen.insert(&service.name, line.key) {
            let message = format!("`{first}` and `{}` are the same service", line.key);
            report.add(At::Key(&path), Finding::error("service-twice", message).help("remove one of them"));
        }
    }
}

fn unknown(name: &str, facts: &Facts<'_>) -> Finding {
    let finding = Finding::error("unknown-service", format!("there is no service `{name}`"));
    let catalog = &facts.world.catalog;
    if let Some(near) = nearest(name, catalog.names()) {
        return finding.help(format!("write `{near}`"));
    }
    let names: Vec<&str> = catalog.iter().map(|service| service.name.as_str()).collect();
    finding.help(format!("there are {}; a new one is a folder under overlays/services/", names.join(", ")))
}

/// What one service needs of others is there.
pub(super) fn needs(facts: &Facts<'_>, report: &mut Report<'_>) {
    for (line, service) in facts.known() {
        for needed in &service.needs {
            let there = facts.known().any(|(_, other)| other.name == *needed);
            if !there {
                let message = format!("{} needs {needed}", service.title);
                let finding = Finding::error("missing-service", message);
                report.add(At::Key(&["services", line.key]), finding.help(format!("add {needed} = {{}}")));
            }
        }
    }
}

/// The way out is one that the service can use, and the VPN is there where one uses it.
pub(super) fn egress(facts: &Facts<'_>, report: &mut Report<'_>) {
    let mut uses_vpn = false;
    for (line, service) in facts.known() {
        let path = ["services", line.key, "egress"];
        let egress = line.egress();
        let bad = line.usage.egress.is_some_and(|wanted| !service.egress.contains(&wanted));
        if bad {
            let can: Vec<String> = service.egress.iter().map(|one| format!("\"{}\"", word(*one))).collect();
            let message = format!("{} cannot work with egress = \"{}\"", service.title, word(egress));
            let finding = Finding::error("bad-egress", message);
            report.add(At::Value(&path), finding.help(format!("write {}", can.join(" or "))));
        }
        uses_vpn |= egress == Egress::Vpn;
        if egress == Egress::Vpn && facts.profile.vpn.is_none() {
            let message = format!("`{}` leaves through the VPN, and there is none", line.key);
            let finding = Finding::error("no-vpn", message);
            report.add(
                At::Key(&path),
                finding.help("add [vpn] with provider = \"…\" and type = \"wireguard\""),
            );
        }
    }
    let runs_vpn = facts.known().any(|(_, service)| service.role == Some(Role::Vpn));
    if facts.profile.vpn.is_some() && !uses_vpn && !runs_vpn {
        let finding = Finding::warning("unused-section", "no service leaves through the VPN");
        report.add(
            At::Key(&["vpn"]),
            finding.help("write egress = \"vpn\" on a service, or remove the section"),
        );
    }
}

fn word(egress: Egress) -> &'static str {
    match egress {
        Egress::Direct => "direct",
        Egress::Vpn => "vpn",
        Egress::None => "none",
    }
}

/// Graphics processor, memory, and further environment variables.
pub(super) fn resources(facts: &Facts<'_>, report: &mut Report<'_>) {
    for (line, service) in facts.known() {
        if line.usage.gpu && service.gpu == Use::Never {
            let message = format!("{} has no use for a graphics processor", service.title);
            let at = At::Key(&["services", line.key, "gpu"]);
            report.add(at, Finding::error("no-use", message).help("remove `gpu`"));
        }
        if line.usage.memory.as_deref().is_some_and(|memory| !is_size(memory)) {
            let finding = Finding::error("bad-value", "this is not an amount of memory");
            report.add(
                At::Value(&["services", line.key, "memory"]),
                finding.help("write one such as \"512m\" or \"2g\""),
            );
        }
        for name in line.usage.env.keys() {
            let path = ["services", line.key, "env", name.as_str()];
            let right = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !name.bytes().next().is_none_or(|byte| byte.is_ascii_digit());
            if !right {
                let finding =
                    Finding::error("bad-value", format!("\"{name}\" cannot be an environment variable"));
                report.add(At::Key(&path), finding.help("write letters, digits and _ only"));
            }
            let secret = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "APIKEY", "API_KEY", "PRIVATE_KEY"];
            let upper = name.to_ascii_uppercase();
            if secret.iter().any(|word| upper.ends_with(word)) {
                let finding = Finding::error("secret-in-profile", format!("`{name}` looks like a secret"));
                let help =
                    "a profile is published with the image: declare it under [secrets] in the service.toml";
                report.add_hidden(At::Key(&path), finding.help(help));
            }
        }
    }
}

fn is_size(text: &str) -> bool {
    let number = text.strip_suffix(['m', 'g']).unwrap_or_default();
    !number.starts_with('0')
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && number.parse::<u32>().is_ok()
}

/// What a line sets is declared by the service, with that kind of value.
pub(super) fn settings(facts: &Facts<'_>, report: &mut Report<'_>) {
    for (line, service) in facts.known() {
        for (name, value) in &line.usage.set {
            let path = ["services", line.key, "set", name.as_str()];
            let Some(spec) = service.settings.get(name) else {
                let finding =
                    Finding::error("unknown-setting", format!("{} has no setting `{name}`", service.title));
                let names: Vec<&str> = service.settings.keys().map(String::as_str).collect();
                let help = match nearest(name, names.iter().copied()) {
                    Some(near) => format!("write `{near}`"),
                    None if names.is_empty() => "remove it".into(),
                    None => format!("its settings are {}", names.join(", ")),
                };
                report.add(At::Key(&path), finding.help(help));
                continue;
            };
            if !spec.kind.holds(value) {
                let message = format!("`{name}` is {}", kind(spec.kind));
                report.add(At::Value(&path), Finding::error("wrong-type", message).help(spec.about.clone()));
            } else if let crate::profile::Setting::Text(text) = value
                && !spec.values.is_empty()
                && !spec.values.contains(text)
            {
                let finding = Finding::error("bad-value", format!("\"{text}\" is not a value of `{name}`"));
                report
                    .add(At::Value(&path), finding.help(format!("write one of {}", spec.values.join(", "))));
            }
        }
    }
}

fn kind(kind: SettingKind) -> &'static str {
    match kind {
        SettingKind::Text => "a text",
        SettingKind::Bool => "true or false",
        SettingKind::Integer => "a whole number",
        SettingKind::List => "a list of texts",
    }
}

/// One thing that an owner should know of a service as it is used.
struct Drawback<'a> {
    code: &'a str,
    severity: Severity,
    /// Whether `accept` silences it.
    acceptable: bool,
    message: String,
    help: Option<String>,
}

/// The drawbacks of the services, less those that the owner takes on; and what is taken on for nothing.
pub(super) fn drawbacks(facts: &Facts<'_>, report: &mut Report<'_>) {
    for (line, service) in facts.known() {
        let drawbacks = drawbacks_of(line, service, facts);
        for drawback in
            drawbacks.iter().filter(|drawback| !(drawback.acceptable && line.accepts(drawback.code)))
        {
            let code = drawback.code.to_owned();
            let mut finding =
                Finding { severity: drawback.severity, ..Finding::error(code, &drawback.message) };
            finding.help = match (&drawback.help, drawback.acceptable) {
                (Some(help), true) if help.contains("accept = ") => Some(help.clone()),
                (Some(help), true) => Some(format!("{help}, or accept = [\"{}\"]", drawback.code)),
                (None, true) => Some(format!("write accept = [\"{}\"] if you know", drawback.code)),
                (help, false) => help.clone(),
            };
            report.add(At::Key(&["services", line.key]), finding);
        }
        for (position, code) in line.usage.accept.iter().enumerate() {
            if !drawbacks.iter().any(|drawback| drawback.acceptable && drawback.code == code) {
                let position = position.to_string();
                let finding = needless(code, service);
                report.add(At::Value(&["services", line.key, "accept", position.as_str()]), finding);
            }
        }
    }
}

fn needless(code: &str, service: &Service) -> Finding {
    let own = service.findings.iter().map(|advice| advice.code.as_str());
    let known: Vec<&str> =
        own.chain([ACCESS_BLOCKS_APPS, FIRST_VISITOR_OWNS, DOCKER_SOCKET, disks::SHARED_DISK]).collect();
    if known.contains(&code) {
        let message = format!("nothing needs \"{code}\" to be accepted here");
        return Finding::warning("needless-accept", message).help("remove it");
    }
    let finding =
        Finding::error("unknown-accept", format!("\"{code}\" is not a drawback of {}", service.title));
    match nearest(code, known) {
        Some(near) => finding.help(format!("write \"{near}\"")),
        None => finding.help("remove it"),
    }
}

const ACCESS_BLOCKS_APPS: &str = "access-blocks-apps";
const DOCKER_SOCKET: &str = "docker-socket";
const FIRST_VISITOR_OWNS: &str = "first-visitor-owns";

fn drawbacks_of<'a>(line: &Line<'_>, service: &'a Service, facts: &Facts<'_>) -> Vec<Drawback<'a>> {
    let mut drawbacks: Vec<Drawback<'a>> = Vec::new();
    for advice in service.findings.iter().filter(|advice| applies(advice.when, line)) {
        let (severity, acceptable) = match advice.level {
            Level::Error => (Severity::Error, false),
            Level::Accept => (Severity::Error, true),
            Level::Warning => (Severity::Warning, true),
            Level::Note => (Severity::Note, false),
        };
        let message = trim_stop(&advice.message).to_owned();
        drawbacks.push(Drawback {
            code: &advice.code,
            severity,
            acceptable,
            message,
            help: advice.help.clone(),
        });
    }
    if service.containers.values().any(|container| container.docker_socket) {
        let message = format!(
            "{} rules Docker: whoever gets into it owns the box, and what it starts obeys none of this profile's rules",
            service.title
        );
        let (code, severity) = (DOCKER_SOCKET, Severity::Error);
        let help = Some("leave it out".to_owned());
        drawbacks.push(Drawback { code, severity, acceptable: true, message, help });
    }
    if let Some((message, help)) = disks::shared(line, service, facts) {
        let (code, severity) = (disks::SHARED_DISK, Severity::Error);
        drawbacks.push(Drawback { code, severity, acceptable: true, message, help: Some(help) });
    }
    let Some(exposure) = &service.exposure else { return drawbacks };
    let mut built_in = |code: &'static str, message: String, help: &str| {
        let help = Some(help.to_owned());
        if !drawbacks.iter().any(|drawback| drawback.code == code) {
            drawbacks.push(Drawback { code, severity: Severity::Warning, acceptable: true, message, help });
        }
    };
    if exposure.native_clients && applies(When::Guarded, line) {
        let message =
            format!("{}'s own apps cannot pass Cloudflare Access: only browsers can", service.title);
        built_in(ACCESS_BLOCKS_APPS, message, "write for = \"everyone\"");
    }
    let usage = line.usage;
    let strangers = usage.page.is_some() || usage.at.is_some() && usage.audience() != Audience::Admin;
    if exposure.login == Login::AfterSetup && strangers {
        let (code, severity) = (FIRST_VISITOR_OWNS, Severity::Note);
        let message = format!(
            "whoever opens {} first becomes its owner: its host name answers 503 until there is one",
            service.title
        );
        let help =
            Some(format!("make your account first: `box open {}` on the box tells the way", service.name));
        drawbacks.push(Drawback { code, severity, acceptable: false, message, help });
    }
    drawbacks
}

/// Whether the line is used in this way.
fn applies(when: When, line: &Line<'_>) -> bool {
    let usage = line.usage;
    let published = usage.at.is_some();
    match when {
        When::Always => true,
        When::Published => published,
        When::Guarded => published && usage.audience() != Audience::Everyone,
        When::Everyone => published && usage.audience() == Audience::Everyone,
        When::PublishedWithoutLan => published && usage.lan.is_closed(),
        When::Lan => !usage.lan.is_closed(),
        When::WithoutVpn => line.egress() != Egress::Vpn,
        When::WithoutDisk => usage.disks().is_empty(),
    }
}

fn trim_stop(text: &str) -> &str {
    text.trim().trim_end_matches('.')
}
