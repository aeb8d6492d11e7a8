//! In: the profile with its plan, distribution, platform and locked images. Out: which overlay folders apply, and the values
//! that their templates see (overlays/README.md lists them).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tera::Context;

use super::render::{Planned, render};
use super::source::{Overlay, list};
use crate::check::CheckedProfile;
use crate::images;
use crate::lock::format::Image;
use crate::plan::Plan;
use crate::profile::SshLan;
use crate::secrets::Needs;
use crate::tree::Tree;

/// The folder of the overlays that every box has.
const SYSTEM: &str = "system";
/// The folder of the services' overlays.
const SERVICES: &str = "services";

/// What a box's files are rendered from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The profile, with its distribution and platform.
    pub profile: &'a CheckedProfile,
    /// Its services, networks and ports.
    pub plan: &'a Plan,
    /// The lock's container images; empty where there is no lock.
    pub images: &'a [Image],
}

/// A distribution as templates see it.
#[derive(Serialize)]
struct DistributionValues<'a> {
    name: &'a str,
    id: &'a str,
    title: &'a str,
    codename: &'a str,
    architecture: &'a str,
    archives: Vec<ArchiveValues<'a>>,
}

/// A suite as templates see it.
#[derive(Serialize)]
struct ArchiveValues<'a> {
    id: &'a str,
    role: &'a str,
    suite: &'a str,
    components: &'a [String],
    origin: &'a str,
    codename: &'a str,
    mirrors: &'a [String],
}

impl Inputs<'_> {
    /// The values that every template sees.
    ///
    /// # Errors
    /// A value cannot be serialized.
    pub fn values(&self) -> Result<Context> {
        let mut context = Context::from_serialize(self.plan).context("serializing the plan")?;
        let profile = self.profile.profile();
        context.insert("profile", profile);
        context.insert("secrets", &Needs::new(profile, self.plan));
        let lan =
            profile.ssh.lan == SshLan::Always || self.plan.ports.iter().any(|port| port.source == "lan");
        context.insert("lan", &lan);
        context.insert("edge", &self.plan.ports.iter().any(|port| port.source == "edge"));
        let digests: BTreeMap<&str, &str> = self
            .images
            .iter()
            .filter_map(|image| Some((image.reference.as_str(), image.digest.as_deref()?)))
            .collect();
        context.insert("digests", &digests);
        context.insert("images", &images::list(self.profile, self.plan, self.images));
        context.insert("distribution", &self.distribution_values());
        let platform = [("name", &self.profile.platform().name), ("title", &self.profile.platform().title)];
        context.insert("platform", &BTreeMap::from(platform));
        Ok(context)
    }

    fn distribution_values(&self) -> DistributionValues<'_> {
        let distribution = self.profile.distribution();
        DistributionValues {
            name: &distribution.name,
            id: &distribution.id,
            title: &distribution.title,
            codename: &distribution.codename,
            architecture: &distribution.architecture,
            archives: distribution
                .archives
                .iter()
                .map(|one| ArchiveValues {
                    id: &one.id,
                    role: &one.role,
                    suite: &one.suite,
                    components: &one.components,
                    origin: &one.origin,
                    codename: &one.codename,
                    mirrors: distribution.mirrors.get(&one.role).map_or(&[], Vec::as_slice),
                })
                .collect(),
        }
    }

    /// The overlays that apply, in their order: those of the system, then those of the services.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn overlays(&self, overlays: &Path) -> Result<Vec<Planned>> {
        let mut planned = Vec::new();
        for name in list(overlays, SYSTEM)? {
            planned.push(Planned { overlay: Overlay::load(overlays, &name)?, values: Context::new() });
        }
        for service in &self.plan.services {
            let mut values = Context::new();
            values.insert("service", service);
            let name = format!("{SERVICES}/{}", service.name);
            planned.push(Planned { overlay: Overlay::load(overlays, &name)?, values });
        }
        Ok(planned)
    }

    /// The tree of the profile layer, from the folders under `overlays`.
    ///
    /// # Errors
    /// See [`render`].
    pub fn tree(&self, overlays: &Path) -> Result<Tree> {
        render(&self.overlays(overlays)?, &self.values()?)
    }
}
