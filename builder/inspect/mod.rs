//! Looking into a disk image: its partition table, what it says that it was made from, and the manifest beside it.
//!
//! In: the path of an image. Out: a [`Report`]. Nothing is changed, and no tool is needed but by [`files_in`].

mod contents;
mod origin;

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::build::lock_of;
use crate::build::manifest::{self, Manifest};
use crate::diag::InputError;
use crate::digest::guid_text;
use crate::disk::{self, DiskImage};
use crate::lock::{self, Lock};

pub use contents::{files_in, origin_in};
pub use origin::document;

/// What an image is.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its partitions, as the image itself has them.
    pub partitions: Vec<PartitionReport>,
    /// The size of the file in bytes.
    pub size: u64,
    /// How much of the file is not empty, in bytes.
    pub written: u64,
    /// The manifest beside it, if it is about this very image.
    pub manifest: Option<Manifest>,
    /// Names and versions of the packages of the box.
    pub packages: Vec<(String, String)>,
    /// The container images with their digests.
    pub images: Vec<(String, Option<String>)>,
}

/// One partition of an image.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionReport {
    /// Its name in the table.
    pub name: String,
    /// What it is for.
    pub role: &'static str,
    /// Its GUID.
    pub guid: String,
    /// Where it begins, in bytes.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl Report {
    /// Reads the image at `path`.
    ///
    /// # Errors
    /// [`InputError`] if it is no image of ours; another error if it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let image = open(path)?;
        let fingerprint = manifest::fingerprint(path)?;
        let manifest = Manifest::load(path).filter(|manifest| manifest.fingerprint == fingerprint);
        let lock = match (origin::read(path, &image.layout)?, &manifest) {
            (Some(origin), _) => Some(origin.lock),
            // Images of older programs say nothing of it themselves.
            (None, Some(_)) => lock::load(&lock_of(path)).context("reading what the image was built from")?,
            (None, None) => None,
        };
        let partitions = image.layout.partitions.iter().map(|partition| PartitionReport {
            name: partition.name.clone(),
            role: partition.role.word(),
            guid: guid_text(&partition.guid),
            start: partition.start,
            size: partition.length,
        });
        Ok(Self {
            partitions: partitions.collect(),
            size: image.layout.total_bytes,
            written: image.written_bytes,
            manifest,
            packages: lock.as_ref().map(packages).unwrap_or_default(),
            images: lock.map(images).unwrap_or_default(),
        })
    }
}

/// The partitions of the image at `path`.
fn open(path: &Path) -> Result<DiskImage> {
    if !path.is_file() {
        let advice =
            format!("{} is no file; `boxwright build PROFILE` prints the path of an image", path.display());
        return Err(InputError(advice).into());
    }
    Ok(disk::read(path).map_err(|error| InputError(format!("{error:#}; it is no image of Boxwright's")))?)
}

fn packages(lock: &Lock) -> Vec<(String, String)> {
    lock.packages.iter().map(|package| (package.name.clone(), package.version.clone())).collect()
}

fn images(lock: Lock) -> Vec<(String, Option<String>)> {
    lock.images.into_iter().map(|image| (image.reference, image.digest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_wrong_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.img");
        assert!(Report::read(&path).unwrap_err().is::<InputError>());
        for content in [Vec::new(), vec![0; 4096], vec![0xff; 1 << 20]] {
            std::fs::write(&path, content).unwrap();
            let error = Report::read(&path).unwrap_err();
            assert!(error.is::<InputError>(), "{error:#}");
        }
    }
}
