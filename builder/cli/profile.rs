//! From a profile's path to a [`CheckedProfile`]: what every verb about a profile begins with.

use std::path::{Path, PathBuf};

use super::Session;
use super::output::{self, Rejected};
use super::surroundings;
use crate::audit;
use crate::check::{self, CheckedProfile, World};
use crate::context::Context;
use crate::diag::Findings;
use crate::overlay::Inputs;
use crate::plan::Plan;
use crate::profile::{Document, load};

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
        let Some(mut document) = loaded.document else {
            findings.sort();
            return Ok(Reading { checked: None, findings });
        };
        if let Some(mirror) = &self.global.registry_mirror {
            document.profile.images.mirror = Some(mirror.clone());
        }
        let project = surroundings::project(&self.global, path)?;
        let world = World::load(&project, &document.profile, &mut findings)?;
        let (checked, mut findings) = check::check(&document, world, findings);
        let checked = match checked {
            Some(checked) => {
                rendered(&project, &document, &checked, &mut findings)?;
                (!findings.has_errors()).then_some(checked)
            }
            None => None,
        };
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

    /// As [`Session::checked`], for verbs that are not about what is to be said of one profile: warnings are shown only along
    /// with errors.
    ///
    /// # Errors
    /// [`Rejected`] if there is an error.
    pub(super) fn checked_quietly(&self, path: &Path) -> anyhow::Result<CheckedProfile> {
        let reading = self.read(path)?;
        reading.checked.ok_or_else(|| {
            output::findings(&reading.findings, self.ui.colour());
            Rejected.into()
        })
    }

    /// A profile by its path; or by its name alone, in the project's `profiles/`.
    pub(super) fn find(&self, path: &Path) -> PathBuf {
        let is_name = path.extension().is_none() && path.components().count() == 1 && !path.exists();
        let named = || {
            let project = surroundings::project(&self.global, Path::new(".")).ok()?;
            let file = named(&project, path);
            Some(file.strip_prefix(".").map_or(file.clone(), Path::to_owned)).filter(|file| file.is_file())
        };
        is_name.then(named).flatten().unwrap_or_else(|| path.to_owned())
    }
}

/// Holds what `checked` renders to against the rules.
fn rendered(
    project: &Path,
    document: &Document,
    checked: &CheckedProfile,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let plan = Plan::new(checked, checked.catalog())?;
    // The rules are about what runs, not about which bytes of it: no lock is needed.
    let inputs = Inputs { profile: checked, plan: &plan, images: &[] };
    let tree = inputs.tree(&project.join("overlays"))?;
    audit::report(audit::audit(&tree, &plan, checked), document, checked, findings);
    Ok(())
}

/// Where the profile called `name` is in a project.
pub(super) fn named(project: &Path, name: impl AsRef<Path>) -> PathBuf {
    project.join("profiles").join(name).with_extension("toml")
}
