//! From a profile's path to a [`CheckedProfile`]: what every verb about a profile begins with.

use std::path::{Path, PathBuf};

use super::Session;
use super::output::{self, Rejected};
use super::surroundings;
use crate::check::{self, CheckedProfile, World};
use crate::context::Context;
use crate::diag::Findings;
use crate::profile::load;

/// A profile with everything found about it.
pub(super) struct Reading {
    /// The profile, if there is no error.
    pub(super) checked: Option<CheckedProfile>,
    /// What was found.
    pub(super) findings: Findings,
}

impl Session {
    /// The context of a run about `subject`.
    pub(super) fn context(&self, subject: &Path) -> anyhow::Result<Context> {
        surroundings::context(&self.global, self.ui.clone(), subject)
    }

    /// Reads and checks a profile; shows nothing.
    pub(super) fn read(&self, path: &Path) -> anyhow::Result<Reading> {
        let path = &self.find(path);
        let loaded = load::load(path)?;
        let mut findings = loaded.findings;
        let Some(document) = loaded.document else {
            findings.sort();
            return Ok(Reading { checked: None, findings });
        };
        let project = surroundings::project(&self.global, path)?;
        let world = World::load(&project, &document.profile, &mut findings)?;
        let (checked, findings) = check::check(&document, world, findings);
        Ok(Reading { checked, findings })
    }

    /// Reads and checks a profile, and shows what was found.
    ///
    /// # Errors
    /// [`Rejected`] if there is an error among it.
    pub(super) fn checked(&self, path: &Path) -> anyhow::Result<CheckedProfile> {
        let reading = self.read(path)?;
        output::findings(&reading.findings, self.ui.colour());
        reading.checked.ok_or_else(|| Rejected.into())
    }

    /// A profile by its path; or by its name alone, in the project's `profiles/`.
    pub(super) fn find(&self, path: &Path) -> PathBuf {
        let is_name = path.extension().is_none() && path.components().count() == 1 && !path.exists();
        let named = || {
            let project = surroundings::project(&self.global, Path::new(".")).ok()?;
            let file = project.join("profiles").join(path).with_extension("toml");
            Some(file.strip_prefix(".").map_or(file.clone(), Path::to_owned)).filter(|file| file.is_file())
        };
        is_name.then(named).flatten().unwrap_or_else(|| path.to_owned())
    }
}
