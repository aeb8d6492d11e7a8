//! The index as resolvo asks for it.
//!
//! How Debian's relations are put to it (resolvo wants all candidates of one version set to share a package name):
//! * a package has one candidate, its newest version: apt does not look at others either; or the one that is held;
//! * an atom is a *union* of one set per real package: the package of that name first, then those that provide it;
//! * `a | b` is the union of both atoms' unions, in this order;
//! * `Conflicts` and `Breaks` forbid each package that they match: a set without candidates, as a constraint.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;

use resolvo::{
    Candidates, Condition, ConditionId, Dependencies, DependencyProvider, HintDependenciesAvailable,
    Interner, KnownDependencies, NameId, Requirement, SolvableId, SolverCache, StringId, VersionSetId,
    VersionSetUnionId,
};

use super::Request;
use crate::debian::index::{Candidate, Index};
use crate::debian::relation::{self, Atom};

/// A set of versions of one name. A name has at most one candidate, so a set either holds it or is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct VersionSet {
    name: NameId,
    holds: bool,
    /// How the relation read, for messages.
    text: String,
}

/// Values that resolvo refers to by number.
#[derive(Debug, Default)]
struct Interned {
    /// Names of packages that do not exist, numbered after those that do.
    absent: Vec<String>,
    sets: Vec<VersionSet>,
    set_ids: BTreeMap<VersionSet, VersionSetId>,
    unions: Vec<Vec<VersionSetId>>,
    strings: Vec<String>,
}

/// The index as resolvo asks for it. A candidate's number is its name's number: the position in the sorted index.
pub(super) struct Provider<'a, 'r> {
    candidates: Vec<&'a Candidate>,
    /// Virtual name to the numbers of its providers, best first, with the version that they provide.
    providers: BTreeMap<&'a str, Vec<(usize, Option<&'a str>)>>,
    excluded: &'r BTreeMap<String, String>,
    assumed: &'r [String],
    interned: RefCell<Interned>,
}

impl<'a, 'r> Provider<'a, 'r> {
    pub(super) fn new(index: &'a Index, request: &Request<'r>) -> Self {
        let held = |candidate: &Candidate| index.kept(request.held.get(&candidate.name)?);
        let candidates: Vec<&Candidate> = index.iter().map(|newest| held(newest).unwrap_or(newest)).collect();
        let mut providers: BTreeMap<&str, Vec<(usize, Option<&str>)>> = BTreeMap::new();
        for (number, candidate) in candidates.iter().enumerate() {
            // A malformed `Provides` provides nothing; whoever needs it will be named.
            for atom in relation::parse(candidate.provides()).unwrap_or_default().into_iter().flatten() {
                let version = atom.constraint.map(|(_, version)| version);
                providers.entry(atom.name).or_default().push((number, version));
            }
        }
        for list in providers.values_mut() {
            // Candidates are sorted by name already, and the sort is stable.
            list.sort_by_key(|(number, _)| (!candidates[*number].essential, candidates[*number].priority));
        }
        Self {
            candidates,
            providers,
            excluded: request.excluded,
            assumed: request.assumed,
            interned: RefCell::default(),
        }
    }

    pub(super) fn candidate(&self, id: SolvableId) -> Option<&'a Candidate> {
        self.candidates.get(id.into_raw() as usize).copied()
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.candidates.binary_search_by(|candidate| candidate.name.as_str().cmp(name)).ok()
    }

    /// The wanted packages that nothing is called or provides, with similar names.
    pub(super) fn unknown(&self, wanted: &[String]) -> Vec<(String, Vec<String>)> {
        let missing = wanted
            .iter()
            .filter(|name| self.number(name).is_none() && !self.providers.contains_key(name.as_str()));
        missing
            .map(|name| {
                let mut near: Vec<(f64, &str)> = self
                    .candidates
                    .iter()
                    .map(|candidate| (strsim::jaro_winkler(name, &candidate.name), candidate.name.as_str()))
                    .filter(|(score, _)| *score > 0.92)
                    .collect();
                near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
                (name.clone(), near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect())
            })
            .collect()
    }

    /// The numbers of all packages that `atom` means: the one of that name, then those that provide it.
    fn matches(&self, atom: &Atom<'_>) -> Vec<usize> {
        let real = self.number(atom.name).filter(|number| atom.matches(&self.candidates[*number].version));
        let providers = self.providers.get(atom.name).into_iter().flatten();
        // Policy 7.5: a relation with a version is met by a provided version only.
        let provided = providers.filter(|(_, version)| match version {
            Some(version) => atom.matches(version),
            None => atom.constraint.is_none(),
        });
        let mut numbers: Vec<usize> = real.into_iter().collect();
        for (number, _) in provided {
            if !numbers.contains(number) {
                numbers.push(*number);
            }
        }
        numbers
    }

    /// One of `atoms`, the first ones preferred.
    pub(super) fn requirement(&self, atoms: &[Atom<'_>]) -> Requirement {
        let mut sets: Vec<VersionSetId> = Vec::new();
        for atom in atoms {
            for number in self.matches(atom) {
                let text = if self.candidates[number].name == atom.name {
                    constraint_text(atom)
                } else {
                    format!("(provides {atom})")
                };
                let id = self.set(VersionSet { name: NameId::from_raw(number as u32), holds: true, text });
                if !sets.contains(&id) {
                    sets.push(id);
                }
            }
        }
        if sets.is_empty() {
            let absent = |atom: &Atom<'_>| {
                let name = self.name(atom.name);
                self.set(VersionSet { name, holds: false, text: constraint_text(atom) })
            };
            sets = atoms.iter().map(absent).collect();
        }
        match sets[..] {
            [only] => Requirement::Single(only),
            _ => {
                let mut interned = self.interned.borrow_mut();
                interned.unions.push(sets);
                Requirement::Union(VersionSetUnionId(interned.unions.len() as u32 - 1))
            }
        }
    }

    /// The number of a name, whether a package has it or not.
    fn name(&self, name: &str) -> NameId {
        let number = self.number(name).unwrap_or_else(|| {
            let absent = &mut self.interned.borrow_mut().absent;
            let position = absent.iter().position(|known| known == name).unwrap_or_else(|| {
                absent.push(name.to_owned());
                absent.len() - 1
            });
            self.candidates.len() + position
        });
        NameId::from_raw(number as u32)
    }

    fn set(&self, set: VersionSet) -> VersionSetId {
        let interned = &mut *self.interned.borrow_mut();
        *interned.set_ids.entry(set).or_insert_with_key(|set| {
            interned.sets.push(set.clone());
            VersionSetId(interned.sets.len() as u32 - 1)
        })
    }

    fn string(&self, text: String) -> StringId {
        let strings = &mut self.interned.borrow_mut().strings;
        strings.push(text);
        StringId(strings.len() as u32 - 1)
    }

    /// What the candidate needs and what it excludes.
    fn relations(&self, number: usize) -> anyhow::Result<KnownDependencies> {
        let candidate = self.candidates[number];
        let mut known = KnownDependencies::default();
        if self.assumed.contains(&candidate.name) {
            return Ok(known);
        }
        for field in candidate.dependencies() {
            for group in relation::parse(field)? {
                known.requirements.push(self.requirement(&group).into());
            }
        }
        for field in candidate.exclusions() {
            for atom in relation::parse(field)?.into_iter().flatten() {
                // Policy 7.4: a package never conflicts with itself, not even with what it provides.
                for other in self.matches(&atom).into_iter().filter(|other| *other != number) {
                    let text = format!("(excluded by {} {})", candidate.name, candidate.version);
                    let name = NameId::from_raw(other as u32);
                    known.constrains.push(self.set(VersionSet { name, holds: false, text }));
                }
            }
        }
        Ok(known)
    }
}

fn constraint_text(atom: &Atom<'_>) -> String {
    atom.to_string()[atom.name.len()..].trim_start().to_owned()
}

impl Interner for Provider<'_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.candidate(solvable)
            .map(|candidate| format!("{} {}", candidate.name, candidate.version))
            .unwrap_or_default()
    }

    fn display_merged_solvables(&self, solvables: &[SolvableId]) -> impl Display + '_ {
        let texts: Vec<String> = solvables.iter().map(|id| self.display_solvable(*id).to_string()).collect();
        texts.join(" | ")
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        let number = name.into_raw() as usize;
        match self.candidates.get(number) {
            Some(candidate) => candidate.name.clone(),
            None => {
                self.interned.borrow().absent.get(number - self.candidates.len()).cloned().unwrap_or_default()
            }
        }
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl Display + '_ {
        self.interned.borrow().sets[version_set.0 as usize].text.clone()
    }

    fn display_string(&self, string_id: StringId) -> impl Display + '_ {
        self.interned.borrow().strings[string_id.0 as usize].clone()
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        self.interned.borrow().sets[version_set.0 as usize].name
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_raw(solvable.into_raw())
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.interned.borrow().unions[union.0 as usize].clone().into_iter()
    }

    fn resolve_condition(&self, condition: ConditionId) -> Condition {
        unreachable!("no requirement has a condition ({condition:?})")
    }
}

impl DependencyProvider for Provider<'_, '_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let holds = self.interned.borrow().sets[version_set.0 as usize].holds;
        if holds == inverse { Vec::new() } else { candidates.to_vec() }
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates<SolvableId>> {
        let id = SolvableId::from_raw(name.into_raw());
        let candidate = self.candidate(id)?;
        let excluded = self.excluded.get(&candidate.name).map(|reason| (id, self.string(reason.clone())));
        Some(Candidates {
            candidates: vec![id],
            hint_dependencies_available: HintDependenciesAvailable::None,
            excluded: excluded.into_iter().collect(),
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _solver: &SolverCache<Self>, _solvables: &mut [SolvableId]) {
        // There is one candidate a name; unions keep the order of their sets.
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        match self.relations(solvable.into_raw() as usize) {
            Ok(known) => Dependencies::Known(known),
            Err(error) => {
                Dependencies::Unknown(self.string(format!("its relations are malformed: {error:#}")))
            }
        }
    }
}
