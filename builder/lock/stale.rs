//! When a lock is to be renewed, and what a renewal moved.
//!
//! Locks go in, sentences for a person come out. The clock is an argument.

use std::collections::BTreeMap;
use std::fmt;

use super::format::{Image, Lock, Package};
use super::request::Wishes;
use crate::debian::date;
use crate::diag::InputError;

/// After so many days a build warns.
pub const OLD_DAYS: i64 = 14;

/// How many days before `now` (seconds since 1970) the newest package list of the lock was made.
pub fn age_days(lock: &Lock, now: i64) -> i64 {
    (now - lock.time).div_euclid(86400).max(0)
}

/// A warning if the lock is older than [`OLD_DAYS`] at the moment `now`.
pub fn warning(lock: &Lock, now: i64) -> Option<String> {
    let days = age_days(lock, now);
    (days > OLD_DAYS).then(|| {
        format!(
            "the lock is {days} days old (from {}): the box would start without the security updates since; \
             `boxwright lock --update` renews it",
            date::day(lock.time)
        )
    })
}

/// Whether the lock is for these wishes.
///
/// # Errors
/// [`InputError`] if the profile, or this version of Boxwright, asks for other packages than the lock was made for.
pub fn check_request(lock: &Lock, wishes: &Wishes) -> Result<(), InputError> {
    if lock.request == wishes.digest() {
        return Ok(());
    }
    Err(InputError(
        "the lock was made for other packages than the profile asks for now; \
         `boxwright lock --update` makes one for these"
            .into(),
    ))
}

/// One thing that an update moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The package or image.
    pub name: String,
    /// What it was; none if it is new.
    pub old: Option<String>,
    /// What it is; none if it is gone.
    pub new: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".into());
        write!(f, "{} {} → {}", self.name, part(&self.old), part(&self.new))
    }
}

/// What differs between two locks, packages of the box first, then tools, then container images; sorted by name.
pub fn changes(old: &Lock, new: &Lock) -> Vec<Change> {
    let tools = |lock: &Lock| versions(lock.tools.iter().chain(&lock.machine));
    let mut changes = differences(&versions(old.packages.iter()), &versions(new.packages.iter()));
    changes.extend(differences(&tools(old), &tools(new)));
    changes.extend(differences(&digests(&old.images), &digests(&new.images)));
    changes
}

fn versions<'a>(packages: impl Iterator<Item = &'a Package>) -> BTreeMap<String, String> {
    packages.map(|package| (package.name.clone(), package.version.clone())).collect()
}

fn digests(images: &[Image]) -> BTreeMap<String, String> {
    let short = |digest: &str| digest.chars().take(19).collect();
    let digest = |image: &Image| image.digest.as_deref().map_or_else(|| "not resolved".to_owned(), short);
    images.iter().map(|image| (image.reference.clone(), digest(image))).collect()
}

fn differences(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Change> {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| Change { name: name.clone(), old: old.get(name).cloned(), new: new.get(name).cloned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use crate::lock::SCHEMA;

    fn lock(packages: &[(&str, &str)], images: &[(&str, Option<&str>)]) -> Lock {
        let package = |(name, version): &(&str, &str)| Package {
            name: (*name).into(),
            version: (*version).into(),
            architecture: "all".into(),
            sha256: Sha256::of_bytes(version.as_bytes()),
            size: 1,
            path: "pool/a".into(),
            archive: "trixie".into(),
        };
        let image = |(reference, digest): &(&str, Option<&str>)| Image {
            reference: (*reference).into(),
            digest: digest.map(str::to_owned),
            config: None,
            size: None,
        };
        Lock {
            schema: SCHEMA,
            version: 1,
            time: 1_795_141_679,
            distribution: "debian-13".into(),
            platform: "uefi-x86_64".into(),
            request: Sha256::of_bytes(b""),
            archives: vec![],
            packages: packages.iter().map(package).collect(),
            tools: vec![],
            machine: vec![],
            images: images.iter().map(image).collect(),
        }
    }

    #[test]
    fn changes_name_old_and_new() {
        let old = lock(&[("a", "1"), ("b", "1"), ("c", "1")], &[("i", None)]);
        let new = lock(&[("a", "1"), ("b", "2"), ("d", "1")], &[("i", Some("sha256:0123456789abcdef0123"))]);
        let lines: Vec<String> = changes(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["b 1 → 2", "c 1 → –", "d – → 1", "i not resolved → sha256:0123456789ab"]);
        assert!(changes(&old, &old).is_empty());
    }

    #[test]
    fn an_old_lock_is_warned_of() {
        let lock = lock(&[], &[]);
        assert_eq!(warning(&lock, lock.time + 14 * 86400), None);
        let text = warning(&lock, lock.time + 15 * 86400).unwrap();
        assert!(text.contains("15 days") && text.contains("2026-11-20"), "{text}");
        assert_eq!(age_days(&lock, lock.time - 5), 0);
    }
}
