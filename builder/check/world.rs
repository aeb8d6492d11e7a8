//! What a profile is checked against: the catalog, and the distribution and platform that it names.
//!
//! This is the one file of `check/` that reads other files; the rules get what it found.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;

use crate::catalog::Catalog;
use crate::diag::Findings;
use crate::firmware::{Distribution, Platform};
use crate::profile::Profile;

/// What exists in a project, as far as one profile is concerned.
#[derive(Debug, Clone)]
pub struct World {
    /// The services.
    pub catalog: Catalog,
    /// The profile's distribution, if it exists.
    pub distribution: Option<Distribution>,
    /// The profile's platform, if it exists.
    pub platform: Option<Platform>,
    /// The names of all distributions.
    pub distributions: BTreeSet<String>,
    /// The names of all platforms.
    pub platforms: BTreeSet<String>,
}

impl World {
    /// Reads what `profile` needs of `project`. Faults of service files are added to `findings`.
    ///
    /// # Errors
    /// If a folder or file cannot be read, or a distribution or platform file is wrong.
    pub fn load(project: &Path, profile: &Profile, findings: &mut Findings) -> anyhow::Result<Self> {
        // Findings name files as a user would.
        let project = if project == Path::new(".") { Path::new("") } else { project };
        let catalog = Catalog::load(&project.join("overlays/services"), findings)?;
        let distributions = folders_with(project, "distribution.toml")?;
        let platforms = folders_with(project, "platform.toml")?;
        let machine = &profile.machine;
        let distribution = distributions
            .contains(&machine.distribution)
            .then(|| Distribution::load(project, &machine.distribution))
            .transpose()?;
        let platform = platforms
            .contains(&machine.platform)
            .then(|| Platform::load(project, &machine.platform))
            .transpose()?;
        Ok(Self { catalog, distribution, platform, distributions, platforms })
    }
}

/// The folders of `firmware/` that hold a file of this name.
fn folders_with(project: &Path, file: &str) -> anyhow::Result<BTreeSet<String>> {
    let firmware = project.join("firmware");
    let reading = || format!("reading {}", firmware.display());
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(&firmware).with_context(reading)? {
        let folder = entry.with_context(reading)?.path();
        let name = folder.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|_| folder.join(file).is_file()) {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}
