//! What an image says that it was made from: a file on its ESP, read without any tool; and the documents that follow from it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::build::beside::Digests;
use crate::build::manifest::{self, Manifest};
use crate::diag::InputError;
use crate::digest::Sha256;
use crate::disk::{Layout, Role};
use crate::flash::fat::Volume;
use crate::provenance::origin::SHORT_FOLDER;
use crate::provenance::{Document, Origin, Subject};

/// What the image at `path` was made from; none if it does not say.
pub(super) fn read(path: &Path, layout: &Layout) -> Result<Option<Origin>> {
    let Some(esp) = layout.find(Role::Esp) else { return Ok(None) };
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let read = |at: u64, bytes: &mut [u8]| file.read_exact_at(bytes, esp.start + at);
    let Ok(volume) = Volume::open(&read) else { return Ok(None) };
    let damaged =
        |error: anyhow::Error| InputError(format!("{error:#}; get the image again, or build it again"));
    // An image without the folder is one of an older program.
    let Some(files) = volume.files(&SHORT_FOLDER).map_err(damaged)? else { return Ok(None) };
    let origins = files.iter().map(|text| Origin::parse(text)).collect::<Result<Vec<_>>>()?;
    // An image has one release. A disk that was copied may have several: the newest is the one that starts.
    Ok(origins.into_iter().max_by_key(|origin| origin.lock.version))
}

/// The `document` about the image at `path`, from what is in the image itself. Its digests are taken from the manifest where
/// there is one of this very image, and else from the image.
///
/// # Errors
/// [`InputError`] if it is no image of ours, or does not say what it was made from.
pub fn document(path: &Path, document: Document) -> Result<String> {
    let image = super::open(path)?;
    let Some(origin) = read(path, &image.layout)? else {
        bail!(InputError(format!(
            "{} does not say what it was made from: an older program has built it; build it again",
            path.display()
        )));
    };
    let (sha256, content) = digests(path)?;
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    document.text(&Subject { origin: &origin, file: &file, sha256, content })
}

fn digests(path: &Path) -> Result<(Sha256, Sha256)> {
    let fingerprint = manifest::fingerprint(path)?;
    let manifest = Manifest::load(path).filter(|manifest| manifest.fingerprint == fingerprint);
    if let Some(known) = manifest.and_then(|manifest| Some((manifest.sha256?, manifest.content?))) {
        return Ok(known);
    }
    let digests = Digests::of(path)?;
    Ok((digests.sha256, digests.content))
}
