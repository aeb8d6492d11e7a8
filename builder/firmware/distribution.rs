//! `firmware/<distribution>/distribution.toml`: archives, keys, package sets, pinned system ids.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::diag::InputError;

/// A distribution that boxes are made from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// The name of its folder: `debian-13`.
    #[serde(skip)]
    pub name: String,
    /// Its folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// What a person calls it: `Debian 13 (trixie)`.
    pub title: String,
    /// The `ID` of os-release, which also tells whose apt configuration on the host is for the same archives.
    pub id: String,
    /// `VERSION_CODENAME`: `trixie`.
    pub codename: String,
    /// dpkg's name of the architecture.
    pub architecture: String,
    /// The suites, in the order in which apt would list them.
    #[serde(rename = "archive")]
    pub archives: Vec<ArchiveSpec>,
    /// Base addresses by role, the best one first; the last resort after `--mirror`, the profile and the host's apt.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Address patterns of a service that keeps every package ever published, by role, with `{time}` (as in
    /// `20261121T001242Z`) and `{path}`. Empty where there is none.
    #[serde(default)]
    pub snapshot: BTreeMap<String, String>,
    /// Who signs its releases.
    pub trust: Trust,
    /// What boxes are made of.
    #[serde(rename = "box")]
    pub system: System,
    /// What the build machine needs.
    pub tools: Tools,
    /// System users with a fixed id.
    #[serde(default)]
    pub users: BTreeMap<String, SystemId>,
    /// System groups with a fixed id.
    #[serde(default)]
    pub groups: BTreeMap<String, u32>,
}

/// Who signs the releases of a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Files in the distribution's folder with armored OpenPGP certificates.
    pub keys: Vec<String>,
    /// The fingerprints of the primary keys that count; others in the files are ignored.
    pub fingerprints: Vec<String>,
}

/// What boxes are made of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// The kernel's package, part of every box.
    pub kernel: String,
    /// What else every box has, besides essential and required packages.
    pub base: Vec<String>,
    /// Packages that profiles and services ask for by a word: `btrfs`.
    #[serde(default)]
    pub features: BTreeMap<String, Vec<String>>,
    /// What no box may have, with the reason.
    #[serde(default)]
    pub excluded: BTreeMap<String, String>,
}

/// What the build machine needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// Needed to build.
    pub build: Vec<String>,
    /// Needed besides to start an image in a virtual machine.
    pub machine: Vec<String>,
    /// Those of `build` of which files are on the ESP.
    #[serde(default)]
    pub boot: Vec<String>,
    /// Packages that the others name but do not need here; neither they nor what they need is fetched.
    #[serde(default)]
    pub assumed: Vec<String>,
    /// Where things are in the unpacked tools.
    pub paths: ToolPaths,
}

/// One suite.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveSpec {
    /// A short name: `trixie-security`.
    pub id: String,
    /// Which mirrors hold it: `main` or `security`.
    pub role: String,
    /// The suite, as in `dists/<suite>/InRelease`.
    pub suite: String,
    /// The components to read.
    pub components: Vec<String>,
    /// What `Origin:` of the Release file must say.
    pub origin: String,
    /// What `Codename:` of the Release file must say.
    pub codename: String,
}

/// The fixed ids of a system user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemId {
    /// The user id.
    pub uid: u32,
    /// The id of its primary group.
    pub gid: u32,
}

/// Where things are in the unpacked tools, relative to their root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolPaths {
    /// The signed first stage loader.
    pub shim: String,
    /// shim's MOK manager, also signed.
    pub mok_manager: String,
    /// The signed second stage: systemd-boot.
    pub systemd_boot: String,
    /// The UEFI firmware code for a virtual machine.
    pub ovmf_code: String,
    /// Its variable store, empty.
    pub ovmf_vars: String,
    /// The same with Secure Boot: code.
    pub ovmf_secure_code: String,
    /// Its variable store with Microsoft's keys enrolled.
    pub ovmf_secure_vars: String,
}

impl Distribution {
    /// Reads `firmware/<name>/distribution.toml` of the project.
    ///
    /// # Errors
    /// [`InputError`] if there is no such distribution or its file is wrong.
    pub fn load(project: &Path, name: &str) -> anyhow::Result<Self> {
        let (folder, path, text) = super::read(project, name, "distribution.toml")?;
        let mut distribution: Self = toml::from_str(&text)
            .map_err(|error| InputError(error.to_string()))
            .with_context(|| format!("reading {}", path.display()))?;
        name.clone_into(&mut distribution.name);
        distribution.folder = folder;
        distribution.check().with_context(|| format!("reading {}", path.display()))?;
        Ok(distribution)
    }

    /// The suite with this id.
    pub fn archive(&self, id: &str) -> Option<&ArchiveSpec> {
        self.archives.iter().find(|archive| archive.id == id)
    }

    fn check(&self) -> Result<(), InputError> {
        for archive in &self.archives {
            if self.mirrors.get(&archive.role).is_none_or(Vec::is_empty) {
                return Err(InputError(format!("`mirrors` has none for the role `{}`", archive.role)));
            }
        }
        if self.trust.fingerprints.is_empty() {
            return Err(InputError("`trust.fingerprints` is empty: no release could be trusted".into()));
        }
        Ok(())
    }
}
