//! An update of named packages and container images: everything else stays in the lock as it is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::locking::{Subject, keep_known, renumbered};
use crate::context::Context;
use crate::diag::InputError;
use crate::images;
use crate::lock::{self, Image, Keep, Lock, Wishes};

/// The name of all tools together.
const TOOLS: &str = "tools";

/// What the names mean.
#[derive(Debug, Default, PartialEq, Eq)]
struct Meant {
    packages: BTreeSet<String>,
    /// References of container images.
    images: BTreeSet<String>,
    tools: bool,
}

impl Subject<'_> {
    /// Takes the newest of what is named and saves the lock. A name is that of a package or a service (its container images),
    /// a container image with or without registry and tag, or `tools`. Packages that do not go with the new ones move along,
    /// and it is told.
    ///
    /// # Errors
    /// [`InputError`] if nothing has such a name; else as for [`Subject::update`].
    pub fn update_named(&self, old: &Lock, names: &[String], context: &Context) -> Result<Lock> {
        let wishes = self.request().load(&context.project)?;
        let meant = self.meant(old, &wishes, names)?;
        let packages = meant.tools || !meant.packages.is_empty() || wishes.digest() != old.request;
        let mut lock = if packages {
            let keep = Keep { old, moving: &meant.packages, all_tools: meant.tools };
            let resolved = lock::resolve_keeping(&self.request(), &keep, self.now, context)?;
            lock::update(Some(old), resolved, old.images.clone())
        } else {
            old.clone()
        };
        let wanted = self.references();
        let moving = moving(&old.images, &wanted, &meant.images);
        let moved = keep_known(self.resolve_images(&moving, &lock, context)?, Some(old));
        lock.images = replaced(&old.images, &wanted, moved);
        self.save(renumbered(lock, Some(old)), context)
    }

    /// What `names` mean in the lock `old`, or among what is asked for now.
    fn meant(&self, old: &Lock, wishes: &Wishes, names: &[String]) -> Result<Meant> {
        let packages: BTreeSet<&str> = old
            .packages
            .iter()
            .chain(&old.tools)
            .chain(&old.machine)
            .map(|package| &package.name)
            .chain(wishes.packages.iter().chain(&wishes.tools))
            .map(String::as_str)
            .collect();
        let images: BTreeMap<String, Vec<String>> = images::list(self.checked, self.plan, &[])
            .into_iter()
            .map(|image| (image.reference, image.services))
            .collect();
        meant(names, &packages, &images)
    }
}

fn meant(
    names: &[String],
    packages: &BTreeSet<&str>,
    images: &BTreeMap<String, Vec<String>>,
) -> Result<Meant> {
    let mut meant = Meant::default();
    let mut unknown = Vec::new();
    for name in names {
        let chosen: Vec<&String> = images
            .iter()
            .filter(|(reference, services)| services.contains(name) || is_called(reference, name))
            .map(|(reference, _)| reference)
            .collect();
        let package = packages.contains(name.as_str());
        if name == TOOLS {
            meant.tools = true;
        } else if chosen.is_empty() && !package {
            unknown
                .push(format!("nothing in the lock is called `{name}`{}", similar(name, packages, images)));
        }
        meant.images.extend(chosen.into_iter().cloned());
        meant.packages.extend(package.then(|| name.clone()));
    }
    if unknown.is_empty() {
        return Ok(meant);
    }
    Err(InputError(format!(
        "{}\na name is that of a package, of a service, of a container image, or `{TOOLS}`",
        unknown.join("\n")
    ))
    .into())
}

/// The images to look up: those that were named, and those that the lock has not got.
fn moving(old: &[Image], wanted: &BTreeSet<String>, named: &BTreeSet<String>) -> BTreeSet<String> {
    let known: BTreeSet<&String> = old.iter().map(|image| &image.reference).collect();
    wanted.iter().filter(|image| named.contains(*image) || !known.contains(image)).cloned().collect()
}

/// The images that are wanted, sorted: `moved`, and otherwise what `old` has.
fn replaced(old: &[Image], wanted: &BTreeSet<String>, moved: Vec<Image>) -> Vec<Image> {
    let stays = |image: &&Image| {
        wanted.contains(&image.reference) && !moved.iter().any(|other| other.reference == image.reference)
    };
    let mut images: Vec<Image> = old.iter().filter(stays).cloned().collect();
    images.extend(moved);
    images.sort();
    images
}

/// Whether an image is called `name`: the whole reference, or less of it at either end.
fn is_called(reference: &str, name: &str) -> bool {
    let repository = match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    };
    [reference, repository].iter().any(|whole| {
        whole.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    })
}

/// What is called almost so.
fn similar(name: &str, packages: &BTreeSet<&str>, images: &BTreeMap<String, Vec<String>>) -> String {
    let services = images.values().flatten().map(String::as_str);
    let scored =
        packages.iter().copied().chain(services).map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.filter(|(score, _)| *score > 0.85).max_by(|one, other| one.0.total_cmp(&other.0));
    best.map(|(_, known)| format!("; did you mean `{known}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(names: &[&str]) -> Result<Meant> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let images =
            [("docker.io/library/nextcloud:34", "nextcloud"), ("docker.io/library/redis:8", "nextcloud")];
        let images = images.map(|(image, service)| (image.to_owned(), vec![service.to_owned()]));
        meant(&names, &["openssl", "redis", "skopeo"].into(), &images.into())
    }

    #[test]
    fn names_are_those_of_packages_services_images_and_the_tools() {
        let set =
            |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let both = set(&["docker.io/library/nextcloud:34", "docker.io/library/redis:8"]);
        let redis = set(&["docker.io/library/redis:8"]);
        let cases = [
            ("openssl", set(&["openssl"]), set(&[]), false),
            ("nextcloud", set(&[]), both, false),
            ("redis", set(&["redis"]), redis.clone(), false),
            ("docker.io/library/redis", set(&[]), redis.clone(), false),
            ("library/redis:8", set(&[]), redis, false),
            ("tools", set(&[]), set(&[]), true),
        ];
        for (name, packages, images, tools) in cases {
            assert_eq!(choose(&[name]).unwrap(), Meant { packages, images, tools }, "{name}");
        }
    }

    #[test]
    fn names_of_nothing_are_told_together() {
        let error = choose(&["opensl", "edis", "tools", "zzz"]).unwrap_err();
        let said = error.to_string();
        assert!(error.is::<InputError>());
        for part in ["`opensl`; did you mean `openssl`?", "`edis`; did you mean `redis`?", "called `zzz`\n"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn images_that_are_not_named_stay_and_those_not_wanted_go() {
        let image = |reference: &str, digest: &str| Image {
            reference: reference.to_owned(),
            digest: Some(digest.to_owned()),
            ..Image::default()
        };
        let set =
            |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let old = [image("a", "1"), image("b", "1"), image("gone", "1")];
        let wanted = set(&["a", "b", "new"]);
        assert_eq!(moving(&old, &wanted, &set(&["b"])), set(&["b", "new"]));
        let next = replaced(&old, &wanted, vec![image("new", "2"), image("b", "2")]);
        assert_eq!(next, [image("a", "1"), image("b", "2"), image("new", "2")]);
    }
}
