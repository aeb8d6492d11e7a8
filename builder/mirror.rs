//! A folder that keeps what a lock names, and the way back from there into a cache.
//!
//! Packages lie under the paths that their archives have them under (`pool/main/…`), so that the folder can also be served as
//! a mirror. Container images are an OCI image layout (image specification 1.1, `image-layout.md`) in `containers/`. No
//! index is kept: a lock has been chosen by them already, and names each file by its digest. Whatever is taken from the
//! folder is compared with that digest; that it lies there means nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::atomic::{self, AtomicFile};
use crate::context::Context;
use crate::diag::InputError;
use crate::digest::{Hasher, Sha256};
use crate::fetch::Cache;
use crate::images::{self, Stored};
use crate::interrupt;
use crate::lock::{self, Image, Lock, Package};
use crate::usage;

/// Where container images are in the folder.
const CONTAINERS: &str = "containers";
/// Where their blobs are in there.
const BLOBS: &str = "blobs/sha256";

/// What a build needs of `lock`: packages of the box and tools, each once.
fn packages(lock: &Lock) -> Vec<Package> {
    lock.packages.iter().chain(&lock.tools).collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// Keeps the packages and tools of `lock` and the container images `stored` in `folder`; what is there is not written again,
/// and what other locks need stays. Returns how many packages that were.
///
/// # Errors
/// If a package cannot be had, or the folder cannot be written.
pub fn keep(lock: &Lock, stored: &[Stored], folder: &Path, context: &Context) -> Result<usize> {
    let packages = packages(lock);
    let mut places: BTreeMap<&str, Sha256> = BTreeMap::new();
    for package in &packages {
        if places.insert(&package.path, package.sha256).is_some_and(|other| other != package.sha256) {
            bail!("two packages of the lock have the path {}, which one folder cannot keep", package.path);
        }
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let files = lock::fetch(&packages, lock, context)?;
    let step = context.ui.step("keeping what is locked");
    for (package, file) in packages.iter().zip(&files) {
        step.detail(package.name.clone());
        must_copy(&file.path, &folder.join(&package.path), package.sha256)?;
    }
    let containers = folder.join(CONTAINERS);
    for image in stored {
        step.detail(image.reference.clone());
        for (digest, path) in image.blobs() {
            must_copy(&path, &containers.join(BLOBS).join(digest.to_string()), digest)?;
        }
    }
    if !stored.is_empty() {
        let index = joined(images::index(stored), &containers.join("index.json"))?;
        atomic::write(&containers.join("oci-layout"), images::LAYOUT.as_bytes())?;
        atomic::write(&containers.join("index.json"), format!("{index:#}\n").as_bytes())?;
    }
    step.done(format!("{} packages, {} container images", packages.len(), stored.len()));
    Ok(packages.len())
}

/// `index` with those images of the index at `path` that it has no other version of.
fn joined(mut index: Value, path: &Path) -> Result<Value> {
    let Ok(text) = fs::read(path) else { return Ok(index) };
    let old: Value = serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?;
    let name = |entry: &Value| {
        let name = entry.pointer("/annotations/org.opencontainers.image.ref.name");
        name.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if let (Some(Value::Array(new)), Some(Value::Array(old))) =
        (index.get_mut("manifests"), old.get("manifests"))
    {
        let known: BTreeSet<String> = new.iter().map(name).collect();
        new.extend(old.iter().filter(|entry| !known.contains(&name(entry))).cloned());
        new.sort_by_key(name);
    }
    Ok(index)
}

/// Copies what the cache lacks of the packages and tools of `lock` and of `images` from `folder` into it.
///
/// # Errors
/// [`InputError`] that names everything that neither of them has, with the digest that it must have.
pub fn adopt(lock: &Lock, images: &[Image], folder: &Path, context: &Context) -> Result<()> {
    if !folder.is_dir() {
        bail!(InputError(format!(
            "{} is no folder; `boxwright mirror PROFILE --to DIR` makes one",
            folder.display()
        )));
    }
    let step = context.ui.step("taking what is locked");
    let cache = Cache::open(&context.cache)?;
    let mut missing = Vec::new();
    for package in packages(lock) {
        step.detail(package.name.clone());
        let there = cache.find(&package.sha256)?.is_some();
        if !there && !copy(&folder.join(&package.path), &cache.object(&package.sha256), package.sha256)? {
            missing.push(format!(
                "{} {}: {} with sha256:{}",
                package.name, package.version, package.path, package.sha256
            ));
        }
    }
    for image in images {
        step.detail(image.reference.clone());
        for digest in blobs(image, folder, context)? {
            missing.push(format!("{}: {CONTAINERS}/{BLOBS}/{digest}", image.reference));
        }
    }
    if !missing.is_empty() {
        return Err(InputError(format!(
            "{} lacks {} of the files that the lock names, or has others under their names:\n  {}\n`boxwright mirror PROFILE \
             --to DIR` fetches them, with a network",
            folder.display(),
            missing.len(),
            missing.join("\n  ")
        ))
        .into());
    }
    step.done(folder.display().to_string());
    Ok(())
}

/// Copies the blobs of `image` that the cache lacks. Returns the digests of those that nobody has.
fn blobs(image: &Image, folder: &Path, context: &Context) -> Result<Vec<Sha256>> {
    let Some(text) = &image.digest else { return Ok(Vec::new()) };
    let digest = images::parse_digest(text)?;
    let get = |digest: Sha256| -> Result<bool> {
        let (name, place) = (digest.to_string(), images::blob(context, digest));
        usage::claim(&context.cache, CONTAINERS, &name)?;
        copy(&folder.join(CONTAINERS).join(BLOBS).join(&name), &place, digest)
    };
    if !get(digest)? {
        return Ok(vec![digest]);
    }
    let manifest = images::blob(context, digest);
    let bytes = fs::read(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let mut missing = Vec::new();
    for blob in images::blobs_of(&bytes)? {
        if !get(blob)? {
            missing.push(blob);
        }
    }
    Ok(missing)
}

fn must_copy(from: &Path, to: &Path, digest: Sha256) -> Result<()> {
    if !copy(from, to, digest)? {
        bail!("{} in the cache is damaged; run the same command again", from.display());
    }
    Ok(())
}

/// Sees to it that `to` is the file with this digest, by a copy of `from` if it is not. `false` if `from` is not it either.
fn copy(from: &Path, to: &Path, digest: Sha256) -> Result<bool> {
    interrupt::check()?;
    if to.is_file() && Sha256::of_file(to)? == digest {
        return Ok(true);
    }
    let Ok(mut source) = File::open(from) else { return Ok(false) };
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let (mut target, mut hasher) = (AtomicFile::create(to)?, Hasher::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        interrupt::check()?;
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).with_context(|| format!("reading {}", from.display())),
        };
        let part = buffer.get(..count).unwrap_or_default();
        hasher
            .write_all(part)
            .and_then(|()| target.write_all(part))
            .with_context(|| format!("writing {}", to.display()))?;
    }
    if hasher.finish() != digest {
        return Ok(false);
    }
    target.commit()?;
    Ok(true)
}

#[cfg(test)]
mod tests;
