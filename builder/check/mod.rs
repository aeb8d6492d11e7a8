//! Rules over a profile, and the [`CheckedProfile`]: the only way on to the stages that build something.
//!
//! In go a profile, the catalog, and what is known of distributions and platforms; out come findings. Every rule is a
//! pure function in a table. Nothing here reads a file, and nothing after here doubts the profile again.

use crate::profile::{Profile, ServiceUse};

/// A profile without errors, with its services found in the catalog.
#[derive(Debug, Clone)]
pub struct CheckedProfile {
    profile: Profile,
    services: Vec<CheckedService>,
}

/// A service of the profile.
#[derive(Debug, Clone)]
pub struct CheckedService {
    /// The name in the catalog: `seerr` even where the profile says `overseerr`.
    pub name: String,
    /// The profile's line.
    pub usage: ServiceUse,
}

impl CheckedProfile {
    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The box's name.
    pub fn name(&self) -> &str {
        &self.profile.machine.name
    }

    /// The services, sorted by name, including those that others need (cloudflared, Gluetun).
    pub fn services(&self) -> &[CheckedService] {
        &self.services
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
