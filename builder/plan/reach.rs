//! Who can reach whom: the plan's networks in, every pair of containers that may connect out, and each one's way out.
//!
//! Two containers reach each other, on any port, by name and by address, where they share a network; what lives in one
//! network namespace shares even its loopback interface. Whatever is not in this table is dropped on the box: networks
//! lead to each other nowhere (see the rules of `bw-egress` in the overlay `firewall`).

use std::collections::BTreeSet;

use serde::Serialize;

use super::Plan;
use super::container::ContainerPlan;

/// Everything that the containers of a box can reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Each container, by name.
    pub containers: Vec<Outward>,
    /// Each pair of two that reach each other, either way, once; by name.
    pub pairs: Vec<Pair>,
}

/// What a container reaches that is not a container of this box.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Outward {
    /// The container.
    pub container: String,
    /// The one whose network namespace it lives in, if that is not its own.
    pub namespace: Option<String>,
    /// Where its packets leave the box, if they do.
    pub way_out: WayOut,
    /// Addresses at home that it may connect to.
    pub home: Vec<String>,
}

/// Where packets leave the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WayOut {
    /// To the internet, and to nothing at home.
    Internet,
    /// Through the VPN, and nowhere without it.
    Vpn,
    /// Nowhere.
    Nothing,
}

/// Two containers that reach each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pair {
    /// The two, by name.
    pub containers: [String; 2],
    /// The networks that they share; none where they share a namespace.
    pub networks: Vec<String>,
}

impl Plan {
    /// What every container reaches.
    pub fn reach(&self) -> Reach {
        let running = self.services.iter().filter(|service| service.runs());
        let containers = running.flat_map(|service| &service.containers);
        let mut all: Vec<_> = containers.map(|container| (container, self.networks_of(container))).collect();
        all.sort_by_key(|(container, _)| container.name.as_str());
        let mut pairs = Vec::new();
        for (index, (one, joined)) in all.iter().enumerate() {
            for (other, theirs) in &all[index + 1..] {
                let together = namespace(one) == namespace(other);
                let shared = joined.intersection(theirs).filter(|_| !together);
                let networks: Vec<String> = shared.map(ToString::to_string).collect();
                if together || !networks.is_empty() {
                    pairs.push(Pair { containers: [one.name.clone(), other.name.clone()], networks });
                }
            }
        }
        let outward = all.into_iter().map(|(container, joined)| self.outward(container, &joined));
        Reach { containers: outward.collect(), pairs }
    }

    /// The names of the networks that the namespace of `container` is on.
    fn networks_of(&self, container: &ContainerPlan) -> BTreeSet<&str> {
        let holder = namespace(container);
        let joined =
            self.networks.iter().filter(|network| network.members.iter().any(|one| one.container == holder));
        joined.map(|network| network.name.as_str()).collect()
    }

    /// What `container` reaches through the networks called `joined`, which it is on.
    fn outward(&self, container: &ContainerPlan, joined: &BTreeSet<&str>) -> Outward {
        let networks = || self.networks.iter().filter(|network| joined.contains(network.name.as_str()));
        let way_out = match (&container.namespace, networks().any(|network| network.egress)) {
            (Some(holder), _) if self.vpn.as_ref() == Some(holder) => WayOut::Vpn,
            (_, true) => WayOut::Internet,
            (_, false) => WayOut::Nothing,
        };
        let home: BTreeSet<&String> = networks().flat_map(|network| &network.reach).collect();
        Outward {
            container: container.name.clone(),
            namespace: container.namespace.clone(),
            way_out,
            home: home.into_iter().cloned().collect(),
        }
    }
}

impl Reach {
    /// The names of the containers that `container` reaches.
    pub fn of(&self, container: &str) -> Vec<&str> {
        let mut others = Vec::new();
        for Pair { containers: [one, other], .. } in &self.pairs {
            if one == container {
                others.push(other.as_str());
            } else if other == container {
                others.push(one.as_str());
            }
        }
        others
    }
}

/// The container whose network namespace this one lives in: itself, mostly.
fn namespace(container: &ContainerPlan) -> &str {
    container.namespace.as_ref().unwrap_or(&container.name)
}
