//! A built image → the files by which it is handed out: a compressed copy ([`seekable`]) and a block map ([`block_map`]).
//!
//! Both are made from the image's content alone, never from where its file has holes: equal images have equal artefacts.

pub mod block_map;
pub mod seekable;

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::build::{Built, beside};
use crate::disk::content;
use crate::ui::{Ui, human_bytes};

/// Makes what is missing of the artefacts of `built`, and its checksums with them. Returns their paths.
///
/// # Errors
/// If the image cannot be read, the disk is full, or the user asks to stop. Nothing half-made is left.
pub fn make(built: &Built, ui: &Ui) -> Result<[PathBuf; 2]> {
    let image = &built.image;
    let paths = [beside::packed(image), beside::block_map(image)];
    // A new image removes those of the former one: what is there is this image's.
    if paths.iter().all(|path| path.is_file()) {
        return Ok(paths);
    }
    let context = || format!("reading {}", image.display());
    let file = File::open(image).with_context(context)?;
    let filled = content::read(&file, &|_| ()).with_context(context)?.filled;
    block_map::write(&file, &filled, &paths[1]).context("making the block map")?;
    let step = ui.step("compressing the image");
    step.total_bytes(file.metadata().with_context(context)?.len());
    let size = seekable::write(&file, &filled, &paths[0], &|bytes| step.advance(bytes))
        .context("compressing the image")?;
    beside::write_checksums(image, &built.manifest)?;
    step.done(human_bytes(size));
    Ok(paths)
}
