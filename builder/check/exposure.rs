//! Rules about ways in: names under the domain, the tunnel, Access in front of them, ports at home and at the edge.

use std::collections::BTreeMap;

use crate::catalog::{Login, Open, Service};
use crate::diag::Finding;
use crate::profile::{Audience, LanAccess, OneOrMany, PortRange, Protocol};

use super::report::{At, Facts, Line, Report};
use super::words;

/// Names that programs look up by themselves under any domain: whoever serves them configures those programs.
const LOOKED_UP: [&str; 6] = ["autoconfig", "autodiscover", "isatap", "localhost", "mta-sts", "wpad"];

/// Every name under the domain, with its path.
fn published<'a>(facts: &Facts<'a>) -> Vec<(&'a str, Vec<&'a str>)> {
    let profile = facts.profile;
    let mut names = Vec::new();
    names.extend(profile.ssh.at.as_deref().map(|name| (name, vec!["ssh", "at"])));
    names.extend(profile.ssh.ci.as_deref().map(|name| (name, vec!["ssh", "ci"])));
    for line in &facts.lines {
        names.extend(line.usage.at.as_deref().map(|name| (name, vec!["services", line.key, "at"])));
        names.extend(line.usage.page.as_deref().map(|name| (name, vec!["services", line.key, "page"])));
    }
    names
}

/// Names under the domain: well formed, nobody else's, and of one service each.
pub(super) fn names(facts: &Facts<'_>, report: &mut Report<'_>) {
    let domain = facts.profile.machine.domain.as_deref();
    let mut taken: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, path) in published(facts) {
        if let Some(reason) = words::label(name) {
            let inside = domain.and_then(|domain| name.strip_suffix(domain)?.strip_suffix('.'));
            let help = match inside {
                Some(label) => format!("write \"{label}\": the domain is added"),
                None if name.contains('.') => {
                    "write one name; Cloudflare's certificate covers no deeper ones".into()
                }
                None => words::as_label(name).unwrap_or_else(|| "write a name such as \"requests\"".into()),
            };
            let message = format!("\"{name}\" cannot be a name under the domain: {reason}");
            report.add(At::Value(&path), Finding::error("bad-host-name", message).help(help));
        } else if LOOKED_UP.contains(&name) {
            let message = format!("\"{name}\" is looked up by programs on their own");
            report.add(At::Value(&path), Finding::error("reserved-name", message).help("write another name"));
        } else if let Some(first) = taken.get(name) {
            let message = format!("\"{name}\" is already the name of `{}`", first.join("."));
            report.add(At::Value(&path), Finding::error("name-taken", message).help("write another name"));
        } else {
            taken.insert(name, path);
        }
    }
}

/// What a published name needs: a domain, the tunnel, and Access where it is not for everyone.
pub(super) fn tunnel(facts: &Facts<'_>, report: &mut Report<'_>) {
    let (profile, cloudflare) = (facts.profile, facts.profile.cloudflare.as_ref());
    let Some((name, path)) = published(facts).into_iter().next() else {
        if cloudflare.is_some() {
            let finding = Finding::warning("unused-section", "nothing is reached through the tunnel");
            report.add(
                At::Key(&["cloudflare"]),
                finding.help("give a service a name with `at`, or remove the section"),
            );
        }
        return;
    };
    if profile.machine.domain.is_none() && !report.is_known(&["box", "domain"]) {
        let finding =
            Finding::error("no-domain", format!("\"{name}\" is a name under a domain, and there is none"));
        report.add(At::Value(&path), finding.help("add domain = \"example.com\" to [box]"));
    }
    let services: Vec<&Line<'_>> = facts.lines.iter().filter(|line| line.usage.at.is_some()).collect();
    let page = facts.lines.iter().find(|line| line.usage.page.is_some());
    let Some(cloudflare) = cloudflare else {
        for line in services.iter().copied().chain(page).take(1) {
            let message = format!("`{}` has a name, and there is no tunnel that leads to it", line.key);
            let finding = Finding::error("no-tunnel", message);
            report.add(
                At::Key(&["services", line.key]),
                finding.help("add [cloudflare] with tunnel = \"UUID\""),
            );
        }
        return;
    };
    let mut guarded = profile.ssh.at.is_some() || profile.ssh.ci.is_some();
    for line in services {
        let (word, app) = match line.usage.audience() {
            Audience::Admin => ("admin", &cloudflare.admin),
            Audience::Family => ("family", &cloudflare.family),
            Audience::Everyone => continue,
        };
        guarded = true;
        if app.is_none() {
            let message =
                format!("`{}` is for \"{word}\", and no Access application says who that is", line.key);
            let help =
                format!("add {word} = {{ aud = \"…\" }} to [cloudflare]: the application's audience tag");
            report.add(
                At::Key(&["services", line.key, "for"]),
                Finding::error("no-access", message).help(help),
            );
        }
    }
    if guarded && cloudflare.team.is_none() {
        let finding =
            Finding::error("no-team", "the box cannot check Access's tokens without the name of the team");
        report
            .add(At::Key(&["cloudflare"]), finding.help("add team = \"…\", as in TEAM.cloudflareaccess.com"));
    }
}

/// Audience tags: a list without one would be no check at all.
pub(super) fn tags(facts: &Facts<'_>, report: &mut Report<'_>) {
    let (ssh, cloudflare) = (&facts.profile.ssh, facts.profile.cloudflare.as_ref());
    let (admin, family) = cloudflare.map_or((None, None), |one| (one.admin.as_ref(), one.family.as_ref()));
    let places: [(&[&str], _); 4] = [
        (&["ssh", "aud"], ssh.aud.as_ref()),
        (&["ssh", "ci-aud"], ssh.ci_aud.as_ref()),
        (&["cloudflare", "admin", "aud"], admin.map(|app| &app.aud)),
        (&["cloudflare", "family", "aud"], family.map(|app| &app.aud)),
    ];
    for (path, tags) in places {
        let empty = |tags: &OneOrMany| {
            tags.as_slice().is_empty() || tags.as_slice().iter().any(|tag| tag.trim().is_empty())
        };
        if tags.is_some_and(empty) {
            let finding = Finding::error("no-access", "this names no Access application");
            report.add(
                At::Value(path),
                finding
                    .help("write the application's audience tag, which Cloudflare's Zero Trust pages show"),
            );
        }
    }
}

/// Who may come in, against what the application does about strangers.
pub(super) fn strangers(facts: &Facts<'_>, report: &mut Report<'_>) {
    for (line, service) in facts.known() {
        let usage = line.usage;
        if usage.at.is_none() {
            if usage.audience.is_some() {
                let message =
                    format!("`for` says who may come in, and `{}` has no name to come in by", line.key);
                let at = At::Key(&["services", line.key, "for"]);
                report.add(at, Finding::warning("unused-key", message).help("add `at`, or remove `for`"));
            }
            continue;
        }
        let at_key = ["services", line.key, "at"];
        let Some(exposure) = &service.exposure else {
            let message = format!("{} has no page that could be reached", service.title);
            report.add(At::Key(&at_key), Finding::error("no-use", message).help("remove `at`"));
            continue;
        };
        if usage.audience() == Audience::Everyone && exposure.login == Login::None {
            let message =
                format!("{} has no login of its own: everyone on the internet could use it", service.title);
            let finding = Finding::error("open-to-everyone", message);
            report.add(
                At::Value(&["services", line.key, "for"]),
                finding.help("write for = \"family\" or \"admin\""),
            );
        }
    }
}

/// Pages for everyone.
pub(super) fn pages(facts: &Facts<'_>, report: &mut Report<'_>) {
    for (line, service) in facts.known() {
        let has_page = service.exposure.as_ref().is_some_and(|exposure| exposure.page.is_some());
        if line.usage.page.is_some() && !has_page {
            let message = format!("{} has no page that could be shown to everyone by itself", service.title);
            let at = At::Key(&["services", line.key, "page"]);
            report.add(at, Finding::error("no-use", message).help("remove `page`"));
        }
    }
}

/// The ports of `service` that are opened at home when its line says `lan = true`.
pub(super) fn lan_ports(service: &Service) -> Vec<PortRange> {
    let main = service.exposure.as_ref().filter(|exposure| exposure.lan).map(|exposure| tcp(exposure.port));
    let further = service.ports.iter().filter(|port| port.open == Open::Lan).map(|port| port.port);
    main.into_iter().chain(further).collect()
}

/// The ports that a line opens at home.
pub(super) fn opened_at_home(line: &Line<'_>, service: &Service) -> Vec<PortRange> {
    match &line.usage.lan {
        LanAccess::Open(false) => Vec::new(),
        LanAccess::Open(true) => lan_ports(service),
        LanAccess::Ports(ports) => ports.clone(),
    }
}

pub(super) fn tcp(port: u16) -> PortRange {
    PortRange { first: port, last: port, protocol: Protocol::Tcp }
}

/// Ports at home and at the edge: the service has them, and no two services open the same one.
pub(super) fn ports(facts: &Facts<'_>, report: &mut Report<'_>) {
    let mut taken: Vec<(PortRange, String)> = BOX_PORTS
        .iter()
        .map(|(port, protocol, what)| {
            (PortRange { first: *port, last: *port, protocol: *protocol }, (*what).into())
        })
        .collect();
    for (line, service) in facts.known() {
        let path = ["services", line.key, "lan"];
        if line.usage.lan == LanAccess::Open(true) && lan_ports(service).is_empty() {
            let message = format!("{} has no port to open at home", service.title);
            report.add(At::Value(&path), Finding::error("no-use", message).help("remove `lan`"));
        }
        let mut own = Vec::new();
        for port in opened_at_home(line, service) {
            let main = service.exposure.as_ref().map(|exposure| tcp(exposure.port));
            let mut ranges = main.iter().chain(service.ports.iter().map(|port| &port.port));
            if !ranges.any(|one| one.contains(&port)) {
                let message = format!("{} does not listen on {port}", service.title);
                report
                    .add(At::Value(&path), Finding::error("unknown-port", message).help(its_ports(service)));
            }
            own.push((port, "lan"));
        }
        for (position, port) in line.usage.edge.iter().enumerate() {
            let position = position.to_string();
            let path = ["services", line.key, "edge", position.as_str()];
            let mut ranges = service.ports.iter().filter(|one| one.open == Open::Edge).map(|one| &one.port);
            if !ranges.any(|one| one.contains(port)) {
                let message = format!("{} has no use for {port} at Cloudflare's edge", service.title);
                let finding = Finding::error("unknown-port", message);
                report
                    .add(At::Value(&path), finding.help("what is HTTP goes through the tunnel: write `at`"));
            }
            own.push((*port, "edge"));
        }
        for (index, (port, key)) in own.iter().enumerate() {
            let path = ["services", line.key, key];
            let owner = format!("`{}`", line.key);
            // One port may be open at home and at the edge: that is one port of one service, for two sources.
            let before =
                own.iter().take(index).filter(|(_, other)| other == key).map(|(other, _)| (other, &owner));
            let mut others = taken.iter().map(|(other, owner)| (other, owner)).chain(before);
            if let Some((other, owner)) = others.find(|(other, _)| other.overlaps(port)) {
                let message = format!("the box's port {other} is already {owner}'s");
                let help = "a port of the box leads to one service: take `lan` or `edge` from one of the two";
                report.add(At::Value(&path), Finding::error("port-clash", message).help(help));
            }
        }
        taken.extend(own.into_iter().map(|(port, _)| (port, format!("`{}`", line.key))));
    }
}

/// What the box itself listens on.
const BOX_PORTS: [(u16, Protocol, &str); 3] =
    [(22, Protocol::Tcp, "SSH"), (5353, Protocol::Udp, "mDNS"), (68, Protocol::Udp, "DHCP")];

fn its_ports(service: &Service) -> String {
    let ports: Vec<String> = lan_ports(service).iter().map(ToString::to_string).collect();
    if ports.is_empty() { "remove it".into() } else { format!("its ports are {}", ports.join(", ")) }
}
