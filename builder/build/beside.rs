//! What lies beside an image besides its manifest: the lock, the documents about it, and the checksums of all of it.
//!
//! The manifest is written last but the checksums: what is finished can be told from what was cut short.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::manifest::Manifest;
use super::{Order, inputs, lock_of, scan};
use crate::atomic;
use crate::boot::{Content, EspFile};
use crate::context::Context;
use crate::digest::Sha256;
use crate::disk::content;
use crate::images;
use crate::lock;
use crate::provenance::{Document, OnBox, Origin, Program, Subject, Vendor, origin};

/// Where the compressed copy of `image` is.
pub fn packed(image: &Path) -> PathBuf {
    image.with_extension("img.zst")
}

/// Where the block map of `image` is.
pub fn block_map(image: &Path) -> PathBuf {
    image.with_extension("img.bmap")
}

/// Where the checksums of what belongs to `image` are: a file for each box, since one folder may have several.
pub fn checksums(image: &Path) -> PathBuf {
    image.with_extension("SHA256SUMS")
}

/// Where SSH's signature over the manifest at `manifest` is.
pub fn signature(manifest: &Path) -> PathBuf {
    let mut path = manifest.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// Both digests of an image.
#[derive(Debug, Clone, Copy)]
pub struct Digests {
    /// Of the file, byte for byte.
    pub sha256: Sha256,
    /// Of its content: [`content::read`].
    pub content: Sha256,
}

impl Digests {
    /// Reads the image at `path`, twice at once: the plain digest takes one processor and cannot leave out a hole.
    ///
    /// # Errors
    /// If it cannot be read, or the user asks to stop.
    pub fn of(path: &Path) -> Result<Self> {
        let (sha256, content) = rayon::join(|| content::every_byte(path), || content::of(path));
        Ok(Self { sha256: sha256?, content: content?.digest })
    }
}

impl Order<'_> {
    /// What the release is made from. `embedded` are the container images in it.
    pub(super) fn origin(&self, release: Sha256, embedded: &[String], context: &Context) -> Result<Origin> {
        let distribution = self.checked.distribution();
        let more = self.checked.platform().tools.get(&distribution.name).into_iter().flatten();
        let mut boot: Vec<String> = distribution.tools.boot.iter().chain(more).cloned().collect();
        boot.sort();
        let on_box = |reference: String| OnBox { embedded: embedded.contains(&reference), reference };
        let archives = distribution.archives.iter();
        let profile = serde_json::to_vec(self.checked.profile()).context("digesting the profile")?;
        Ok(Origin {
            schema: origin::SCHEMA,
            name: self.checked.name().to_owned(),
            release,
            program: Program {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                sources: inputs::SOURCES_ALL.to_owned(),
            },
            profile: Sha256::of_bytes(&profile),
            overlays: inputs::folder(&context.project.join("overlays"))?,
            firmware: inputs::folder(&context.project.join("firmware"))?,
            vendor: Vendor {
                id: distribution.id.clone(),
                architecture: distribution.architecture.clone(),
                suppliers: archives.map(|archive| (archive.id.clone(), archive.origin.clone())).collect(),
            },
            boot,
            images: images::references(self.checked, self.plan).into_iter().map(on_box).collect(),
            // As it is written: the lock beside the image is the same.
            lock: self.lock.clone().sorted(),
        })
    }

    /// Writes what lies beside `image`: `documents`, and the rest. What belonged to a former image goes first.
    pub(super) fn write_beside(
        &self,
        image: &Path,
        manifest: &Manifest,
        documents: &[(PathBuf, String)],
    ) -> Result<()> {
        clear(image)?;
        lock::save(self.lock, &lock_of(image))?;
        write_documents(documents)?;
        manifest.save(image)?;
        write_checksums(image, manifest)
    }

    /// Writes what is missing beside an image that is made already.
    pub(super) fn complete(&self, image: &Path, manifest: &Manifest, context: &Context) -> Result<()> {
        let documents = Document::ALL.iter().map(|document| document.path(image));
        if documents.chain([checksums(image), lock_of(image)]).all(|path| path.is_file()) {
            return Ok(());
        }
        lock::save(self.lock, &lock_of(image))?;
        let origin = self.origin(manifest.release, &manifest.embedded, context)?;
        write_documents(&self.documents(image, manifest, &origin)?)?;
        write_checksums(image, manifest)
    }

    /// The documents about `image` with their paths, none of which holds a secret.
    pub(super) fn documents(
        &self,
        image: &Path,
        manifest: &Manifest,
        origin: &Origin,
    ) -> Result<Vec<(PathBuf, String)>> {
        let (Some(sha256), Some(content)) = (manifest.sha256, manifest.content) else {
            return Ok(Vec::new());
        };
        let file = file_name(image);
        let subject = Subject { origin, file: &file, sha256, content };
        let mut documents = Vec::new();
        for document in Document::ALL {
            let (path, text) = (document.path(image), document.text(&subject)?);
            if let Some(secrets) = self.secrets {
                scan::refuse_in_text(secrets, &path, &text)?;
            }
            documents.push((path, text));
        }
        Ok(documents)
    }
}

fn write_documents(documents: &[(PathBuf, String)]) -> Result<()> {
    documents.iter().try_for_each(|(path, text)| atomic::write(path, text.as_bytes()))
}

/// The file that says on the ESP what the release was made from.
pub(super) fn on_esp(origin: &Origin) -> Result<EspFile> {
    Ok(EspFile { path: origin.path(), content: Content::Bytes(origin.text()?.into_bytes()) })
}

/// Removes what belongs to another image than the one that is at `image` now.
fn clear(image: &Path) -> Result<()> {
    let documents = Document::ALL.iter().map(|document| document.path(image));
    let others = [packed(image), block_map(image), checksums(image), signature(&Manifest::path(image))];
    for path in documents.chain(others) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes the checksums of `image` and of what lies beside it, as sha256sum(1) reads them: sorted by name. The signature over
/// the manifest is not among them, which is made later and vouches for itself.
///
/// # Errors
/// If a file cannot be read or the folder cannot be written.
pub fn write_checksums(image: &Path, manifest: &Manifest) -> Result<()> {
    let Some(sha256) = manifest.sha256 else { return Ok(()) };
    let mut lines = vec![(file_name(image), sha256)];
    let documents = Document::ALL.iter().map(|document| document.path(image));
    let others = [lock_of(image), Manifest::path(image), packed(image), block_map(image)];
    for path in documents.chain(others).filter(|path| path.is_file()) {
        lines.push((file_name(&path), Sha256::of_file(&path)?));
    }
    lines.sort();
    let mut text = String::new();
    for (name, digest) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{digest}  {name}");
    }
    atomic::write(&checksums(image), text.as_bytes())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_digests_are_of_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attic.img");
        let mut bytes = vec![0; 3 << 20];
        bytes[5] = 1;
        fs::write(&path, &bytes).unwrap();
        let digests = Digests::of(&path).unwrap();
        assert_eq!(digests.sha256, Sha256::of_bytes(&bytes));
        let file = fs::File::open(&path).unwrap();
        assert_eq!(digests.content, content::read(&file, &|_| ()).unwrap().digest);
    }

    #[test]
    fn what_belonged_to_a_former_image_is_gone_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("attic.img");
        let names = ["img", "lock", "img.zst", "img.bmap", "manifest.json", "manifest.json.sig", "spdx.json"];
        for name in names.iter().chain(&["cdx.json", "provenance.json", "SHA256SUMS"]) {
            fs::write(image.with_extension(name), "x").unwrap();
        }
        fs::write(folder.path().join("other.img.zst"), "x").unwrap();
        clear(&image).unwrap();
        let mut left: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["attic.img", "attic.lock", "attic.manifest.json", "other.img.zst"]);
    }
}
