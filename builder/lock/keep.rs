//! What of a former lock stays while named packages move.
//!
//! A set of packages in which nothing was named stays as it is, to the byte. In the others each package keeps its version as
//! long as the archive still has it and nothing that moves speaks against it ([`solve::hold`]); the rest is told.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{Lock, Package};
use crate::debian::index::{Candidate, Index};
use crate::debian::solve;
use crate::digest::Sha256;

/// What to do about packages that do not go together because of those that stay.
pub(super) const ADVICE: &str = "\n`boxwright lock --update` without names moves all packages";

/// A former lock, and what of it is to move.
#[derive(Debug, Clone, Copy)]
pub struct Keep<'a> {
    /// The former lock.
    pub old: &'a Lock,
    /// The packages that are to move.
    pub moving: &'a BTreeSet<String>,
    /// Whether all tools are to move, those of the virtual machine included.
    pub all_tools: bool,
}

/// What of a set of packages stays.
pub(super) enum Stay<'a> {
    /// All of it.
    AsItIs(&'a [Package]),
    /// These, by name, as far as it goes.
    IfPossible(BTreeMap<&'a str, &'a Package>),
}

impl<'a> Keep<'a> {
    /// The files of all packages that may stay.
    pub(super) fn files(&self) -> BTreeSet<Sha256> {
        let old = self.old;
        let packages = old.packages.iter().chain(&old.tools).chain(&old.machine);
        packages.map(|package| package.sha256).collect()
    }

    /// What stays of the box's packages, where those that are asked for now have the digest `request`.
    pub(super) fn packages(&self, request: &Sha256) -> Stay<'a> {
        if self.old.request == *request && !self.moves(&self.old.packages) {
            return Stay::AsItIs(&self.old.packages);
        }
        self.if_possible(self.old.packages.iter())
    }

    /// The same for the tools; [`Stay::AsItIs`] is then true of those of the virtual machine as well.
    pub(super) fn tools(&self, request: &Sha256) -> Stay<'a> {
        let old = self.old;
        if self.all_tools {
            return Stay::IfPossible(BTreeMap::new());
        }
        if old.request == *request && !self.moves(&old.tools) && !self.moves(&old.machine) {
            return Stay::AsItIs(&old.tools);
        }
        self.if_possible(old.tools.iter().chain(&old.machine))
    }

    fn moves(&self, packages: &[Package]) -> bool {
        packages.iter().any(|package| self.moving.contains(&package.name))
    }

    fn if_possible(&self, packages: impl Iterator<Item = &'a Package>) -> Stay<'a> {
        let stay = packages.filter(|package| !self.moving.contains(&package.name));
        Stay::IfPossible(stay.map(|package| (package.name.as_str(), package)).collect())
    }
}

/// Which of `stay` can be held while the named ones move.
pub(super) fn held(
    stay: &BTreeMap<&str, &Package>,
    keep: Option<&Keep<'_>>,
    index: &Index,
    wanted: &[String],
) -> BTreeMap<String, Sha256> {
    let wish = stay.iter().map(|(name, package)| ((*name).to_owned(), package.sha256)).collect();
    let moving = keep.iter().flat_map(|keep| keep.moving);
    let names: Vec<String> = wanted.iter().chain(moving).cloned().collect();
    solve::hold(index, &wish, &names)
}

/// What moved though it was to stay, each with the reason.
pub(super) fn moved_along<'a>(
    stay: &'a BTreeMap<&str, &Package>,
    chosen: &'a [&Candidate],
    index: &'a Index,
) -> impl Iterator<Item = String> + 'a {
    chosen.iter().filter_map(|candidate| {
        let old = stay.get(candidate.name.as_str()).filter(|old| old.sha256 != candidate.sha256)?;
        let reason = match index.kept(&old.sha256) {
            None => "the archive no longer has the former version",
            Some(_) => "what was named does not go with the former version",
        };
        Some(format!("{} {} → {} as well: {reason}", old.name, old.version, candidate.version))
    })
}
