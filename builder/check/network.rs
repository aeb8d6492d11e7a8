//! Rules about addresses: the box's own networks stay clear of the house's, names stand where names belong, and what
//! shares a namespace shares no port.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::catalog::{Role, Service};
use crate::diag::Finding;
use crate::profile::values::network;
use crate::profile::{Egress, PortRange, nearest};

use super::exposure::tcp;
use super::report::{At, Facts, Report};
use super::words;

/// The range for containers, and the house's networks.
pub(super) fn ranges(facts: &Facts<'_>, report: &mut Report<'_>) {
    let net = &facts.profile.network;
    let pool = net.containers;
    let at = || At::Value(&["network", "containers"]);
    if pool.prefix_len() > 16
        || pool.prefix_len() < 8
        || !pool.network().is_private()
        || !pool.broadcast().is_private()
    {
        let finding = Finding::error("bad-network", format!("{pool} is no range for containers"));
        report.add(at(), finding.help("write a private /16 or larger, such as \"10.213.0.0/16\""));
    } else if pool != pool.trunc() {
        let finding = Finding::error("bad-network", format!("{pool} is an address within a network"));
        report.add(at(), finding.help(format!("write \"{}\"", pool.trunc())));
    }
    for (position, lan) in net.lan.iter().enumerate() {
        let position = position.to_string();
        let path = ["network", "lan", position.as_str()];
        if *lan != lan.trunc() {
            let finding = Finding::error("bad-network", format!("{lan} is an address within a network"));
            report.add(At::Value(&path), finding.help(format!("write \"{}\"", lan.trunc())));
        }
        if overlap(&IpNet::V4(*lan), pool) {
            let message = format!("the network at home, {lan}, overlaps {pool}, the range for containers");
            let help = format!("write containers = \"{}\" in [network]", elsewhere(&net.lan));
            report.add(At::Value(&path), Finding::error("network-overlap", message).help(help));
        }
    }
    for (name, text) in &net.hosts {
        let path = ["network", "hosts", name.as_str()];
        if let Some(reason) = words::label(name) {
            let message = format!("\"{name}\" cannot be the name of a machine: {reason}");
            report.add(At::Key(&path), Finding::error("bad-host-name", message));
        }
        if network(text).is_ok_and(|network| overlap(&network, pool)) {
            let message = format!("{text} is inside {pool}, the range for containers");
            let help = format!("write containers = \"{}\" in [network]", elsewhere(&net.lan));
            report.add(At::Value(&path), Finding::error("network-overlap", message).help(help));
        }
    }
}

/// The networks of the VPN's tunnel: what is inside them leaves by it, whoever else has them.
pub(super) fn tunnel(facts: &Facts<'_>, report: &mut Report<'_>) {
    let net = &facts.profile.network;
    for (position, range) in facts.profile.vpn.iter().flat_map(|vpn| &vpn.addresses).enumerate() {
        let position = position.to_string();
        let path = ["vpn", "addresses", position.as_str()];
        if *range != range.trunc() {
            let finding = Finding::error("bad-network", format!("{range} is an address within a network"));
            report.add(At::Value(&path), finding.help(format!("write \"{}\"", range.trunc())));
        }
        for (other, what) in net.around() {
            if overlap(&other, *range) {
                let message = format!("the VPN's tunnel, {range}, overlaps {what}, {other}");
                let help = match what {
                    "the range for containers" => {
                        let taken: Vec<Ipv4Net> = net.lan.iter().copied().chain([*range]).collect();
                        format!("write containers = \"{}\" in [network]", elsewhere(&taken))
                    }
                    _ => "give the network at home another range, or take another provider".to_owned(),
                };
                report.add(At::Value(&path), Finding::error("network-overlap", message).help(help));
            }
        }
    }
}

fn overlap(one: &IpNet, other: Ipv4Net) -> bool {
    let other = IpNet::V4(other);
    one.contains(&other) || other.contains(one)
}

/// A range for containers that is clear of the house.
fn elsewhere(lan: &[Ipv4Net]) -> Ipv4Net {
    let default = crate::profile::Network::default().containers;
    let ranges = (0..=255).rev().filter_map(|byte| Ipv4Net::new([10, byte, 0, 0].into(), 16).ok());
    let more = (16..32).filter_map(|byte| Ipv4Net::new([172, byte, 0, 0].into(), 16).ok());
    let mut all = std::iter::once(default).chain(ranges).chain(more);
    all.find(|range| !lan.iter().any(|lan| overlap(&IpNet::V4(*lan), *range))).unwrap_or(default)
}

/// What a service may reach in the house is named in `[network.hosts]`, and every name there is used.
pub(super) fn reach(facts: &Facts<'_>, report: &mut Report<'_>) {
    let hosts = &facts.profile.network.hosts;
    let mut used: Vec<&str> = Vec::new();
    for line in &facts.lines {
        for (position, name) in line.usage.reach.iter().enumerate() {
            used.push(name);
            let position = position.to_string();
            let path = ["services", line.key, "reach", position.as_str()];
            if hosts.contains_key(name) {
                if line.service.is_some() && line.egress() == Egress::Vpn {
                    let message = format!(
                        "`{}` leaves through the VPN alone, and reaches nothing in the house",
                        line.key
                    );
                    report.add(
                        At::Value(&path),
                        Finding::error("no-use", message).help("remove `reach`, or `egress`"),
                    );
                }
                continue;
            }
            let finding = if name.parse::<IpAddr>().is_ok() || name.parse::<IpNet>().is_ok() {
                let finding = Finding::error(
                    "address-for-name",
                    format!("\"{name}\" is an address where a name belongs"),
                );
                finding.help(format!("add to [network.hosts]: nas = \"{name}\", and write reach = [\"nas\"]"))
            } else {
                let finding = Finding::error(
                    "unknown-host",
                    format!("there is no machine `{name}` in [network.hosts]"),
                );
                match nearest(name, hosts.keys().map(String::as_str)) {
                    Some(near) => finding.help(format!("write \"{near}\"")),
                    None => finding.help(format!("add to [network.hosts]: {name} = \"192.168.1.20\"")),
                }
            };
            report.add(At::Value(&path), finding);
        }
    }
    for name in hosts.keys().filter(|name| !used.contains(&name.as_str())) {
        let finding = Finding::warning("unused-host", format!("no service may reach `{name}`"));
        let help = format!("write reach = [\"{name}\"] on a service, or remove it");
        report.add(At::Key(&["network", "hosts", name]), finding.help(help));
    }
}

/// Services behind the VPN share one network namespace, hence its ports.
pub(super) fn shared_namespace(facts: &Facts<'_>, report: &mut Report<'_>) {
    let gateway = facts.world.catalog.with_role(Role::Vpn);
    let mut taken: Vec<(PortRange, &str)> = Vec::new();
    if let Some(service) = gateway {
        taken.extend(listens(service).into_iter().map(|port| (port, service.name.as_str())));
    }
    for (line, service) in facts.known() {
        if line.egress() != Egress::Vpn || service.role == Some(Role::Vpn) {
            continue;
        }
        let ports = listens(service);
        for port in &ports {
            if let Some((other, owner)) = taken.iter().find(|(other, _)| other.overlaps(port)) {
                let message = format!(
                    "`{}` and `{owner}` both listen on {other}, and behind the VPN they share it",
                    line.key
                );
                let help =
                    "let one of them leave in another way, or give it another port in its service.toml";
                report
                    .add(At::Key(&["services", line.key]), Finding::error("port-clash", message).help(help));
            }
        }
        taken.extend(ports.into_iter().map(|port| (port, line.key)));
    }
}

/// The ports on which the container of `service` that has the way out listens.
fn listens(service: &Service) -> Vec<PortRange> {
    let inside = |container: Option<&String>| {
        let name = container.unwrap_or(&service.name);
        service.containers.len() == 1
            || service.containers.get(name).is_some_and(|container| container.egress)
    };
    let exposure = service.exposure.iter().filter(|exposure| inside(exposure.container.as_ref()));
    let main = exposure.map(|exposure| tcp(exposure.port));
    let further = service.ports.iter().filter(|port| inside(port.container.as_ref())).map(|port| port.port);
    main.chain(further).collect()
}
