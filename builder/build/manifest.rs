//! The manifest beside an image: what it is, what it was made from, and how to tell that it is still that.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::digest::{Hasher, Sha256};

/// The newest layout of the file that this program reads, and the one that it writes.
pub const SCHEMA: u32 = 1;

/// How much of each end of an image [`fingerprint`] reads, in bytes: the partition tables and the head of the ESP.
const FINGERPRINT_BYTES: usize = 1 << 20;

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The layout of this file; see [`SCHEMA`].
    pub schema: u32,
    /// The box's name.
    pub name: String,
    /// The release's id.
    pub release: Sha256,
    /// The release's version, from the lock.
    pub version: u64,
    /// Every time in the image, seconds since 1970.
    pub time: i64,
    /// The distribution.
    pub distribution: String,
    /// The platform.
    pub platform: String,
    /// What opens the box's encrypted partitions: `tpm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<String>,
    /// The digest of everything that the image was made from.
    pub inputs: Sha256,
    /// The partitions, in their order.
    pub parts: Vec<Part>,
    /// The size of the image in bytes.
    pub size: u64,
    /// How much of it is not empty, in bytes.
    pub written: u64,
    /// See [`fingerprint`].
    pub fingerprint: Sha256,
    /// The digest of all of it: [`crate::disk::content::read`]. Images of older programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Sha256>,
    /// The digest of the file, byte for byte, holes included: what `sha256sum` prints. Images of older programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The container images that are in the image.
    pub embedded: Vec<String>,
    /// The container images that the box pulls by tag, since no digest is known.
    pub unresolved: Vec<String>,
}

/// One partition of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name in the partition table.
    pub name: String,
    /// Its GUID.
    pub guid: String,
    /// Its size in bytes.
    pub size: u64,
    /// For a layer: how much of it is filled, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<u64>,
    /// For a layer: dm-verity's root hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_hash: Option<Sha256>,
}

impl Manifest {
    /// Where the manifest of `image` is.
    pub fn path(image: &Path) -> PathBuf {
        image.with_extension("manifest.json")
    }

    /// Reads the manifest of `image`; `None` if there is none that this program can use.
    pub fn load(image: &Path) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(&std::fs::read(Self::path(image)).ok()?).ok()?;
        (manifest.schema == SCHEMA).then_some(manifest)
    }

    /// Writes the manifest of `image`.
    ///
    /// # Errors
    /// If its folder cannot be written.
    pub fn save(&self, image: &Path) -> Result<()> {
        atomic::write(&Self::path(image), self.text()?.as_bytes())
    }

    /// The manifest as it is written.
    ///
    /// # Errors
    /// None that can be met: a path is UTF-8 here.
    pub fn text(&self) -> Result<String> {
        let mut text = serde_json::to_string_pretty(self).context("writing the manifest")?;
        text.push('\n');
        Ok(text)
    }

    /// Whether `image` is what [`Manifest::inputs`] made: nothing needs to be built then.
    pub fn describes(&self, image: &Path, inputs: &Sha256) -> bool {
        self.inputs == *inputs && fingerprint(image).is_ok_and(|now| now == self.fingerprint)
    }
}

/// A digest of the size and both ends of the file `image`: enough to notice another image, a cut one, or one that was
/// written to by a boot, in no time. `verify` is what reads all of it.
///
/// # Errors
/// If it cannot be read.
pub fn fingerprint(image: &Path) -> Result<Sha256> {
    let context = || format!("reading {}", image.display());
    let mut file = File::open(image).with_context(context)?;
    let size = file.metadata().with_context(context)?.len();
    let mut ends = vec![0; FINGERPRINT_BYTES.min(usize::try_from(size).unwrap_or(FINGERPRINT_BYTES))];
    let mut hasher = Hasher::new();
    hasher.field("size", &size.to_le_bytes());
    file.read_exact(&mut ends).with_context(context)?;
    hasher.field("head", &ends);
    let tail = size - ends.len() as u64;
    file.read_exact_at(&mut ends, tail).with_context(context)?;
    hasher.field("tail", &ends);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(image: &Path, inputs: Sha256) -> Manifest {
        Manifest {
            schema: SCHEMA,
            name: "attic".into(),
            release: inputs,
            version: 1,
            time: 0,
            distribution: "debian-13".into(),
            platform: "uefi-x86_64".into(),
            encrypt: None,
            inputs,
            parts: Vec::new(),
            size: 0,
            written: 0,
            fingerprint: fingerprint(image).unwrap(),
            content: None,
            sha256: None,
            embedded: Vec::new(),
            unresolved: Vec::new(),
        }
    }

    #[test]
    fn an_image_that_was_changed_or_has_other_inputs_is_built_again() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("attic.img");
        std::fs::write(&image, vec![1; 3 << 20]).unwrap();
        let inputs = Sha256::of_bytes(b"inputs");
        manifest(&image, inputs).save(&image).unwrap();
        let read = Manifest::load(&image).unwrap();
        assert!(read.describes(&image, &inputs));
        assert!(!read.describes(&image, &Sha256::of_bytes(b"others")));
        for change in [vec![1; 2 << 20], {
            let mut bytes = vec![1; 3 << 20];
            bytes[600] = 2;
            bytes
        }] {
            std::fs::write(&image, change).unwrap();
            assert!(!read.describes(&image, &inputs));
        }
        std::fs::remove_file(&image).unwrap();
        assert!(!read.describes(&image, &inputs));
    }
}
