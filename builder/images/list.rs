//! Which images a box has, and which of them are embedded.
//!
//! In: the checked profile, the plan of its services, and the lock. Out: references to resolve, images to fetch, and
//! the list that the templates see as `images`. Nothing is fetched here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::catalog::Role;
use crate::check::CheckedProfile;
use crate::digest::{Hasher, Sha256};
use crate::lock::Image;
use crate::plan::Plan;
use crate::profile::Embed;

/// An image as the box's loader gets to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoxImage {
    /// Registry, repository and tag.
    pub reference: String,
    /// The manifest's digest, `sha256:…`, where the lock has one.
    pub digest: Option<String>,
    /// The image's id, `sha256:…`, where the lock has one.
    pub config: Option<String>,
    /// The services that cannot start without it.
    pub services: Vec<String>,
    /// Whether the box wants it before others.
    pub core: bool,
    /// Whether the images layer has it.
    pub embedded: bool,
    /// Programs in it, by absolute path, that the box itself runs.
    pub programs: Vec<String>,
}

impl BoxImage {
    fn programs(&mut self, programs: &[String]) {
        self.programs.extend_from_slice(programs);
        self.programs.sort();
        self.programs.dedup();
    }
}

/// The references of all images of the box.
pub fn references(profile: &CheckedProfile, plan: &Plan) -> BTreeSet<String> {
    list(profile, plan, &[]).into_iter().map(|image| image.reference).collect()
}

/// The images of the box, those that it wants first in front, each with what `locked` says of it.
pub fn list(profile: &CheckedProfile, plan: &Plan, locked: &[Image]) -> Vec<BoxImage> {
    let catalog = profile.catalog();
    let profile = profile.profile();
    let mut images: BTreeMap<String, BoxImage> = BTreeMap::new();
    for service in &plan.services {
        let core = catalog.get(&service.name).is_some_and(|service| service.core);
        for container in &service.containers {
            let image = entry(&mut images, &container.image);
            image.core |= core;
            if container.main {
                image.programs(&service.host_programs);
            }
            if !image.services.contains(&service.name) {
                image.services.push(service.name.clone());
            }
        }
    }
    // SSH's own tunnel is run by the host, with the program out of the image, whether or not a service is published.
    if profile.ssh.tunnel.is_some()
        && let Some(service) = catalog.with_role(Role::Ingress)
        && let Some(container) = service.containers.get(&service.name)
    {
        let image = entry(&mut images, &container.image);
        image.core |= service.core;
        image.programs(&service.host_programs);
    }
    let locked: BTreeMap<&str, &Image> =
        locked.iter().map(|image| (image.reference.as_str(), image)).collect();
    let mut list: Vec<BoxImage> = images.into_values().collect();
    for image in &mut list {
        if let Some(locked) = locked.get(image.reference.as_str()) {
            image.digest.clone_from(&locked.digest);
            image.config.clone_from(&locked.config);
        }
        image.embedded = image.digest.is_some()
            && match profile.images.embed {
                Embed::All => true,
                Embed::Core => image.core,
                Embed::None => false,
            };
    }
    // A stable sort: by name within each half.
    list.sort_by_key(|image| !image.core);
    list
}

/// The images of `locked` that the images layer gets, in the order of their names.
pub fn embedded(list: &[BoxImage], locked: &[Image]) -> Vec<Image> {
    let names: BTreeSet<&str> =
        list.iter().filter(|image| image.embedded).map(|image| image.reference.as_str()).collect();
    let sorted: BTreeSet<&Image> =
        locked.iter().filter(|image| names.contains(image.reference.as_str())).collect();
    sorted.into_iter().cloned().collect()
}

/// What the layer of `images` may be cached under.
pub fn layer_key(images: &[Image]) -> Sha256 {
    let names: BTreeSet<(&str, &str)> = images
        .iter()
        .map(|image| (image.reference.as_str(), image.digest.as_deref().unwrap_or_default()))
        .collect();
    let mut hasher = Hasher::new();
    for (reference, digest) in names {
        hasher.field(reference, digest.as_bytes());
    }
    hasher.finish()
}

fn entry<'a>(images: &'a mut BTreeMap<String, BoxImage>, reference: &str) -> &'a mut BoxImage {
    images.entry(reference.to_owned()).or_insert_with(|| BoxImage {
        reference: reference.to_owned(),
        digest: None,
        config: None,
        services: Vec::new(),
        core: false,
        embedded: false,
        programs: Vec::new(),
    })
}
