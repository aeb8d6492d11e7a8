//! What differs between two profiles, two locks or two images: two [`Side`]s go in, a [`Difference`] comes out.
//!
//! It is printed as lines ([`text`]), as Markdown for a comment on a merge request ([`markdown`]), or as it is, as JSON. No
//! file is read here but those of packages that are in the cache already ([`fixes`]), and nothing is built or fetched.

mod boxes;
mod containers;
mod files;
mod fixes;
mod image;
mod locks;
mod markdown;
mod sections;
mod text;

use serde::Serialize;

pub use fixes::look_for_fixes;
pub use locks::Owners;
pub use markdown::markdown;
pub use text::{moved, text};

use crate::build::manifest::Manifest;
use crate::check::CheckedProfile;
use crate::lock::Lock;
use crate::plan::{NetworkPlan, Plan, PublishedPort};
use crate::profile::Audience;
use crate::tree::Tree;

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
    /// An image, known by its manifest.
    Image(&'a Manifest),
}

/// What two things of one kind are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Two profiles.
    Profile,
    /// Two locks.
    Lock,
    /// Two images.
    Image,
}

impl Kind {
    /// As a message names one of them.
    pub fn word(self) -> &'static str {
        match self {
            Self::Profile => "a profile",
            Self::Lock => "a lock",
            Self::Image => "an image",
        }
    }
}

/// Everything that differs. Each list is sorted by name, and empty where nothing differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// What was compared.
    pub kind: Kind,
    /// The path of the old one.
    pub old: String,
    /// The path of the new one.
    pub new: String,
    /// Whether anything below differs.
    pub differs: bool,
    /// What could not be compared, and why: sentences.
    pub not_compared: Vec<String>,
    /// Single values: version, distribution, platform, the time of the package lists, a release.
    pub values: Vec<Changed<String>>,
    /// Sizes of an image and its parts, in bytes.
    pub sizes: Vec<Changed<u64>>,
    /// Services: their titles.
    pub services: Vec<Changed<String>>,
    /// Host names that the tunnel serves.
    pub hostnames: Vec<Changed<Hostname>>,
    /// Ports that the box opens.
    pub ports: Vec<Changed<PublishedPort>>,
    /// Networks between containers.
    pub networks: Vec<Changed<NetworkPlan>>,
    /// Units of systemd that the profile enables or masks.
    pub units: Vec<Changed<UnitState>>,
    /// Container images.
    pub containers: Vec<ContainerChange>,
    /// Packages of the box, of the tools and of the virtual machine.
    pub packages: Vec<PackageChange>,
    /// Files that the profile puts onto the box.
    pub files: Vec<FileChange>,
}

/// Something with a name that is new, gone, or another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed<T> {
    /// Its name.
    pub name: String,
    /// What it was; none if it is new.
    pub old: Option<T>,
    /// What it is; none if it is gone.
    pub new: Option<T>,
}

/// A host name that the tunnel serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hostname {
    /// The service.
    pub service: String,
    /// Who may come in.
    pub audience: Audience,
}

/// What the profile does to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    /// Something starts it.
    Enabled,
    /// Nothing can start it.
    Masked,
}

/// A container image that is new, gone, or another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerChange {
    /// Registry and repository.
    pub repository: String,
    /// The services that it is for, where the profile is known.
    pub services: Vec<String>,
    /// What it was.
    pub old: Option<Pinned>,
    /// What it is.
    pub new: Option<Pinned>,
}

/// Which image of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// The tag.
    pub tag: String,
    /// The digest of the manifest, where one is known.
    pub digest: Option<String>,
}

/// A package that is new, gone, or another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// The package.
    pub name: String,
    /// What has it: `base` (the box), `profile` (the box, since the profile asks for it), `tools` or `virtual machine`.
    pub part_of: &'static str,
    /// What happened to it.
    pub change: PackageMove,
    /// The version that it had.
    pub old: Option<String>,
    /// The version that it has.
    pub new: Option<String>,
    /// The CVEs that its changelog names as fixed in between, sorted; none if the changelog was not looked at.
    pub fixed: Option<Vec<String>>,
}

/// What happened to a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageMove {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its version is a later one, by Debian's order.
    Upgraded,
    /// Its version is an earlier one.
    Downgraded,
    /// Its version is the same, and its file another.
    Rebuilt,
}

/// A file that is new, gone, or another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its path on the box.
    pub path: String,
    /// What it was.
    pub old: Option<FileState>,
    /// What it is.
    pub new: Option<FileState>,
    /// The unified diff, if it is text and its content differs.
    pub diff: Option<String>,
}

/// A file without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileState {
    /// `file`, `folder` or `link`.
    pub kind: &'static str,
    /// Permission bits: `0644`.
    pub mode: String,
    /// The owner and the group: `0:0`.
    pub owner: String,
    /// A file's size in bytes.
    pub size: Option<u64>,
    /// Where a link points.
    pub target: Option<String>,
}

impl Side<'_> {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.content {
            Content::Profile(..) => Kind::Profile,
            Content::Lock => Kind::Lock,
            Content::Image(_) => Kind::Image,
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
            boxes::compare((before, files), (after, now), &mut difference);
            containers::of_profiles((was, before, old.lock), (is, after, new.lock), &mut difference);
        }
        (Content::Image(before), Content::Image(after)) => image::compare(before, after, &mut difference),
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

impl Difference {
    fn between(kind: Kind, old: &str, new: &str) -> Self {
        Self {
            kind,
            old: old.to_owned(),
            new: new.to_owned(),
            differs: false,
            not_compared: Vec::new(),
            values: Vec::new(),
            sizes: Vec::new(),
            services: Vec::new(),
            hostnames: Vec::new(),
            ports: Vec::new(),
            networks: Vec::new(),
            units: Vec::new(),
            containers: Vec::new(),
            packages: Vec::new(),
            files: Vec::new(),
        }
    }

    fn finish(mut self) -> Self {
        self.differs = !(self.values.is_empty()
            && self.sizes.is_empty()
            && self.services.is_empty()
            && self.hostnames.is_empty()
            && self.ports.is_empty()
            && self.networks.is_empty()
            && self.units.is_empty()
            && self.containers.is_empty()
            && self.packages.is_empty()
            && self.files.is_empty());
        self
    }
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
