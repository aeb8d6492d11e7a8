//! Secrets: what a box needs, `secrets.toml`, the bundle in the secrets partition, and the search for leaks.
//!
//! In go the plan of a box and the owner's `secrets.toml`; out come findings, typed values, the bytes of the bundle, and
//! the places in outputs at which a value is found. No value ever reaches a message, a debug print, a log or an argument:
//! only [`Secrets::bundle`] lets them out, into the secrets partition; [`Secrets::payload`], into a file that an admin signs for a
//! box that runs; [`Secrets::recovery_sheet`], onto paper; and [`Secrets::value`], to try them.

pub mod bundle;
mod file;
mod git;
mod handover;
mod host;
mod needs;
mod pattern;
mod redact;
mod scan;
pub mod sealed;
mod shape;
mod sheet;
pub mod signed;
pub mod signing;
mod ssh_key;
mod template;
#[cfg(test)]
mod tests;
mod unpack;
mod value;
mod weak;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use zeroize::Zeroizing;

use crate::catalog::Catalog;
use crate::check::CheckedProfile;
use crate::diag::{Finding, Findings};
use crate::plan::Plan;
use crate::tree::Tree;

pub use git::tracks;
pub use handover::{Handover, Restore};
pub use needs::{Apply, Id, Line, Made, Need, Needs, Placed};
pub use scan::{Encoding, Leak, Scanner};
pub use sealed::Opener;
pub use shape::Shape;
pub use value::Value;

/// The owner's secrets of one box, each in the form in which the box places it.
#[derive(Debug)]
pub struct Secrets {
    box_name: String,
    values: BTreeMap<Id, Value>,
    /// Which of them are names rather than secrets: nobody looks for them in outputs.
    public: Vec<Id>,
    findings: Findings,
}

/// Reads the `secrets.toml` at `path` for the box of `profile`; `opener` opens it if it is encrypted.
///
/// # Errors
/// Everything that is wrong with it, at once. The texts in these findings have every value blotted out.
pub fn load(
    path: &Path,
    profile: &CheckedProfile,
    catalog: &Catalog,
    opener: &Opener,
) -> Result<Secrets, Findings> {
    let needs = Needs::of(profile, catalog).map_err(|error| {
        let mut findings = Findings::new();
        findings.push(Finding::error("secrets-plan", format!("{error:#}")));
        findings
    })?;
    Secrets::load_with(path, &needs, opener)
}

/// A `secrets.toml` to fill in: every secret that the box of `profile` needs, what it is and where one gets it.
///
/// # Errors
/// If the services cannot be planned.
pub fn template(profile: &CheckedProfile, catalog: &Catalog) -> Result<String> {
    Ok(template::write(&Needs::of(profile, catalog)?))
}

impl Needs {
    /// What the box of `profile` needs.
    ///
    /// # Errors
    /// If the services cannot be planned.
    pub fn of(profile: &CheckedProfile, catalog: &Catalog) -> Result<Self> {
        let plan = Plan::new(profile, catalog)?;
        Ok(Self::new(profile.profile(), &plan))
    }

    /// A `secrets.toml` to fill in.
    pub fn template(&self) -> String {
        template::write(self)
    }
}

impl Secrets {
    /// Reads the `secrets.toml` at `path`, and the files that it names, all of them plain text.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load(path: &Path, needs: &Needs) -> Result<Self, Findings> {
        Self::load_with(path, needs, &Opener::nothing())
    }

    /// The same, where `opener` opens what is encrypted.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load_with(path: &Path, needs: &Needs, opener: &Opener) -> Result<Self, Findings> {
        let (values, findings) = file::load(path, needs, opener);
        if findings.has_errors() {
            return Err(findings);
        }
        // A user name, or an address, may well be in the image for another reason.
        let is_public = |(id, value): &(&Id, &Value)| {
            needs.owner.get(*id).is_some_and(|need| need.public) || is_address(value.reveal())
        };
        let public = values.iter().filter(is_public).map(|(id, _)| id.clone()).collect();
        Ok(Self { box_name: needs.box_name.clone(), values, public, findings })
    }

    /// What the owner should hear of: secrets that are missing or weak, a file that others can read.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The value of one secret, for trying it where it belongs and nowhere else.
    pub fn value(&self, id: &Id) -> Option<&Value> {
        self.values.get(id).filter(|value| !value.reveal().is_empty())
    }

    /// Which secrets there are.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        self.values.keys()
    }

    /// The bytes for the beginning of the secrets partition, with what else the box is told; see [`bundle`] for the format.
    ///
    /// # Errors
    /// If they do not fit into the partition.
    pub fn bundle(&self, handover: &Handover) -> Result<Zeroizing<Vec<u8>>> {
        bundle::write(&self.box_name, &self.values, handover)
    }

    /// What looks for these secrets.
    pub fn scanner(&self) -> Scanner {
        let public = &self.public;
        Scanner::new(self.values.iter().filter(|(id, _)| !public.contains(id)))
    }

    /// Looks for every value in `paths`: files, or folders with everything in them.
    ///
    /// A compressed file hides what is in it: hand in the folder or [`Tree`] that it was made from as well.
    ///
    /// # Errors
    /// If something cannot be read.
    pub fn scan(&self, paths: &[PathBuf]) -> Result<Vec<Leak>> {
        self.scanner().paths(paths)
    }

    /// Looks for every value in the files, links and names of `tree`, which messages call `name`.
    pub fn scan_tree(&self, name: &Path, tree: &Tree) -> Vec<Leak> {
        self.scanner().tree(name, tree)
    }
}

/// Whether `text` is one or more addresses or networks, as a VPN's configuration gives them.
fn is_address(text: &str) -> bool {
    text.split(',').all(|part| crate::profile::values::network(part.trim()).is_ok())
}
