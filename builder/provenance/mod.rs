//! What is in an image and what it was made from, in the words of the standards: a release's [`Origin`] and the digests of
//! its image go in; bills of materials ([`spdx`], [`cyclonedx`]) and a provenance statement ([`slsa`]) come out.
//!
//! Equal input gives equal bytes: the only time is the lock's, ids are digests, everything is sorted as the lock is.

pub mod cyclonedx;
pub mod origin;
mod purl;
pub mod slsa;
pub mod spdx;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

pub use origin::{OnBox, Origin, Program, Vendor};

use crate::digest::{self, Hasher, Sha256};
use crate::lock;

/// An image whose content is described.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What it was made from.
    pub origin: &'a Origin,
    /// The image's file name.
    pub file: &'a str,
    /// The digest of the file, byte for byte, as `sha256sum` prints it.
    pub sha256: Sha256,
    /// The digest of its content, which a copy without holes keeps: [`crate::disk::content::read`].
    pub content: Sha256,
}

/// The documents about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// A bill of materials, SPDX 2.3.
    Spdx,
    /// A bill of materials, CycloneDX 1.6.
    CycloneDx,
    /// An in-toto statement with SLSA's provenance.
    Provenance,
}

impl Document {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Spdx, Self::CycloneDx, Self::Provenance];

    /// Where it is: beside `image`.
    pub fn path(self, image: &Path) -> PathBuf {
        image.with_extension(match self {
            Self::Spdx => "spdx.json",
            Self::CycloneDx => "cdx.json",
            Self::Provenance => "provenance.json",
        })
    }

    /// The document about `subject`, as it is written.
    ///
    /// # Errors
    /// If a name in the lock is none that a package can have.
    pub fn text(self, subject: &Subject<'_>) -> Result<String> {
        let value: Value = match self {
            Self::Spdx => spdx::document(subject)?,
            Self::CycloneDx => cyclonedx::document(subject)?,
            Self::Provenance => slsa::statement(subject)?,
        };
        let mut text = serde_json::to_string_pretty(&value).context("writing a document")?;
        text.push('\n');
        Ok(text)
    }
}

impl Subject<'_> {
    /// The URN of a document of this `kind` about this image (RFC 9562): another one for whatever differs.
    fn urn(&self, kind: &str) -> Result<String> {
        let mut hasher = Hasher::new();
        hasher
            .field("file", self.file.as_bytes())
            .field("sha256", self.sha256.bytes())
            .field("content", self.content.bytes())
            .field("origin", self.origin.text()?.as_bytes());
        let id = digest::guid(&hasher.finish(), kind);
        Ok(format!("urn:uuid:{}", digest::guid_text(&id)))
    }
}

/// The SHA-256 in `sha256:…`.
fn sha256(digest: &str) -> Option<Sha256> {
    digest.strip_prefix("sha256:")?.parse().ok()
}

/// The source package that `package` was built from. Debian's archive, and those that are laid out like it, keep a package
/// in the folder of its source: `pool/main/g/glibc/libc6_2.41-12_amd64.deb`.
fn source(package: &lock::Package) -> Option<&str> {
    let mut parts = package.path.rsplit('/').skip(1);
    let (source, initial) = (parts.next()?, parts.next()?);
    let expected = match source.strip_prefix("lib") {
        Some(rest) if !rest.is_empty() => source.get(..4)?,
        _ => source.get(..1)?,
    };
    (initial == expected).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::origin::tests::origin;

    fn subject(origin: &Origin) -> Subject<'_> {
        let sha256 = Sha256::of_bytes(b"image");
        Subject { origin, file: "attic.img", sha256, content: Sha256::of_bytes(b"content") }
    }

    #[test]
    fn the_source_is_the_folder_in_the_pool() {
        let package = |path: &str| {
            let mut package = origin().lock.packages[0].clone();
            package.path = path.to_owned();
            source(&package).map(str::to_owned)
        };
        assert_eq!(package("pool/main/g/glibc/libc6_2.41-12_amd64.deb").as_deref(), Some("glibc"));
        assert_eq!(package("pool/updates/main/libx/libxml2/a.deb").as_deref(), Some("libxml2"));
        assert_eq!(package("pool/main/libx/glibc/a.deb"), None);
        assert_eq!(package("flat/a.deb"), None);
        assert_eq!(package("a.deb"), None);
    }

    #[test]
    fn documents_are_the_same_every_time_and_others_for_whatever_differs() {
        let origin = origin();
        let other = Origin { release: Sha256::of_bytes(b"other"), ..origin.clone() };
        for document in Document::ALL {
            let text = document.text(&subject(&origin)).unwrap();
            assert_eq!(text, document.text(&subject(&origin)).unwrap());
            assert_ne!(text, document.text(&subject(&other)).unwrap());
            let changed = Subject { content: Sha256::of_bytes(b"x"), ..subject(&origin) };
            assert_ne!(text, document.text(&changed).unwrap());
        }
    }

    /// What is on the box is in both bills and nothing else, each once, under one name.
    #[test]
    fn both_bills_have_what_is_on_the_box_and_no_tools() {
        let origin = origin();
        let subject = subject(&origin);
        let spdx = spdx::document(&subject).unwrap();
        let locators =
            |value: &Value| value["externalRefs"][0]["referenceLocator"].as_str().map(str::to_owned);
        let mut first: Vec<String> =
            spdx["packages"].as_array().unwrap().iter().filter_map(locators).collect();
        let bill = cyclonedx::document(&subject).unwrap();
        let mut second = Vec::new();
        let mut left = vec![bill["metadata"]["component"].clone()];
        left.extend(bill["components"].as_array().unwrap().iter().cloned());
        while let Some(component) = left.pop() {
            left.extend(component["components"].as_array().into_iter().flatten().cloned());
            second.extend(component["purl"].as_str().map(str::to_owned));
        }
        first.sort();
        second.sort();
        assert_eq!(first, second);
        let wanted = [
            "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=debian-13&upstream=gcc-14",
            "pkg:deb/debian/tzdata@1:2025b-4%2Bdeb13u1?arch=all&distro=debian-13",
            "pkg:deb/debian/shim-signed@1.47?arch=amd64&distro=debian-13",
        ];
        assert_eq!(first.len(), 6, "{first:#?}");
        for purl in wanted {
            assert!(first.iter().any(|found| found == purl), "{purl} is missing in {first:#?}");
        }
        assert!(!first.iter().any(|found| found.contains("squashfs-tools")));
    }
}
