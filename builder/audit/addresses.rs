//! Addresses: none stands where a name belongs, and the box's networks are clear of those around it.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::Value;

use super::Breach;
use crate::plan::Plan;
use crate::profile::Profile;
use crate::profile::values::network;

/// Where a container's definition holds names of others.
const HOLDERS: [&str; 7] = ["environment", "command", "entrypoint", "extra_hosts", "links", "dns", "labels"];

/// Tells every private address in a container's definition, but for the box's own networks as a whole (trusted proxies).
pub(super) fn in_container(container: &Value, plan: &Plan, mut tell: impl FnMut(&str)) {
    for key in HOLDERS {
        let mut texts = Vec::new();
        container.get(key).into_iter().for_each(|value| collect(value, &mut texts));
        for text in texts {
            let own = |word: &str| plan.networks.iter().any(|one| word.parse() == Ok(one.subnet));
            for word in private_addresses(text).filter(|word| !own(word)) {
                tell(&format!("`{key}` has the address {word}"));
            }
        }
    }
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(list) => list.iter().for_each(|one| collect(one, texts)),
        Value::Object(map) => map.values().for_each(|one| collect(one, texts)),
        _ => {}
    }
}

/// Every address or network in `text` that is at home, of a container, or of a carrier's network.
pub fn private_addresses(text: &str) -> impl Iterator<Item = &str> {
    let four = text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '/'));
    let six = text.split(|c: char| !(c.is_ascii_hexdigit() || c == ':'));
    let four = four.map(|word| word.trim_matches('/')).filter(|word| is_private(word));
    four.chain(six.filter_map(private_in))
}

/// 127.0.0.1 is the container itself.
fn is_private(word: &str) -> bool {
    let address = word.split('/').next().and_then(|word| word.parse::<Ipv4Addr>().ok());
    let carrier = |address: Ipv4Addr| address.octets()[0] == 100 && (64..128).contains(&address.octets()[1]);
    address.is_some_and(|one| one.is_private() || one.is_link_local() || carrier(one))
}

/// The private IPv6 address that `word` is, or ends in: in `nas:fd00::20` a name stands before it.
fn private_in(word: &str) -> Option<&str> {
    let ends = word.match_indices(':').filter_map(|(at, _)| word.get(at + 1..));
    std::iter::once(word).chain(ends).find(|word| {
        let address = word.parse::<Ipv6Addr>().ok();
        address.is_some_and(|one| one.is_unique_local() || one.is_unicast_link_local())
    })
}

/// The networks between containers against those at home, and against each other.
pub(super) fn networks(plan: &Plan, profile: &Profile) -> Vec<Breach> {
    let home = profile.network.lan.iter().map(|lan| IpNet::V4(*lan));
    let hosts = profile.network.hosts.values().filter_map(|text| network(text).ok());
    let around: Vec<IpNet> = home.chain(hosts).collect();
    let mut breaches = Vec::new();
    for (index, one) in plan.networks.iter().enumerate() {
        let subnet = IpNet::V4(one.subnet);
        let overlap = |other: &IpNet| subnet.contains(other) || other.contains(&subnet);
        let before = plan.networks.iter().take(index).map(|other| IpNet::V4(other.subnet));
        let pool = std::iter::once(IpNet::V4(plan.docker_pool));
        if let Some(other) = around.iter().copied().chain(before).chain(pool).find(overlap) {
            let service = one.members.first().map(|member| member.service.clone()).unwrap_or_default();
            let message = format!("its network {} ({subnet}) overlaps {other}", one.name);
            let help = "write another range as `containers` under [network]";
            breaches.push(Breach { service, code: "network-overlap", message, help });
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_at_home_are_found_in_any_text() {
        let found = |text: &'static str| private_addresses(text).collect::<Vec<_>>();
        assert_eq!(found("http://192.168.1.20:80/, 127.0.0.1 and 1.1.1.1"), ["192.168.1.20"]);
        assert_eq!(found("nas:fd00::20"), ["fd00::20"]);
        assert_eq!(found("http://[fe80::1]:8080"), ["fe80::1"]);
        assert_eq!(found("::1 2606:4700::1111 12:30:45 std::fd::x a:b"), [""; 0]);
    }
}
