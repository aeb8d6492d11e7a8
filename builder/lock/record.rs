//! What of the project a box is made of, besides packages and container images: the program, keys and folders, by digest.
//!
//! A [`Record`] is how the project is now; a lock has the one that it was written with. Nothing is read from a disk here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::format::Lock;
use crate::digest::Sha256;

/// A key that may sign the archives' releases.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The fingerprint of the primary key, as gpg prints it.
    pub fingerprint: String,
    /// The file that holds it, in the project: `firmware/debian-13/keys/…`.
    pub file: String,
    /// The digest of that file.
    pub sha256: Sha256,
}

/// A folder of the project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its path in the project: `overlays/services/plex`.
    pub name: String,
    /// The digest of what is in it.
    pub sha256: Sha256,
}

/// What of the project one box is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// See [`Lock::program`].
    pub program: String,
    /// See [`Lock::keys`].
    pub keys: Vec<Key>,
    /// See [`Lock::sources`].
    pub sources: Vec<Source>,
}

impl Record {
    /// `lock` with this in place of what it had recorded. Its version stays: it counts what the lock itself moves.
    #[must_use]
    pub fn put_into(self, lock: Lock) -> Lock {
        Lock { program: Some(self.program), keys: self.keys, sources: self.sources, ..lock }.sorted()
    }

    /// What `lock` has recorded in another way, by name; nothing if it is as here. Of a lock without a record that is all.
    pub fn differences(&self, lock: &Lock) -> Vec<String> {
        let now = digests(&self.keys, &self.sources);
        let recorded = digests(&lock.keys, &lock.sources);
        let names: BTreeSet<&String> = now.keys().chain(recorded.keys()).collect();
        let differs = names.into_iter().filter(|name| now.get(*name) != recorded.get(*name));
        let program = lock.program.as_ref().filter(|program| **program != self.program);
        let program = program.map(|program| format!("Boxwright ({program}, now {})", self.program));
        let named = differs.map(|name| match (recorded.contains_key(name), now.contains_key(name)) {
            (false, _) => format!("{name} (new)"),
            (_, false) => format!("{name} (gone)"),
            _ => name.clone(),
        });
        program.into_iter().chain(named).collect()
    }
}

/// The digests of keys and folders by name: of each one, unless a merge has left two.
fn digests(keys: &[Key], sources: &[Source]) -> BTreeMap<String, Vec<(String, Sha256)>> {
    let keys = keys.iter().map(|key| (format!("key {}", key.fingerprint), (key.file.clone(), key.sha256)));
    let sources = sources.iter().map(|source| (source.name.clone(), (String::new(), source.sha256)));
    let mut digests: BTreeMap<String, Vec<(String, Sha256)>> = BTreeMap::new();
    for (name, digest) in keys.chain(sources) {
        digests.entry(name).or_default().push(digest);
    }
    digests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::format::parse;

    fn source(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), sha256: Sha256::of_bytes(text.as_bytes()) }
    }

    #[test]
    fn whatever_differs_is_named_and_nothing_else() {
        let lock = parse(include_str!("../../tests/diff/old.lock")).unwrap();
        let same = Record {
            program: lock.program.clone().unwrap(),
            keys: lock.keys.clone(),
            sources: lock.sources.clone(),
        };
        assert_eq!(same.differences(&lock), [""; 0]);
        assert_eq!(same.clone().put_into(lock.clone()), lock);

        let mut other = Record { program: "0.9.0".into(), ..same.clone() };
        other.keys[0].sha256 = Sha256::of_bytes(b"another");
        other.sources.remove(0);
        other.sources.push(source("overlays/services/plex", "new"));
        let key = format!("key {}", lock.keys[0].fingerprint);
        let gone = format!("{} (gone)", lock.sources[0].name);
        let program = format!("Boxwright ({}, now 0.9.0)", same.program);
        assert_eq!(other.differences(&lock), [&program, &gone, &key, "overlays/services/plex (new)"]);
    }

    #[test]
    fn a_folder_that_a_merge_has_left_twice_differs() {
        let mut lock = parse(include_str!("../../tests/diff/old.lock")).unwrap();
        let program = lock.program.clone().unwrap();
        let record = Record { program, keys: lock.keys.clone(), sources: lock.sources.clone() };
        let name = lock.sources[0].name.clone();
        lock.sources.push(source(&name, "theirs"));
        assert_eq!(record.differences(&lock), [name]);
        assert_eq!(record.clone().put_into(lock).sources, record.sources);
    }
}
