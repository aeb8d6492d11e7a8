//! Pruning a cache: what was not used for long, or what is too much, goes; what a run uses now stays.
//!
//! In: the folder of a cache and a [`Limit`]. Out: [`Pruned`]. Only entries that carry a digest as their name are looked at;
//! whatever else lies in the folder is nobody's business here. An entry is taken out of its place while no run can claim
//! anything ([`crate::usage`]), and removed after that.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::atomic::{self, Scratch};
use crate::digest::Sha256;
use crate::interrupt;
use crate::usage::Claims;

/// The results in a cache, a folder or a file each, with a lock beside it.
const RESULTS: [&str; 6] = ["base", "decompressed", "images", "modules", "profile", "tools"];
/// The downloads in a cache: files of packages and indexes, blobs of container images.
pub const DOWNLOADS: [&str; 2] = ["containers", "objects"];
/// Downloads that have not arrived whole.
pub const PARTIAL: &str = "partial";
/// Where images are built again, to be compared.
pub const VERIFY: &str = "verify";
/// Where machines run.
const MACHINES: &str = "machines";

/// How much may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// What was used since this time, seconds since 1970.
    UsedSince(i64),
    /// So many bytes, those that were used last.
    Bytes(u64),
}

/// One result or download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The folder of the cache that it is in.
    pub kind: &'static str,
    /// The digest that names it.
    pub name: String,
    /// The room that it takes, in bytes.
    pub bytes: u64,
    /// When it was used last, seconds since 1970.
    pub used: i64,
    #[serde(skip)]
    paths: Vec<PathBuf>,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// What is gone, in the order in which it was used.
    pub removed: Vec<Entry>,
    /// The room that this and leftovers of killed runs took, in bytes.
    pub freed: u64,
    /// The room that the rest takes, in bytes.
    pub kept: u64,
    /// How many entries would have gone, had no run used them.
    pub in_use: usize,
}

/// Prunes the cache in the folder `cache` down to `limit`; if `dry`, only says what would go.
///
/// # Errors
/// If the cache cannot be read or written, or the user asks to stop.
pub fn prune(cache: &Path, limit: Limit, dry: bool) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    if !cache.is_dir() {
        return Ok(pruned);
    }
    let folders =
        RESULTS.into_iter().chain(DOWNLOADS).chain([PARTIAL, MACHINES, VERIFY]).map(|kind| cache.join(kind));
    let folders: Vec<PathBuf> = folders.filter(|folder| is_own(folder)).collect();
    if !dry {
        for folder in &folders {
            let before = leftovers(folder)?;
            atomic::sweep(folder);
            pruned.freed += before.saturating_sub(leftovers(folder)?);
        }
    }
    let entries = entries(cache)?;
    pruned.kept = entries.iter().map(|entry| entry.bytes).sum();
    let claims = Claims::freeze(cache)?;
    let chosen = choose(entries, limit, &claims, &mut pruned.in_use);
    let mut scratches: BTreeMap<&str, Scratch> = BTreeMap::new();
    for entry in chosen {
        // One that was used and let go since is used too.
        if entry.paths.iter().filter_map(|path| used(path)).max() != Some(entry.used) {
            continue;
        }
        if !dry {
            if !scratches.contains_key(entry.kind) {
                scratches.insert(entry.kind, Scratch::create(&cache.join(entry.kind))?);
            }
            if let Some(scratch) = scratches.get(entry.kind) {
                take(&entry, scratch)?;
            }
        }
        pruned.freed += entry.bytes;
        pruned.kept = pruned.kept.saturating_sub(entry.bytes);
        pruned.removed.push(entry);
    }
    // Removing takes its time, and others may go on meanwhile.
    drop(claims);
    drop(scratches);
    Ok(pruned)
}

/// Whether `folder` is a folder of this cache: one that is a link belongs to another.
fn is_own(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir())
}

/// Which of `entries` are to go, the least recently used first. `in_use` counts those that would go if no run used them.
fn choose(mut entries: Vec<Entry>, limit: Limit, claims: &Claims, in_use: &mut usize) -> Vec<Entry> {
    entries.sort_by(|a, b| (a.used, a.kind, &a.name).cmp(&(b.used, b.kind, &b.name)));
    let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    entries.retain(|entry| {
        let goes = match limit {
            Limit::UsedSince(time) => entry.used < time,
            Limit::Bytes(bytes) => total > bytes,
        };
        if !goes {
            return false;
        }
        if claims.holds(entry.kind, &entry.name) {
            *in_use += 1;
            return false;
        }
        total = total.saturating_sub(entry.bytes);
        true
    });
    entries
}

/// Moves what `entry` consists of into `scratch`.
fn take(entry: &Entry, scratch: &Scratch) -> Result<()> {
    for path in &entry.paths {
        // Beside each other: what is partial has the name of what is whole.
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match fs::rename(path, scratch.path().join(format!("{folder}-{name}"))) {
            // What is partial may be on another disk. Nobody looks at it now, so it need not go at once.
            Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// All entries of the cache.
fn entries(cache: &Path) -> Result<Vec<Entry>> {
    let mut found: BTreeMap<(&'static str, String), Entry> = BTreeMap::new();
    let mut add = |kind: &'static str, file: &DirEntry| -> Result<()> {
        interrupt::check()?;
        let path = file.path();
        let text = file.file_name().to_string_lossy().into_owned();
        let name = text.strip_suffix(".lock").unwrap_or(&text);
        if Sha256::from_str(name).is_err() {
            return Ok(());
        }
        let Some(used) = used(&path) else { return Ok(()) };
        let key = (kind, name.to_owned());
        let fresh = Entry { kind, name: name.to_owned(), bytes: 0, used, paths: Vec::new() };
        let entry = found.entry(key).or_insert(fresh);
        entry.bytes += room(&path)?;
        entry.used = entry.used.max(used);
        entry.paths.push(path);
        Ok(())
    };
    for kind in RESULTS.into_iter().chain(["containers"]) {
        each(&cache.join(kind), |file| add(kind, file))?;
    }
    each(&cache.join("objects"), |folder| each(&folder.path(), |file| add("objects", file)))?;
    each(&cache.join(PARTIAL), |file| add("objects", file))?;
    Ok(found.into_values().collect())
}

/// Calls `what` for each entry of `folder`, if that is a folder of this cache.
fn each(folder: &Path, mut what: impl FnMut(&DirEntry) -> Result<()>) -> Result<()> {
    if !is_own(folder) {
        return Ok(());
    }
    let context = || format!("reading {}", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        what(&entry.with_context(context)?)?;
    }
    Ok(())
}

/// When the file or folder was used last; none if it is gone.
fn used(path: &Path) -> Option<i64> {
    fs::symlink_metadata(path).ok().map(|metadata| metadata.mtime())
}

/// The room that a file or a folder takes, in bytes. What goes meanwhile takes none.
fn room(path: &Path) -> Result<u64> {
    interrupt::check()?;
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(0) };
    let mut bytes = metadata.blocks() * 512;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            bytes += room(&entry.path())?;
        }
    }
    Ok(bytes)
}

/// The room that everything unfinished in `folder` takes, in bytes.
fn leftovers(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    each(folder, |entry| {
        if atomic::is_unfinished(&entry.file_name()) {
            bytes += room(&entry.path())?;
        }
        Ok(())
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
