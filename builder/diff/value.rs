//! A difference as a value: what the renderers tell, and what JSON has as it is.

use serde::Serialize;

use crate::plan::{NetworkPlan, PublishedPort};
use crate::profile::Audience;

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
    /// What of the project a lock is for: the program's version, and digests of keys and folders, shortened.
    pub sources: Vec<Changed<String>>,
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

impl Difference {
    pub(super) fn between(kind: Kind, old: &str, new: &str) -> Self {
        Self {
            kind,
            old: old.to_owned(),
            new: new.to_owned(),
            differs: false,
            not_compared: Vec::new(),
            values: Vec::new(),
            sources: Vec::new(),
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

    pub(super) fn finish(mut self) -> Self {
        self.differs = !(self.values.is_empty()
            && self.sources.is_empty()
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
