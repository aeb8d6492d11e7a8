//! What of the project a profile's box is made of, as its lock records it: a profile and a project in, a [`Record`] out.
//!
//! Folders that this box does not use are not in it, so that a service which another box has may change without this one's
//! lock.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::locking::Subject;
use crate::context::Context;
use crate::debian::trust;
use crate::digest::Sha256;
use crate::firmware::Distribution;
use crate::lock::{self, Key, Lock, Record, Source, stale};
use crate::overlay::{Inputs, Overlay};

/// The folder of templates, in the project.
const OVERLAYS: &str = "overlays";
/// The folder of distributions and platforms, in the project.
const FIRMWARE: &str = "firmware";
/// What runs before the root filesystem, in [`FIRMWARE`].
const INITRD: &str = "initrd";

impl Subject<'_> {
    /// What of `project` the box is made of now.
    ///
    /// # Errors
    /// If a folder or a key cannot be read.
    pub fn record(&self, project: &Path) -> Result<Record> {
        let distribution = self.checked.distribution();
        let inputs = Inputs { profile: self.checked, plan: self.plan, images: &[] };
        let mut sources = Vec::new();
        for planned in inputs.overlays(&project.join(OVERLAYS))? {
            sources.push(source(OVERLAYS, &planned.overlay));
        }
        for name in [&distribution.name, INITRD, &self.checked.platform().name] {
            sources.push(source(FIRMWARE, &Overlay::load(&project.join(FIRMWARE), name)?));
        }
        sources.sort();
        Ok(Record { program: stale::PROGRAM.to_owned(), keys: keys(distribution)?, sources })
    }

    /// `lock` with what of the project the box is made of now, saved. Where it cannot be saved, as in a project that is only
    /// read, it is told: the record decides nothing of what is built.
    pub(super) fn with_record(&self, lock: Lock, context: &Context) -> Result<Lock> {
        let record = self.record(&context.project)?;
        let Some(reason) = drift(&record, &lock) else { return Ok(lock) };
        let (path, renewed) = (self.lock_path(), record.put_into(lock));
        match lock::save(&renewed, &path) {
            Ok(()) => context.ui.note(format!("{}: renewed, since {reason}; nothing moved", path.display())),
            Err(error) => {
                context.ui.warn(format!("{}: {reason}, and it cannot be renewed: {error:#}", path.display()));
            }
        }
        Ok(renewed)
    }

    /// Saves `lock` with what of the project the box is made of now.
    pub(super) fn save(&self, lock: Lock, context: &Context) -> Result<Lock> {
        let lock = self.record(&context.project)?.put_into(lock);
        lock::save(&lock, &self.lock_path())?;
        Ok(lock)
    }
}

/// Why `lock` is to be renewed by `record`; none if it says the same.
pub(super) fn drift(record: &Record, lock: &Lock) -> Option<String> {
    if lock.program.is_none() {
        return Some(
            "an older Boxwright wrote it, without the folders of the project that it is for".to_owned(),
        );
    }
    let differences = record.differences(lock);
    (!differences.is_empty())
        .then(|| format!("it was written for another state of {}", differences.join(", ")))
}

fn source(group: &str, folder: &Overlay) -> Source {
    Source { name: format!("{group}/{}", folder.name), sha256: folder.digest() }
}

/// The keys that count of those in the distribution's files, sorted.
fn keys(distribution: &Distribution) -> Result<Vec<Key>> {
    let pinned: Vec<String> =
        distribution.trust.fingerprints.iter().map(|text| text.replace(' ', "").to_uppercase()).collect();
    let mut keys = Vec::new();
    for name in &distribution.trust.keys {
        let path = distribution.folder.join(name);
        let context = || format!("reading {}", path.display());
        let bytes = std::fs::read(&path).with_context(context)?;
        let file = format!("{FIRMWARE}/{}/{name}", distribution.name);
        let sha256 = Sha256::of_bytes(&bytes);
        let found = trust::fingerprints(&bytes).with_context(context)?;
        let counts = found.into_iter().filter(|fingerprint| pinned.contains(fingerprint));
        keys.extend(counts.map(|fingerprint| Key { fingerprint, file: file.clone(), sha256 }));
    }
    keys.sort();
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pinned_key_is_recorded_once() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["debian-13", "ubuntu-24.04"] {
            let distribution = Distribution::load(project, name).unwrap();
            let keys = keys(&distribution).unwrap();
            assert_eq!(keys.len(), distribution.trust.fingerprints.len(), "{keys:?}");
            for key in keys {
                assert!(key.fingerprint.len() == 40 && project.join(&key.file).is_file(), "{key:?}");
            }
        }
    }
}
