//! Two locks in; versions, times, sources, packages and container images that differ out.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::{Difference, PackageChange, PackageMove, changed, containers};
use crate::check::CheckedProfile;
use crate::debian::{date, version};
use crate::digest::Sha256;
use crate::images;
use crate::lock::{Archive, Lock, Package};
use crate::plan::Plan;

/// How much of a digest a person is shown.
const SHORT: usize = 12;

/// What the time of the newest package list is called.
pub(super) const PACKAGE_LISTS: &str = "package lists of";

/// What packages and container images of a lock are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// The packages that the profile names.
    packages: BTreeSet<String>,
    /// The services of each container image, by reference.
    services: BTreeMap<String, Vec<String>>,
}

impl Owners {
    /// What a profile asks for itself, and which images its services have.
    pub fn of(checked: &CheckedProfile, plan: &Plan) -> Self {
        let list = images::list(checked, plan, &[]);
        Self {
            packages: checked.profile().machine.packages.iter().cloned().collect(),
            services: list.into_iter().map(|image| (image.reference, image.services)).collect(),
        }
    }

    /// What is known of container images alone: the services of each, by reference.
    pub(super) fn of_images(services: BTreeMap<String, Vec<String>>) -> Self {
        Self { packages: BTreeSet::new(), services }
    }

    /// The same, and for what it does not know, what `other` says.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.packages.extend(other.packages);
        for (reference, services) in other.services {
            self.services.entry(reference).or_insert(services);
        }
        self
    }

    /// The services that the image `reference` is for.
    pub fn services(&self, reference: &str) -> Vec<String> {
        self.services.get(reference).cloned().unwrap_or_default()
    }
}

pub(super) fn compare(old: &Lock, new: &Lock, owners: &Owners, difference: &mut Difference) {
    // The manifest of an image has said some of it.
    let known: BTreeSet<String> = difference.values.iter().map(|value| value.name.clone()).collect();
    let values = changed(&values(old), &values(new)).into_iter().filter(|value| !known.contains(&value.name));
    difference.values.extend(values);
    difference.values.sort_by(|one, other| one.name.cmp(&other.name));
    match [old, new].map(sources) {
        [Some(before), Some(after)] => difference.sources = changed(&before, &after),
        [None, None] => {}
        // All of them at once would say nothing.
        [before, _] => difference.not_compared.push(format!(
            "sources: an older Boxwright wrote {}, without them",
            if before.is_none() { &difference.old } else { &difference.new }
        )),
    }
    let base = |name: &str| if owners.packages.contains(name) { "profile" } else { "base" };
    difference.packages.extend(packages(&old.packages, &new.packages, base));
    difference.packages.extend(packages(&old.tools, &new.tools, |_| "tools"));
    difference.packages.extend(packages(&old.machine, &new.machine, |_| "virtual machine"));
    // Of profiles it is known already which images they have, also where the lock does not know them yet.
    if difference.kind != super::Kind::Profile {
        difference.containers = containers::of_locks(old, new, owners);
    }
}

/// What a lock says besides packages and images, by name.
fn values(lock: &Lock) -> BTreeMap<String, String> {
    let mut values = BTreeMap::from(
        [
            ("version", lock.version.to_string()),
            (PACKAGE_LISTS, moment(lock.time)),
            ("distribution", lock.distribution.clone()),
            ("platform", lock.platform.clone()),
            ("digest of the request", lock.request.to_string().chars().take(SHORT).collect()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    values.extend(lock.archives.iter().map(|archive| (format!("archive {}", archive.id), suite(archive))));
    values
}

/// What of the project a lock is for, by name; none if it does not say.
fn sources(lock: &Lock) -> Option<BTreeMap<String, String>> {
    let short = |digest: &Sha256| digest.to_string().chars().take(SHORT).collect();
    let program = ("Boxwright".to_owned(), lock.program.clone()?);
    let keys = lock.keys.iter().map(|key| (format!("key {}", key.fingerprint), short(&key.sha256)));
    let folders = lock.sources.iter().map(|source| (source.name.clone(), short(&source.sha256)));
    Some([program].into_iter().chain(keys).chain(folders).collect())
}

fn suite(archive: &Archive) -> String {
    format!("{} {} ({})", archive.role, archive.suite, archive.components.join(" "))
}

/// Seconds since 1970 as `2026-11-21 00:12 UTC`.
pub(super) fn moment(time: i64) -> String {
    let compact = date::compact(time);
    let part = |range| compact.get(range).unwrap_or_default();
    format!("{} {}:{} UTC", date::day(time), part(9..11), part(11..13))
}

fn packages(old: &[Package], new: &[Package], part_of: impl Fn(&str) -> &'static str) -> Vec<PackageChange> {
    let by_name = |list: &[Package]| -> BTreeMap<String, Package> {
        list.iter().map(|package| (package.name.clone(), package.clone())).collect()
    };
    let moved = |change: super::Changed<Package>| {
        let what = match (&change.old, &change.new) {
            (None, _) => PackageMove::Added,
            (_, None) => PackageMove::Removed,
            (Some(old), Some(new)) => match version::compare(&old.version, &new.version) {
                Ordering::Less => PackageMove::Upgraded,
                Ordering::Greater => PackageMove::Downgraded,
                Ordering::Equal if old.sha256 != new.sha256 => PackageMove::Rebuilt,
                // The same file, at another place of the archive.
                Ordering::Equal => return None,
            },
        };
        Some(PackageChange {
            part_of: part_of(&change.name),
            name: change.name,
            change: what,
            old: change.old.map(|package| package.version),
            new: change.new.map(|package| package.version),
            fixed: None,
        })
    };
    changed(&by_name(old), &by_name(new)).into_iter().filter_map(moved).collect()
}
