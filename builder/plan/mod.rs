//! The plan of a box's services: which containers, networks, ports, folders and host names there will be.
//!
//! In: the checked profile and the catalog. Out: the [`Plan`], the one value that templates, the firewall, the secrets and
//! the tables printed for people are made from, so that they cannot disagree. Nothing here reads a file or knows a service
//! by name.

mod backup;
mod container;
mod ingress;
mod network;
mod published;
mod reach;
mod secret;
mod service;

pub use backup::{BackupPlan, TargetPlan};
pub use container::{
    ContainerPlan, DOCKER_SOCKET, NetworkUse, PublishedPort, SecretFile, VolumeKind, VolumePlan,
};
pub use ingress::{Access, IngressRule};
pub use network::{Member, NetworkPlan};
pub use reach::{Outward, Pair, Reach, WayOut};
pub use secret::SecretPlan;
pub use service::{DiskPlan, ServicePlan};

use anyhow::Result;
use ipnet::Ipv4Net;
use serde::Serialize;

use crate::catalog::Catalog;
use crate::check::{CheckedProfile, CheckedService};
use crate::profile::Profile;

/// Everything that the services of a box are, in the order of their names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The services.
    pub services: Vec<ServicePlan>,
    /// The networks between containers.
    pub networks: Vec<NetworkPlan>,
    /// What the box opens.
    pub ports: Vec<PublishedPort>,
    /// What the tunnel serves, without the rule that refuses everything else.
    pub ingress: Vec<IngressRule>,
    /// The range that Docker takes addresses from for networks that are not of the plan.
    pub docker_pool: Ipv4Net,
    /// The nightly backup, if the profile has one.
    pub backup: Option<BackupPlan>,
    /// The container with the VPN's network namespace, if the box has one.
    pub vpn: Option<String>,
}

impl Plan {
    /// Plans the services of `profile`, all of which `catalog` has.
    ///
    /// # Errors
    /// If the profile's range has no room for the networks, or a service is not in the catalog.
    pub fn new(profile: &CheckedProfile, catalog: &Catalog) -> Result<Self> {
        Self::of(profile.profile(), profile.services(), catalog)
    }

    /// Plans `chosen` as [`Plan::new`] does, for whoever has no checked profile yet.
    ///
    /// # Errors
    /// As for [`Plan::new`].
    pub fn of(profile: &Profile, chosen: &[CheckedService], catalog: &Catalog) -> Result<Self> {
        let mut services = service::plan(profile, chosen, catalog)?;
        let (networks, docker_pool) = network::plan(&services, profile)?;
        network::attach(&mut services, &networks);
        let mut ports: Vec<PublishedPort> =
            services.iter().flat_map(|service| service.published.iter().cloned()).collect();
        ports.sort();
        let ingress = ingress::rules(&services);
        let vpn = services
            .iter()
            .find(|service| service.role == Some(crate::catalog::Role::Vpn))
            .map(|service| service.name.clone());
        let backup = backup::plan(profile, &services);
        Ok(Self { services, networks, ports, ingress, docker_pool, backup, vpn })
    }

    /// The planned service `name`.
    pub fn service(&self, name: &str) -> Option<&ServicePlan> {
        self.services.iter().find(|service| service.name == name)
    }
}
