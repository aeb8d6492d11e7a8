//! Which packages can keep the version that they have, while others move.
//!
//! An index and the versions to keep go in; those that can be kept come out. What the moved ones need newer, exclude, or are
//! needed by in their old version is let go, one after the other, until nothing speaks against the rest. The solver chooses
//! afterwards; what it would still find impossible is rare, and said by it.

use std::collections::{BTreeMap, BTreeSet};

use crate::debian::index::{Candidate, Index};
use crate::debian::relation::{self, Atom};
use crate::digest::Sha256;

/// The part of `wish` (package → digest of its file) that can stay as it is. `names` are further packages that are there
/// or asked for. A file that the index has not kept cannot stay: what it needs is not known.
pub fn hold(index: &Index, wish: &BTreeMap<String, Sha256>, names: &[String]) -> BTreeMap<String, Sha256> {
    let all = wish.keys().chain(names).map(String::as_str);
    let mut state = State {
        index,
        held: wish
            .iter()
            .filter_map(|(name, digest)| Some((name.as_str(), index.kept(digest)?)))
            .filter(|(name, kept)| *name == kept.name)
            .collect(),
        there: all.filter(|name| index.get(name).is_some()).collect(),
    };
    while state.step() {}
    state.held.into_iter().map(|(name, candidate)| (name.to_owned(), candidate.sha256)).collect()
}

struct State<'a> {
    index: &'a Index,
    /// What keeps its version so far.
    held: BTreeMap<&'a str, &'a Candidate>,
    /// What is on the box, or may get there.
    there: BTreeSet<&'a str>,
}

impl<'a> State<'a> {
    /// The version of `name` that there would be.
    fn pick(&self, name: &str) -> Option<&'a Candidate> {
        self.held.get(name).copied().or_else(|| self.index.get(name))
    }

    /// Looks at everything once; whether anything changed.
    fn step(&mut self) -> bool {
        let picked: Vec<&'a Candidate> = self.there.iter().filter_map(|name| self.pick(name)).collect();
        let provided = provided(&picked);
        let (mut let_go, mut come) = (BTreeSet::new(), BTreeSet::new());
        for candidate in &picked {
            for field in candidate.dependencies() {
                // A malformed field is the solver's to complain about.
                for group in relation::parse(field).unwrap_or_default() {
                    self.needs(candidate, &group, &provided, (&mut let_go, &mut come));
                }
            }
            for field in candidate.exclusions() {
                for atom in relation::parse(field).unwrap_or_default().into_iter().flatten() {
                    self.excludes(candidate, &atom, &provided, &mut let_go);
                }
            }
        }
        let before = (self.held.len(), self.there.len());
        self.held.retain(|name, _| !let_go.contains(name));
        self.there.extend(come);
        before != (self.held.len(), self.there.len())
    }

    /// One of `group` must be there for `candidate`.
    fn needs(
        &self,
        candidate: &'a Candidate,
        group: &[Atom<'a>],
        provided: &Provided<'a>,
        (let_go, come): (&mut BTreeSet<&'a str>, &mut BTreeSet<&'a str>),
    ) {
        let real = |atom: &Atom<'a>| self.pick(atom.name).filter(|picked| atom.matches(&picked.version));
        let met = |atom: &Atom<'a>| {
            (self.there.contains(atom.name) && real(atom).is_some()) || !matching(atom, provided).is_empty()
        };
        if group.iter().any(met) {
            return;
        }
        // Nothing on the box meets it: something new may come, a held one may move on, or the one that needs it must.
        let held = |name: &str| self.held.contains_key(name);
        let moves_on = |atom: &&Atom<'a>| {
            let newest = self.index.get(atom.name);
            held(atom.name) && newest.is_some_and(|newest| atom.matches(&newest.version))
        };
        let known = |atom: &Atom<'a>| self.index.get(atom.name).map(|candidate| candidate.name.as_str());
        if let Some(name) = group.iter().find(moves_on).and_then(known) {
            let_go.insert(name);
        } else if let Some(name) = group.iter().find(|atom| real(atom).is_some()).and_then(known) {
            come.insert(name);
        } else if held(&candidate.name) {
            let_go.insert(&candidate.name);
        } else {
            let_go.extend(group.iter().flat_map(|atom| self.would_provide(atom)));
        }
    }

    /// Held packages whose newest version provides what `atom` means.
    fn would_provide(&self, atom: &Atom<'_>) -> Vec<&'a str> {
        let newest: Vec<&'a Candidate> = self.held.keys().filter_map(|name| self.index.get(name)).collect();
        matching(atom, &provided(&newest))
    }

    /// `candidate` does not bear what `atom` means.
    fn excludes(
        &self,
        candidate: &'a Candidate,
        atom: &Atom<'a>,
        provided: &Provided<'a>,
        let_go: &mut BTreeSet<&'a str>,
    ) {
        let mut others = matching(atom, provided);
        let real = self
            .pick(atom.name)
            .filter(|picked| self.there.contains(picked.name.as_str()) && atom.matches(&picked.version));
        others.extend(real.map(|picked| picked.name.as_str()));
        for other in others.into_iter().filter(|other| *other != candidate.name) {
            if self.held.contains_key(other) {
                let_go.insert(other);
            } else if self.held.contains_key(candidate.name.as_str()) {
                let_go.insert(&candidate.name);
            }
        }
    }
}

/// Virtual name → who provides it, with the version that is provided.
type Provided<'a> = BTreeMap<&'a str, Vec<(&'a str, Option<&'a str>)>>;

fn provided<'a>(candidates: &[&'a Candidate]) -> Provided<'a> {
    let mut found: Provided<'a> = BTreeMap::new();
    for candidate in candidates {
        for atom in relation::parse(candidate.provides()).unwrap_or_default().into_iter().flatten() {
            let version = atom.constraint.map(|(_, version)| version);
            found.entry(atom.name).or_default().push((&candidate.name, version));
        }
    }
    found
}

/// Who provides what `atom` means (policy 7.5: a relation with a version is met by a provided version only).
fn matching<'a>(atom: &Atom<'_>, provided: &Provided<'a>) -> Vec<&'a str> {
    let providers = provided.get(atom.name).into_iter().flatten();
    let meant = providers.filter(|(_, version)| match version {
        Some(version) => atom.matches(version),
        None => atom.constraint.is_none(),
    });
    meant.map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index in which every package has version 2 from `new`, and version 1 from `old`, which is kept; with what
    /// stays when `moving` moves.
    fn stays(old: &[(&str, &str)], new: &[(&str, &str)], moving: &str) -> Vec<String> {
        let digest = |version: u8, name: &str| Sha256::of_bytes(format!("{name}{version}").as_bytes());
        let text = |version: u8, packages: &[(&str, &str)]| -> String {
            let one = |(name, fields): &(&str, &str)| {
                format!(
                    "Package: {name}\nVersion: {version}\nArchitecture: all\nFilename: {name}\nSize: 1\n\
                     SHA256: {}\n{}\n\n",
                    digest(version, name),
                    fields.replace("; ", "\n")
                )
                .replace("\n\n\n", "\n\n")
            };
            packages.iter().map(one).collect()
        };
        let wish: BTreeMap<String, Sha256> = old
            .iter()
            .filter(|(name, _)| *name != moving)
            .map(|(name, _)| ((*name).to_owned(), digest(1, name)))
            .collect();
        let mut index = Index::keeping(wish.values().copied().collect());
        index.add(text(1, old).as_bytes(), "amd64", 0).unwrap();
        index.add(text(2, new).as_bytes(), "amd64", 1).unwrap();
        hold(&index, &wish, &[moving.to_owned()]).into_keys().collect()
    }

    #[test]
    fn what_is_not_concerned_stays() {
        let old = [("a", "Depends: b"), ("b", ""), ("c", "")];
        assert_eq!(stays(&old, &old, "a"), ["b", "c"]);
    }

    #[test]
    fn what_the_moved_one_needs_newer_moves_along_and_so_on() {
        let old = [("a", "Depends: b"), ("b", ""), ("c", ""), ("d", "")];
        let new = [("a", "Depends: b (>= 2)"), ("b", "Depends: c (= 2)"), ("c", ""), ("d", "")];
        assert_eq!(stays(&old, &new, "a"), ["d"]);
    }

    #[test]
    fn what_needs_the_moved_one_as_it_was_moves_along() {
        let old = [("lib", ""), ("dev", "Depends: lib (= 1)"), ("other", "Depends: lib")];
        let new = [("lib", ""), ("dev", "Depends: lib (= 2)"), ("other", "")];
        assert_eq!(stays(&old, &new, "lib"), ["other"]);
    }

    #[test]
    fn what_breaks_either_way_moves_along() {
        let old = [("a", ""), ("b", ""), ("c", "Breaks: a (>= 2)"), ("d", "")];
        let new = [("a", "Breaks: b (<< 2)"), ("b", ""), ("c", ""), ("d", "")];
        assert_eq!(stays(&old, &new, "a"), ["d"]);
    }

    #[test]
    fn what_comes_new_has_its_needs_too() {
        let old = [("a", ""), ("b", ""), ("c", "")];
        let new = [("a", "Depends: fresh"), ("b", ""), ("c", ""), ("fresh", "Depends: b (>= 2)")];
        assert_eq!(stays(&old, &new, "a"), ["c"]);
    }

    #[test]
    fn what_provides_the_need_in_its_newest_version_moves_along() {
        let old = [("a", ""), ("b", "Provides: api (= 1)"), ("c", "")];
        let new = [("a", "Depends: api (>= 2)"), ("b", "Provides: api (= 2)"), ("c", "")];
        assert_eq!(stays(&old, &new, "a"), ["c"]);
    }

    #[test]
    fn what_the_archive_no_longer_has_cannot_stay() {
        let wish = BTreeMap::from([("a".to_owned(), Sha256::of_bytes(b"a1"))]);
        let mut index = Index::keeping(wish.values().copied().collect());
        let entry = "Package: a\nVersion: 2\nArchitecture: all\nFilename: a\nSize: 1\nSHA256: ";
        index.add(format!("{entry}{}\n", Sha256::of_bytes(b"a2")).as_bytes(), "amd64", 0).unwrap();
        assert!(hold(&index, &wish, &[]).is_empty());
    }
}
