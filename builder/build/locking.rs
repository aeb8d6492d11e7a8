//! The lock of a profile: used as it is where it fits, made where there is none.
//!
//! Packages move only with an update. A container image that the profile has gained is resolved and added by itself, since
//! nothing else moves with it; so is the record of what of the project the box is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::record::drift;
use crate::check::CheckedProfile;
use crate::context::Context;
use crate::debian::date;
use crate::images::{self, Skopeo};
use crate::lock::{self, Image, Lock, Package, PackageRequest, stale};
use crate::plan::Plan;
use crate::tools::Tools;

/// Whose lock it is, and where.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The profile.
    pub checked: &'a CheckedProfile,
    /// Its services.
    pub plan: &'a Plan,
    /// The file of the profile.
    pub path: &'a Path,
    /// Seconds since 1970: what indexes have to be valid at.
    pub now: i64,
}

impl Subject<'_> {
    /// Where the lock is: beside the profile.
    pub fn lock_path(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    /// The lock beside the profile, if there is one.
    ///
    /// # Errors
    /// [`crate::diag::InputError`] if it is no lock or a newer program wrote it; else if it cannot be read.
    pub fn load(&self) -> Result<Option<Lock>> {
        let path = self.lock_path();
        let lock = lock::load(&path)?;
        if let Some(lock) = &lock {
            stale::check_program(lock.program.as_deref())
                .with_context(|| format!("using {}", path.display()))?;
        }
        Ok(lock)
    }

    /// The lock to build from. Where there is none it is made; where the profile has gained container images they are
    /// added, and where the project is not as it was recorded that is renewed; all are saved.
    ///
    /// # Errors
    /// [`crate::diag::InputError`] if the lock does not fit the profile any more; else if an archive cannot be had or trusted.
    pub fn lock(&self, context: &Context) -> Result<Lock> {
        let Some(lock) = self.load()? else {
            return self.update(None, context);
        };
        self.check_fits(&lock, &self.lock_path(), context)?;
        let lock = self.with_images(lock, context)?;
        self.with_record(lock, context)
    }

    /// `lock` with the container images that the profile has gained, saved.
    fn with_images(&self, lock: Lock, context: &Context) -> Result<Lock> {
        let path = self.lock_path();
        let wanted = self.references();
        let known: BTreeSet<&String> = lock.images.iter().map(|image| &image.reference).collect();
        if wanted.iter().all(|reference| known.contains(reference)) {
            return Ok(lock);
        }
        let missing: BTreeSet<String> =
            wanted.iter().filter(|image| !known.contains(image)).cloned().collect();
        let mut extended = lock.clone();
        extended.images.retain(|image| wanted.contains(&image.reference));
        extended.images.extend(self.resolve_images(&missing, &lock, context)?);
        extended.images.sort();
        extended.version += 1;
        lock::save(&extended, &path)?;
        context.ui.note(format!("{}: added {}", path.display(), list(&missing)));
        Ok(extended)
    }

    /// Takes the newest of everything, saves the lock, and says what moved.
    ///
    /// # Errors
    /// If an archive cannot be had or trusted, or the packages do not go together. The old lock is then untouched.
    pub fn update(&self, old: Option<&Lock>, context: &Context) -> Result<Lock> {
        let resolved = lock::resolve_packages(&self.request(), old, self.now, context)?;
        let mut lock = lock::update(old, resolved, old.map(|old| old.images.clone()).unwrap_or_default());
        let images = self.resolve_images(&self.references(), &lock, context)?;
        lock.images = keep_known(images, old);
        lock.images.sort();
        self.save(renumbered(lock, old), context)
    }

    /// What keeps the lock from being used as it is: sentences, none if it fits. Nothing is fetched or changed.
    ///
    /// # Errors
    /// If the lock or the project cannot be read.
    pub fn review(&self, project: &Path) -> Result<Vec<String>> {
        let path = self.lock_path();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(vec!["there is no lock: `boxwright lock` makes it".to_owned()]);
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let lock = match lock::format::parse(&text) {
            Ok(lock) => lock,
            Err(error) => return Ok(vec![format!("{error:#}")]),
        };
        if let Err(newer) = stale::check_program(lock.program.as_deref()) {
            return Ok(vec![newer.to_string()]);
        }
        let mut reasons = lock::faults(&text, &lock);
        let wishes = self.request().load(project)?;
        reasons.extend(stale::check_request(&lock, &wishes).err().map(|reason| reason.to_string()));
        let known: BTreeSet<&String> = lock.images.iter().map(|image| &image.reference).collect();
        let missing = self.references().into_iter().filter(|reference| !known.contains(reference));
        reasons.extend(missing.map(|image| {
            format!("it lacks the container image {image}: `boxwright lock` adds it, and moves nothing")
        }));
        reasons.extend(drift(&self.record(project)?, &lock).map(|reason| {
            let profile = self.path.display();
            format!("{reason}: `boxwright lock {profile}` renews that, and moves nothing")
        }));
        Ok(reasons)
    }

    fn check_fits(&self, lock: &Lock, path: &Path, context: &Context) -> Result<()> {
        let wishes = self.request().load(&context.project)?;
        stale::check_request(lock, &wishes).with_context(|| format!("using {}", path.display()))
    }

    pub(super) fn request(&self) -> PackageRequest {
        let profile = self.checked.profile();
        PackageRequest {
            distribution: self.checked.distribution().name.clone(),
            platform: self.checked.platform().name.clone(),
            packages: profile.machine.packages.clone(),
            features: features(self.checked),
        }
    }

    pub(super) fn references(&self) -> BTreeSet<String> {
        images::references(self.checked, self.plan)
    }

    pub(super) fn resolve_images(
        &self,
        references: &BTreeSet<String>,
        lock: &Lock,
        context: &Context,
    ) -> Result<Vec<Image>> {
        if references.is_empty() {
            return Ok(Vec::new());
        }
        let skopeo = Skopeo::new(&tools(lock, context)?, context)?;
        let mut images = images::resolve(references, &skopeo, context)?;
        for image in images.iter_mut().filter(|image| image.digest.is_some()) {
            image.resolved = Some(date::day(self.now));
        }
        Ok(images)
    }
}

/// The tools of `lock`, unpacked.
///
/// # Errors
/// If a package cannot be had or the cache cannot be written.
pub fn tools(lock: &Lock, context: &Context) -> Result<Tools> {
    prepared(lock.tools.iter().collect(), lock, context)
}

/// The tools of `lock` with those of the virtual machine, unpacked.
///
/// # Errors
/// As for [`tools`].
pub fn machine_tools(lock: &Lock, context: &Context) -> Result<Tools> {
    prepared(lock.tools.iter().chain(&lock.machine).collect(), lock, context)
}

fn prepared(packages: Vec<&Package>, lock: &Lock, context: &Context) -> Result<Tools> {
    if let Some(tools) = Tools::unpacked(packages.iter().map(|package| &package.sha256), context) {
        return Ok(tools);
    }
    let packages: Vec<Package> = packages.into_iter().cloned().collect();
    Tools::prepare(&lock::fetch(&packages, lock, context).context("fetching the tools")?, context)
}

/// `images`, where those that could not be resolved now keep what `old` knew of them, and those that are the same still keep
/// the day on which that was first known.
pub(super) fn keep_known(images: Vec<Image>, old: Option<&Lock>) -> Vec<Image> {
    let known: BTreeMap<&str, &Image> =
        old.iter().flat_map(|lock| &lock.images).map(|image| (image.reference.as_str(), image)).collect();
    let keep = |image: Image| match known.get(image.reference.as_str()) {
        Some(known) if image.digest.is_none() => (*known).clone(),
        Some(known) if image.digest == known.digest => {
            Image { resolved: known.resolved.clone().or(image.resolved), ..image }
        }
        _ => image,
    };
    images.into_iter().map(keep).collect()
}

/// `lock`, with a larger version than `old` if only container images have moved: a change of packages has raised it already.
pub(super) fn renumbered(mut lock: Lock, old: Option<&Lock>) -> Lock {
    if old.is_some_and(|old| old.version == lock.version && *old != lock) {
        lock.version += 1;
    }
    lock
}

fn list(references: &BTreeSet<String>) -> String {
    references.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The words of the distribution's `features` that the profile's settings ask for: filesystems of its disks, the TPM,
/// encryption, the UPS.
fn features(checked: &CheckedProfile) -> Vec<String> {
    let profile = checked.profile();
    let filesystems = profile.disks.values().filter_map(|disk| disk.filesystem);
    let words = filesystems.filter_map(|kind| serde_json::to_value(kind).ok()?.as_str().map(str::to_owned));
    let known = &checked.distribution().system.features;
    let mut features: BTreeSet<String> = words.filter(|word| known.contains_key(word)).collect();
    if profile.machine.tpm {
        features.insert("tpm".to_owned());
    }
    if profile.machine.encrypt.is_some() {
        features.insert("encrypt".to_owned());
    }
    if profile.machine.ups.is_some() {
        features.insert("ups".to_owned());
    }
    features.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_the_same_keeps_the_day_on_which_it_was_resolved() {
        let image = |digest: Option<&str>, resolved: Option<&str>| Image {
            reference: "a:1".into(),
            digest: digest.map(str::to_owned),
            resolved: resolved.map(str::to_owned),
            ..Image::default()
        };
        let mut old = lock::format::parse(include_str!("../../tests/diff/old.lock")).unwrap();
        let mut next = |known: Image, image: Image| {
            old.images = vec![known];
            keep_known(vec![image], Some(&old)).remove(0)
        };
        let known = image(Some("x"), Some("2026-11-20"));
        assert_eq!(next(known.clone(), image(Some("x"), Some("2026-11-21"))), known);
        assert_eq!(next(known.clone(), image(None, None)), known);
        let moved = image(Some("y"), Some("2026-11-21"));
        assert_eq!(next(known, moved.clone()), moved);
        // It was resolved by a program that did not write down when.
        assert_eq!(next(image(Some("y"), None), moved.clone()), moved);
    }
}
