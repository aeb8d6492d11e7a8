//! What is in an image besides its description: what it says that it was made from, and the files that its profile puts onto the box.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{open, origin};
use crate::diag::InputError;
use crate::disk::Role;
use crate::layers::{self, Place};
use crate::provenance::Origin;
use crate::tools::Tools;
use crate::tree::Tree;

/// What the image at `path` says that it was made from; none if an older program has built it.
///
/// # Errors
/// [`InputError`] if it is no image of ours, damaged, or of a newer program; another error if it cannot be read.
pub fn origin_in(path: &Path) -> Result<Option<Origin>> {
    origin::read(path, &open(path)?.layout)
        .with_context(|| format!("reading what {} was made from", path.display()))
}

/// The files of the profile layer of the image at `path`, read with unsquashfs of `tools` by `jobs` threads. No other partition
/// is looked at.
///
/// # Errors
/// [`InputError`] if it is no image of ours, or damaged; another error if it cannot be read.
pub fn files_in(path: &Path, tools: &Tools, jobs: usize) -> Result<Tree> {
    let image = open(path)?;
    let reading = || format!("reading the profile layer of {}", path.display());
    let missing = || InputError("there is none; build the image again".into());
    let layer = image.layout.find(Role::Profile).ok_or_else(missing).with_context(reading)?;
    let place = Place { file: path, start: layer.start, length: layer.length, guid: layer.guid };
    layers::read(&place, tools, jobs).with_context(reading)
}
