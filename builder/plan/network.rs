//! The networks between containers: who shares one with whom, with fixed subnets cut from the profile's range.
//!
//! Every service has a network of its own, which cloudflared joins where the service is published; databases and the like
//! sit on a second one (`_db`) that no other service joins; two services that talk share one more; and the way out, or a
//! port open to the house, is one that is not internal (`_out`, `_lan`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::{Result, bail};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::catalog::Role;
use crate::digest::Sha256;
use crate::profile::{Egress, Profile};

use super::container::{ContainerPlan, NetworkUse};
use super::service::ServicePlan;

/// The longest name that Linux gives a network interface (IFNAMSIZ - 1, linux/if.h).
const INTERFACE_NAME: usize = 15;

/// One network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Docker's name of it: `bw-nextcloud_db`.
    pub name: String,
    /// The interface of its bridge, at most 15 characters, beginning with `bw-`.
    pub bridge: String,
    /// Its addresses.
    pub subnet: Ipv4Net,
    /// The box's address in it.
    pub gateway: Ipv4Addr,
    /// Whether it leads nowhere but to its members.
    pub internal: bool,
    /// Whether it leads to the internet.
    pub egress: bool,
    /// Addresses at home that its members may connect to.
    pub reach: Vec<String>,
    /// Who is on it.
    pub members: Vec<Member>,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// The service that the container belongs to.
    pub service: String,
    /// The container's name on the box.
    pub container: String,
    /// The names by which the others find what is in its namespace, its own included.
    pub names: Vec<String>,
}

/// A network under construction: container → names.
#[derive(Default)]
struct Draft {
    internal: bool,
    egress: bool,
    reach: BTreeSet<String>,
    members: BTreeMap<(String, String), BTreeSet<String>>,
}

/// Plans the networks of `services`; the second value is the range that is left for Docker itself.
pub(super) fn plan(services: &[ServicePlan], profile: &Profile) -> Result<(Vec<NetworkPlan>, Ipv4Net)> {
    let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
    let vpn = services.iter().find(|service| service.role == Some(Role::Vpn));
    let tunnel = services.iter().find(|service| service.role == Some(Role::Ingress));
    for service in services.iter().filter(|service| service.runs()) {
        own(&mut drafts, service, vpn);
        published(&mut drafts, service, tunnel, vpn);
        for other in service.talks_to.iter().filter_map(|name| services.iter().find(|one| one.name == *name))
        {
            link(&mut drafts, service, other, vpn);
        }
    }
    drop_lonely(&mut drafts);
    name_all_inside(&mut drafts, services);
    let range = profile.network.containers;
    let Ok(mut halves) = range.subnets((range.prefix_len() + 1).min(32)) else {
        bail!("the range {range} for container networks is too small");
    };
    let (ours, docker) = (halves.next().unwrap_or(range), halves.next().unwrap_or(range));
    Ok((number(drafts, ours)?, docker))
}

/// On each network that a container is on, what lives in its namespace has its name: it is reached there in any case, and so
/// one table says who reaches whom by name and by address.
fn name_all_inside(drafts: &mut BTreeMap<String, Draft>, services: &[ServicePlan]) {
    let containers = services.iter().filter(|service| service.runs()).flat_map(|service| &service.containers);
    for inside in containers {
        let Some(holder) = &inside.namespace else { continue };
        for draft in drafts.values_mut() {
            let holders = draft.members.iter_mut().filter(|((_, container), _)| container == holder);
            holders.for_each(|(_, names)| _ = names.insert(inside.name.clone()));
        }
    }
}

/// Takes away networks whose only member is on another one as well: nothing would ever pass through them.
fn drop_lonely(drafts: &mut BTreeMap<String, Draft>) {
    let mut times: BTreeMap<(String, String), usize> = BTreeMap::new();
    for member in drafts.values().flat_map(|draft| draft.members.keys()) {
        *times.entry(member.clone()).or_default() += 1;
    }
    drafts.retain(|_, draft| {
        let mut members = draft.members.keys();
        let alone = members.next().filter(|_| members.next().is_none() && draft.internal);
        alone.is_none_or(|member| times.get(member) == Some(&1))
    });
}

/// Cuts a subnet for each network out of `range`: /24 where there is room, smaller ones otherwise.
fn number(drafts: BTreeMap<String, Draft>, range: Ipv4Net) -> Result<Vec<NetworkPlan>> {
    let room = |prefix: u8| {
        prefix >= range.prefix_len() && drafts.len() <= 1 << (prefix - range.prefix_len()).min(30)
    };
    let Some(prefix) = (24..=28).find(|&prefix| room(prefix)) else {
        bail!(
            "{} container networks do not fit into {range}; write a larger `containers` under [network]",
            drafts.len()
        );
    };
    let mut bridges = BTreeSet::new();
    let subnets = range.subnets(prefix)?;
    let mut planned = Vec::new();
    for ((name, draft), subnet) in drafts.into_iter().zip(subnets) {
        let bridge = bridge(&name);
        if !bridges.insert(bridge.clone()) {
            bail!(
                "the networks of two services would both get the interface `{bridge}`; rename one of the services"
            );
        }
        let members = draft.members.into_iter();
        let member = |((service, container), names): ((String, String), BTreeSet<String>)| Member {
            service,
            container,
            names: names.into_iter().collect(),
        };
        planned.push(NetworkPlan {
            bridge,
            gateway: subnet.hosts().next().unwrap_or(subnet.network()),
            subnet,
            internal: draft.internal,
            egress: draft.egress,
            reach: draft.reach.into_iter().collect(),
            members: members.map(member).collect(),
            name,
        });
    }
    Ok(planned)
}

/// The interface's name: the network's own where it is short enough, else its start and some digits of its digest.
fn bridge(network: &str) -> String {
    if network.len() <= INTERFACE_NAME {
        return network.to_owned();
    }
    let digest = Sha256::of_bytes(network.as_bytes()).to_string();
    format!("{}-{}", &network[..INTERFACE_NAME - 5], &digest[..4])
}

/// The container whose network namespace `container` lives in, with its service.
fn endpoint<'a>(
    service: &'a ServicePlan,
    container: &'a ContainerPlan,
    vpn: Option<&'a ServicePlan>,
) -> (&'a str, &'a str) {
    match (&container.namespace, vpn) {
        (Some(_), Some(vpn)) => (&vpn.name, &vpn.name),
        _ => (&service.name, &container.name),
    }
}

impl Draft {
    fn join(&mut self, service: &ServicePlan, container: &ContainerPlan, vpn: Option<&ServicePlan>) {
        let (owner, name) = endpoint(service, container, vpn);
        let names = self.members.entry((owner.to_owned(), name.to_owned())).or_default();
        names.insert(name.to_owned());
        names.insert(container.name.clone());
        // Inside its own service a container is also known by its key: `db`.
        names.insert(container.key.clone());
    }
}

/// The networks that a service has by itself.
fn own(drafts: &mut BTreeMap<String, Draft>, service: &ServicePlan, vpn: Option<&ServicePlan>) {
    let name = &service.name;
    let applications = || service.containers.iter().filter(|container| !container.private);
    if service.namespace.is_none() {
        let draft = drafts
            .entry(format!("bw-{name}"))
            .or_insert_with(|| Draft { internal: true, ..Draft::default() });
        applications().for_each(|container| draft.join(service, container, vpn));
    } else if let Some(vpn) = vpn {
        let draft = drafts
            .entry(format!("bw-{}", vpn.name))
            .or_insert_with(|| Draft { internal: true, ..Draft::default() });
        applications().for_each(|container| draft.join(service, container, Some(vpn)));
    }
    if service.containers.iter().any(|container| container.private) {
        let draft = drafts
            .entry(format!("bw-{name}_db"))
            .or_insert_with(|| Draft { internal: true, ..Draft::default() });
        service.containers.iter().for_each(|container| draft.join(service, container, vpn));
    }
    way_out(drafts, service, vpn);
}

/// The network that is not internal, for the way out, for what the service may reach at home, and for published ports.
fn way_out(drafts: &mut BTreeMap<String, Draft>, service: &ServicePlan, vpn: Option<&ServicePlan>) {
    let direct = service.egress == Egress::Direct;
    let outward = |container: &&ContainerPlan| {
        let leaves = container.egress && (direct || !service.reach.is_empty());
        container.namespace.is_none()
            && (leaves || !container.ports.is_empty() || needs_reach(service, container))
    };
    let members: Vec<&ContainerPlan> = service.containers.iter().filter(outward).collect();
    if members.is_empty() {
        return;
    }
    let kind = if direct { "out" } else { "lan" };
    let draft = drafts.entry(format!("bw-{}_{kind}", service.name)).or_default();
    draft.egress = direct;
    draft.reach.extend(service.reach.values().cloned());
    members.into_iter().for_each(|container| draft.join(service, container, vpn));
}

/// Whether `container` is the one that uses the service's `reach`: the one with a way out, else the main one.
fn needs_reach(service: &ServicePlan, container: &ContainerPlan) -> bool {
    !service.reach.is_empty() && container.main && !service.containers.iter().any(|one| one.egress)
}

/// cloudflared joins the one network that leads to what it serves.
fn published(
    drafts: &mut BTreeMap<String, Draft>,
    service: &ServicePlan,
    tunnel: Option<&ServicePlan>,
    vpn: Option<&ServicePlan>,
) {
    let Some(tunnel) = tunnel.filter(|tunnel| tunnel.name != service.name) else { return };
    if service.hostname.is_none() && service.page_hostname.is_none() {
        return;
    }
    let owner = match (&service.namespace, vpn) {
        (Some(_), Some(vpn)) => &vpn.name,
        _ => &service.name,
    };
    if let (Some(draft), Some(container)) = (drafts.get_mut(&format!("bw-{owner}")), main(tunnel)) {
        draft.join(tunnel, container, vpn);
    }
}

fn main(service: &ServicePlan) -> Option<&ContainerPlan> {
    service.containers.iter().find(|container| container.main)
}

/// Two services that talk share a network, unless they already share a namespace.
fn link(
    drafts: &mut BTreeMap<String, Draft>,
    from: &ServicePlan,
    to: &ServicePlan,
    vpn: Option<&ServicePlan>,
) {
    let (Some(client), Some(server)) = (main(from), main(to)) else { return };
    let ends = [endpoint(from, client, vpn), endpoint(to, server, vpn)];
    if ends[0] == ends[1] {
        return;
    }
    let mut owners = [ends[0].0, ends[1].0];
    owners.sort_unstable();
    let draft = drafts
        .entry(format!("bw-{}_{}", owners[0], owners[1]))
        .or_insert_with(|| Draft { internal: true, ..Draft::default() });
    draft.join(from, client, vpn);
    draft.join(to, server, vpn);
}

/// Tells every container which networks it is on.
pub(super) fn attach(services: &mut [ServicePlan], networks: &[NetworkPlan]) {
    for service in services {
        let mut names = BTreeSet::new();
        for container in service.containers.iter_mut().filter(|container| container.namespace.is_none()) {
            container.networks = joined(container, networks);
            names.extend(container.networks.iter().map(|network| network.name.clone()));
        }
        service.networks = names.into_iter().collect();
    }
}

fn joined(container: &ContainerPlan, networks: &[NetworkPlan]) -> Vec<NetworkUse> {
    let mut joined = Vec::new();
    for network in networks {
        for member in network.members.iter().filter(|member| member.container == container.name) {
            let aliases = member.names.iter().filter(|name| **name != container.key);
            joined.push(NetworkUse { name: network.name.clone(), aliases: aliases.cloned().collect() });
        }
    }
    joined
}
