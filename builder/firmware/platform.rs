//! `firmware/<platform>/platform.toml`: what a kind of machine needs to start and to have a network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::diag::InputError;

/// A kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// The name of its folder: `uefi-x86_64`.
    #[serde(skip)]
    pub name: String,
    /// Its folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// What a person calls it.
    pub title: String,
    /// dpkg's name of the architecture.
    pub architecture: String,
    /// Packages by distribution: microcode, firmware of network and graphics chips.
    pub packages: BTreeMap<String, Vec<String>>,
}

impl Platform {
    /// Reads `firmware/<name>/platform.toml` of the project.
    ///
    /// # Errors
    /// [`InputError`] if there is no such platform or its file is wrong.
    pub fn load(project: &Path, name: &str) -> anyhow::Result<Self> {
        let (folder, path, text) = super::read(project, name, "platform.toml")?;
        let mut platform: Self = toml::from_str(&text)
            .map_err(|error| InputError(error.to_string()))
            .with_context(|| format!("reading {}", path.display()))?;
        name.clone_into(&mut platform.name);
        platform.folder = folder;
        Ok(platform)
    }
}
