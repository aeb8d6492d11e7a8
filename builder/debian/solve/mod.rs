//! Chooses packages: everything that a list of packages needs, as `apt-get install` without recommendations would from
//! an empty system.
//!
//! An [`Index`] and a [`Request`] go in, the chosen candidates come out, or a [`Conflict`] that names the chain. The
//! solver is resolvo; nothing outside this module knows that.
//!
//! `provider.rs` says how Debian's relations are put to it.

mod hold;
mod provider;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use resolvo::{Problem, Solver, UnsolvableOrCancelled};

use super::index::{Candidate, Index, Priority};
use super::relation::Atom;
use crate::digest::Sha256;
pub use hold::hold;
use provider::Provider;

/// What to choose packages for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The packages that are asked for.
    pub wanted: &'a [String],
    /// Packages that must not be chosen, each with the reason.
    pub excluded: &'a BTreeMap<String, String>,
    /// Packages that count as there already: they are not chosen, and what they need is not looked at.
    pub assumed: &'a [String],
    /// Whether all essential and required packages are wanted too: the set of a system, not of a folder of tools.
    pub system: bool,
    /// Packages whose version is not the newest one but that of this file, which the index has kept: what [`hold()`] returns.
    pub held: &'a BTreeMap<String, Sha256>,
}

/// Why there is no choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Packages that were asked for and do not exist, each with similar names.
    Unknown(Vec<(String, Vec<String>)>),
    /// Packages exclude each other or need what does not exist: the chain, as a tree of lines.
    Unsatisfiable(String),
}

impl Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(names) => {
                for (name, similar) in names {
                    write!(f, "there is no package `{name}`")?;
                    if !similar.is_empty() {
                        write!(f, " (did you mean `{}`?)", similar.join("`, `"))?;
                    }
                    f.write_str("\n")?;
                }
                Ok(())
            }
            Self::Unsatisfiable(tree) => write!(f, "these packages cannot be installed together:\n{tree}"),
        }
    }
}

impl std::error::Error for Conflict {}

/// Chooses the packages for `request`, sorted by name.
///
/// # Errors
/// [`Conflict`].
pub fn solve<'a>(index: &'a Index, request: &Request<'_>) -> Result<Vec<&'a Candidate>, Conflict> {
    let provider = Provider::new(index, request);
    let unknown = provider.unknown(request.wanted);
    if !unknown.is_empty() {
        return Err(Conflict::Unknown(unknown));
    }
    let mut wanted: BTreeSet<&str> = request.wanted.iter().map(String::as_str).collect();
    if request.system {
        let base = index.iter().filter(|c| c.essential || c.priority == Priority::Required);
        wanted.extend(base.map(|candidate| candidate.name.as_str()));
    }
    let requirements =
        wanted.iter().map(|name| provider.requirement(&[Atom { name, constraint: None }]).into()).collect();
    let mut solver = Solver::new(provider);
    match solver.solve(Problem::new().requirements(requirements)) {
        Ok(solution) => {
            let provider = solver.provider();
            let chosen: BTreeMap<&str, &Candidate> = solution
                .into_iter()
                .filter_map(|id| provider.candidate(id))
                .filter(|candidate| !request.assumed.contains(&candidate.name))
                .map(|candidate| (candidate.name.as_str(), candidate))
                .collect();
            Ok(chosen.into_values().collect())
        }
        Err(UnsolvableOrCancelled::Unsolvable(conflict)) => Err(Conflict::Unsatisfiable(
            conflict.display_user_friendly(&solver).to_string().trim_end().to_owned(),
        )),
        Err(UnsolvableOrCancelled::Cancelled(_)) => Err(Conflict::Unsatisfiable("interrupted".into())),
    }
}

#[cfg(test)]
mod tests;
