//! No output but the secrets partition may contain a secret's value; this looks before anything is sealed.

use std::path::Path;

use anyhow::{Result, bail};

use crate::boot::{Content, EspFile};
use crate::secrets::{Leak, Secrets};
use crate::tree::Tree;

/// Fails if a file of the rendered tree contains the value of a secret.
///
/// # Errors
/// The secret's name and the file.
pub(super) fn refuse_in_tree(secrets: &Secrets, tree: &Tree) -> Result<()> {
    refuse(&secrets.scan_tree(Path::new("/"), tree))
}

/// Fails if a file of the ESP contains the value of a secret.
///
/// # Errors
/// The secret's name and the file; or if a file cannot be read.
pub(super) fn refuse_in_esp(secrets: &Secrets, esp: &[EspFile]) -> Result<()> {
    let mut texts = Tree::new();
    let mut files = Vec::new();
    for file in esp {
        match &file.content {
            Content::File(path) => files.push(path.clone()),
            Content::Bytes(bytes) => texts.insert_file(&file.path, 0o644, bytes.clone())?,
        }
    }
    refuse(&secrets.scan_tree(Path::new("ESP"), &texts))?;
    refuse(&secrets.scan(&files)?)
}

fn refuse(leaks: &[Leak]) -> Result<()> {
    let Some(leak) = leaks.first() else { return Ok(()) };
    bail!(
        "{leak}; no image was made. The profile, an overlay or the cache holds the value of a secret: take it out there"
    )
}
