//! Container images that differ: another tag of a repository, another digest of a tag, a repository that is new or gone.

use std::collections::{BTreeMap, BTreeSet};

use super::{ContainerChange, Difference, Owners, Pinned};
use crate::check::CheckedProfile;
use crate::images;
use crate::lock::Lock;
use crate::plan::Plan;

/// Reference → digest, where one is known.
type Digests = BTreeMap<String, Option<String>>;

/// A profile with its plan, and its lock if it has one.
type Profile<'a> = (&'a CheckedProfile, &'a Plan, Option<&'a Lock>);

/// The images of two locks.
pub(super) fn of_locks(old: &Lock, new: &Lock, owners: &Owners) -> Vec<ContainerChange> {
    let digests = |lock: &Lock| -> Digests {
        lock.images.iter().map(|image| (image.reference.clone(), image.digest.clone())).collect()
    };
    compare(&digests(old), &digests(new), owners)
}

/// The images of two profiles: which they are is known without a lock, their digests are not.
pub(super) fn of_profiles(old: Profile<'_>, new: Profile<'_>, difference: &mut Difference) {
    let digests = |(checked, plan, lock): Profile<'_>| -> Digests {
        let locked = lock.map_or(&[][..], |lock| &lock.images);
        images::list(checked, plan, locked).into_iter().map(|image| (image.reference, image.digest)).collect()
    };
    let owners = Owners::of(new.0, new.1).and(Owners::of(old.0, old.1));
    difference.containers = compare(&digests(old), &digests(new), &owners);
}

fn compare(old: &Digests, new: &Digests, owners: &Owners) -> Vec<ContainerChange> {
    let (before, after) = (by_repository(old), by_repository(new));
    let repositories: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let nothing = BTreeMap::new();
    let mut changes = Vec::new();
    for repository in repositories {
        let old = before.get(repository).unwrap_or(&nothing);
        let new = after.get(repository).unwrap_or(&nothing);
        for (old, new) in pairs(old, new) {
            let reference = |pinned: &Pinned| join(repository, &pinned.tag);
            let known = new.as_ref().or(old.as_ref()).map(reference).unwrap_or_default();
            changes.push(ContainerChange {
                repository: repository.to_owned(),
                services: owners.services(&known),
                old,
                new,
            });
        }
    }
    changes
}

/// What differs of one repository. Tags that are gone and tags that are new are paired in their order: mostly there is one.
fn pairs(
    old: &BTreeMap<&str, Option<&str>>,
    new: &BTreeMap<&str, Option<&str>>,
) -> Vec<(Option<Pinned>, Option<Pinned>)> {
    let pinned = |(tag, digest): (&&str, &Option<&str>)| Pinned {
        tag: (*tag).to_owned(),
        digest: digest.map(str::to_owned),
    };
    let mut pairs = Vec::new();
    for (tag, was) in old {
        // Where a digest is not known, nothing is known to differ.
        if let Some(Some(is)) = new.get(tag)
            && was.is_some_and(|was| was != *is)
        {
            pairs.push((Some(pinned((tag, was))), Some(pinned((tag, &Some(*is))))));
        }
    }
    let mut gone = old.iter().filter(|(tag, _)| !new.contains_key(*tag)).map(pinned);
    let mut come = new.iter().filter(|(tag, _)| !old.contains_key(*tag)).map(pinned);
    loop {
        match (gone.next(), come.next()) {
            (None, None) => return pairs,
            pair => pairs.push(pair),
        }
    }
}

fn by_repository(digests: &Digests) -> BTreeMap<&str, BTreeMap<&str, Option<&str>>> {
    let mut found: BTreeMap<&str, BTreeMap<&str, Option<&str>>> = BTreeMap::new();
    for (reference, digest) in digests {
        let (repository, tag) = split(reference);
        found.entry(repository).or_default().insert(tag, digest.as_deref());
    }
    found
}

/// Repository and tag of a reference; a colon before the last slash belongs to the registry's port.
fn split(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, ""),
    }
}

fn join(repository: &str, tag: &str) -> String {
    if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_digests_move_and_repositories_come_and_go() {
        let digests = |list: &[(&str, Option<&str>)]| -> Digests {
            list.iter().map(|(name, digest)| ((*name).to_owned(), digest.map(str::to_owned))).collect()
        };
        let old = digests(&[
            ("host:5000/a", Some("sha256:1")),
            ("host:5000/b:1", Some("sha256:1")),
            ("host:5000/c:1", None),
            ("host:5000/d:1", Some("sha256:1")),
            ("host:5000/e:1", Some("sha256:1")),
        ]);
        let new = digests(&[
            ("host:5000/b:2", Some("sha256:2")),
            ("host:5000/c:1", Some("sha256:2")),
            ("host:5000/d:1", Some("sha256:2")),
            ("host:5000/e:1", Some("sha256:1")),
            ("host:5000/f:1", None),
        ]);
        let text = |pinned: &Option<Pinned>| pinned.as_ref().map(|pinned| pinned.tag.clone());
        let found: Vec<_> = compare(&old, &new, &Owners::default())
            .into_iter()
            .map(|change| (change.repository, text(&change.old), text(&change.new)))
            .collect();
        let row = |name: &str, old: Option<&str>, new: Option<&str>| {
            (format!("host:5000/{name}"), old.map(str::to_owned), new.map(str::to_owned))
        };
        let expected = [
            row("a", Some(""), None),
            row("b", Some("1"), Some("2")),
            row("d", Some("1"), Some("1")),
            row("f", None, Some("1")),
        ];
        assert_eq!(found, expected);
    }
}
