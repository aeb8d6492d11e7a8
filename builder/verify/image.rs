//! An image that is compared: the file, its partitions, and where it holds data.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::diag::InputError;
use crate::disk::{self, Layout, content};

/// An open image.
#[derive(Debug)]
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// Its partitions.
    pub layout: Layout,
    pub(super) file: File,
    /// Where it holds data; the rest are holes.
    pub(super) mapped: Vec<Range<u64>>,
}

impl Image {
    /// Opens the image at `path`.
    ///
    /// # Errors
    /// [`InputError`] if it is no image of ours; another error if it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let reading = || format!("reading {}", path.display());
        if !path.is_file() {
            let advice = format!(
                "{} is no file; `boxwright build PROFILE` prints the path of an image",
                path.display()
            );
            return Err(InputError(advice).into());
        }
        let file = File::open(path).with_context(reading)?;
        let image = disk::read(path)
            .map_err(|error| InputError(format!("{error:#}; it is no image of Boxwright's")))?;
        let mapped = content::mapped(&file).with_context(reading)?;
        Ok(Self { path: path.to_owned(), layout: image.layout, file, mapped })
    }

    /// How many bytes of it are no holes.
    pub fn data_bytes(&self) -> u64 {
        self.mapped.iter().map(|range| range.end - range.start).sum()
    }
}
