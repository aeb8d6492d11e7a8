//! A profile without errors, filled in: every service with its definition, its way out and its open ports, and those
//! that the box needs though no one wrote them.

use std::collections::BTreeMap;

use crate::catalog::{Catalog, Role};
use crate::firmware::{Distribution, Platform};
use crate::profile::{Document, Egress, PortRange, Profile, ServiceUse};

use super::exposure::opened_at_home;
use super::report::{Facts, Line};
use super::world::World;

/// A profile without errors, with its services found in the catalog.
#[derive(Debug, Clone)]
pub struct CheckedProfile {
    profile: Profile,
    distribution: Distribution,
    platform: Platform,
    catalog: Catalog,
    services: Vec<CheckedService>,
}

/// A service of the box.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedService {
    /// The name in the catalog: `seerr` even where the profile says `overseerr`.
    pub name: String,
    /// The profile's line; an empty one if the service is there because the box needs it.
    pub usage: ServiceUse,
}

impl CheckedProfile {
    /// The profile as it was written, with defaults filled in.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The box's name.
    pub fn name(&self) -> &str {
        &self.profile.machine.name
    }

    /// The system underneath.
    pub fn distribution(&self) -> &Distribution {
        &self.distribution
    }

    /// The kind of machine.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The catalog that the services are from, for their folders.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The services in the order of their names, with those that the box needs by itself (the tunnel's and the VPN's).
    pub fn services(&self) -> &[CheckedService] {
        &self.services
    }

    /// The service of this name in the catalog, if the box has it.
    pub fn service(&self, name: &str) -> Option<&CheckedService> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The way out that a service of the box gets.
    pub fn egress(&self, service: &CheckedService) -> Egress {
        self.line(service).egress()
    }

    /// The ports of the box by which devices at home reach a service of the box.
    pub fn lan_ports(&self, service: &CheckedService) -> Vec<PortRange> {
        let line = self.line(service);
        line.service.map(|definition| opened_at_home(&line, definition)).unwrap_or_default()
    }

    fn line<'a>(&'a self, service: &'a CheckedService) -> Line<'a> {
        let definition = self.catalog.get(&service.name);
        Line { key: &service.name, usage: &service.usage, service: definition, note: None }
    }

    /// The full host name of `label` under the box's domain: `kuma` is `kuma.example.com`.
    ///
    /// A profile with any `at` has a domain, so that this is the bare label only where nothing uses it.
    pub fn hostname(&self, label: &str) -> String {
        match &self.profile.machine.domain {
            Some(domain) => format!("{label}.{domain}"),
            None => label.to_owned(),
        }
    }
}

/// Fills a profile in; none if it has errors that were not looked at.
pub(super) fn fill(document: &Document, world: World) -> Option<CheckedProfile> {
    let facts = Facts::new(document, &world);
    let mut services = BTreeMap::new();
    for line in &facts.lines {
        services.insert(line.service?.name.clone(), line.usage.clone());
    }
    for role in roles(&facts) {
        if let Some(service) = world.catalog.with_role(role) {
            services.entry(service.name.clone()).or_default();
        }
    }
    let services = services.into_iter().map(|(name, usage)| CheckedService { name, usage }).collect();
    let profile = document.profile.clone();
    let (distribution, platform) = (world.distribution?, world.platform?);
    Some(CheckedProfile { profile, distribution, platform, catalog: world.catalog, services })
}

/// The roles that something in the profile calls for.
fn roles(facts: &Facts<'_>) -> Vec<Role> {
    let published = facts.lines.iter().any(|line| line.usage.at.is_some() || line.usage.page.is_some());
    let vpn = facts.lines.iter().any(|line| line.egress() == Egress::Vpn);
    let roles =
        [(Role::Ingress, published), (Role::Vpn, vpn), (Role::Backup, facts.profile.backup.is_some())];
    roles.into_iter().filter(|(_, wanted)| *wanted).map(|(role, _)| role).collect()
}
