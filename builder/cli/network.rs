//! `boxwright inspect --network`: who can reach whom on the box of a profile.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::Session;
use crate::plan::{Plan, Reach, WayOut};

pub(super) fn run(session: &Session, profile: &Path) -> anyhow::Result<()> {
    let subject = session.subject(profile)?;
    let reach = subject.plan.reach();
    if session.global.json {
        return session.out.json(&json!({
            "containers": reach.containers,
            "pairs": reach.pairs,
            "networks": subject.plan.networks,
            "ports": subject.plan.ports,
        }));
    }
    session.out.write(&text(&subject.plan, &reach))
}

/// The tables for a person. Writing into a String cannot fail.
fn text(plan: &Plan, reach: &Reach) -> String {
    let mut text = String::new();
    for outward in &reach.containers {
        let name = &outward.container;
        let inside = outward.namespace.iter().map(|holder| format!(", in the network namespace of {holder}"));
        _ = writeln!(text, "{name}{}", inside.collect::<String>());
        let way_out = match outward.way_out {
            WayOut::Internet => "the internet",
            WayOut::Vpn => "the VPN alone",
            WayOut::Nothing => "none",
        };
        _ = writeln!(text, "  reaches  {}", listed(&reach.of(name)));
        _ = writeln!(text, "  way out  {way_out}");
        if !outward.home.is_empty() {
            _ = writeln!(text, "  at home  {}", outward.home.join(", "));
        }
    }
    if let Some(vpn) = &plan.vpn {
        let inside = reach.containers.iter().filter(|outward| outward.namespace.as_ref() == Some(vpn));
        let inside: Vec<&str> = inside.map(|outward| outward.container.as_str()).collect();
        if !inside.is_empty() {
            _ = writeln!(
                text,
                "\nWho reaches {vpn} reaches all that lives in its network namespace: {}.",
                listed(&inside)
            );
        }
    }
    _ = writeln!(text, "\nnetworks");
    let width = plan.networks.iter().map(|network| network.name.len()).max().unwrap_or_default();
    for network in &plan.networks {
        let members: Vec<&str> = network.members.iter().map(|member| member.container.as_str()).collect();
        let subnet = network.subnet.to_string();
        _ = writeln!(text, "  {:<width$}  {subnet:<18}  {}", network.name, listed(&members));
    }
    if !plan.ports.is_empty() {
        _ = writeln!(text, "\nports of the box");
    }
    for port in &plan.ports {
        let from = if port.source == "edge" { "from Cloudflare" } else { "from home" };
        _ = writeln!(text, "  {}/{} {from} to {}", port.port, port.protocol, port.service);
    }
    text
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "–".to_owned() } else { names.join(", ") }
}
