//! What differs between two profiles, two locks or two images: two [`Side`]s go in, a [`Difference`] comes out.
//!
//! It is printed as lines ([`text()`]), as Markdown for a comment on a merge request ([`markdown()`]), or as it is, as JSON. No
//! file is read here but those of packages that are in the cache already ([`fixes`]), and nothing is built or fetched.

mod boxes;
mod containers;
mod files;
mod firewall;
mod fixes;
mod image;
mod locks;
mod markdown;
mod sections;
mod tables;
mod text;
mod value;

pub use fixes::look_for_fixes;
pub use locks::Owners;
pub use markdown::markdown;
pub use text::{moved, sources, text};
pub use value::{
    Changed, ContainerChange, Difference, FileChange, FileState, Hostname, Kind, PackageChange, PackageMove,
    Pinned, UnitState,
};

use crate::build::manifest::Manifest;
use crate::check::CheckedProfile;
use crate::lock::Lock;
use crate::plan::Plan;
use crate::tree::Tree;
use tables::Tables;

/// One of the two that are compared.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What the report calls it: its path.
    pub name: &'a str,
    /// Its lock, if it has one.
    pub lock: Option<&'a Lock>,
    /// What it is.
    pub content: Content<'a>,
}

/// What is compared besides locks.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A profile: its services, and the files that it puts onto the box.
    Profile(&'a CheckedProfile, &'a Plan, &'a Tree),
    /// Nothing but the lock.
    Lock,
    /// An image, known by its manifest, and by the files of its profile layer where those were read. Who compares without them
    /// adds to [`Difference::not_compared`] why.
    Image(&'a Manifest, Option<&'a Tree>),
}

impl Side<'_> {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.content {
            Content::Profile(..) => Kind::Profile,
            Content::Lock => Kind::Lock,
            Content::Image(..) => Kind::Image,
        }
    }
}

/// Compares two of one kind; of two kinds nothing but the locks are compared.
pub fn compare(old: &Side<'_>, new: &Side<'_>) -> Difference {
    let mut difference = Difference::between(new.kind(), old.name, new.name);
    let mut owners = Owners::default();
    match (old.content, new.content) {
        (Content::Profile(was, before, files), Content::Profile(is, after, now)) => {
            owners = Owners::of(is, after).and(Owners::of(was, before));
            let tables = [before, after].map(Tables::of_plan);
            boxes::compare((&tables[0], files), (&tables[1], now), &mut difference);
            containers::of_profiles((was, before, old.lock), (is, after, new.lock), &mut difference);
        }
        (Content::Image(before, files), Content::Image(after, now)) => {
            image::compare(before, after, &mut difference);
            if let (Some(files), Some(now)) = (files, now) {
                owners = image::inside((old.name, files), (new.name, now), &mut difference);
            }
        }
        _ => {}
    }
    match (old.lock, new.lock) {
        (Some(before), Some(after)) => locks::compare(before, after, &owners, &mut difference),
        _ => {
            let without = [old, new].into_iter().filter(|side| side.lock.is_none()).map(|side| side.name);
            difference.not_compared.push(format!(
                "packages and digests of container images: there is no lock beside {}",
                without.collect::<Vec<_>>().join(" and ")
            ));
        }
    }
    difference.finish()
}

/// Compares two locks of the box that `owners` knows.
pub fn compare_locks(names: [&str; 2], old: &Lock, new: &Lock, owners: &Owners) -> Difference {
    let mut difference = Difference::between(Kind::Lock, names[0], names[1]);
    locks::compare(old, new, owners, &mut difference);
    difference.finish()
}

/// What of `old` and `new`, both by name, is not the same.
fn changed<T: Clone + PartialEq>(
    old: &std::collections::BTreeMap<String, T>,
    new: &std::collections::BTreeMap<String, T>,
) -> Vec<Changed<T>> {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .map(|name| Changed { name: name.clone(), old: old.get(name).cloned(), new: new.get(name).cloned() })
        .filter(|change| change.old != change.new)
        .collect()
}
