//! What a release was made from. It lies on the ESP of its image, so that an image can be asked without the files that
//! were written beside it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::diag::InputError;
use crate::digest::Sha256;
use crate::lock::{self, Lock};

/// The newest layout of the file that this program reads, and the one that it writes.
pub const SCHEMA: u32 = 1;

/// The folder of the ESP in which each release has its file.
pub const FOLDER: &str = "boxwright/releases";

/// The same folder as FAT's short names say it: mtools numbers the first long name of a folder with 1.
pub const SHORT_FOLDER: [&str; 2] = ["BOXWRI~1", "RELEASES"];

/// What a release was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The layout of this file; see [`SCHEMA`].
    pub schema: u32,
    /// The box's name.
    pub name: String,
    /// The release's digest.
    pub release: Sha256,
    /// What made it.
    pub program: Program,
    /// The digest of the profile as compact JSON, with every default filled in: comments and layout do not count.
    pub profile: Sha256,
    /// The digest of the folder `overlays/`: of every path, mode and content.
    pub overlays: Sha256,
    /// The digest of the folder `firmware/`, made alike.
    pub firmware: Sha256,
    /// Whose packages the box has.
    pub vendor: Vendor,
    /// The packages among the lock's tools of which files are on the ESP: boot programs and microcode. Sorted.
    pub boot: Vec<String>,
    /// The container images of the box, sorted by reference.
    pub images: Vec<OnBox>,
    /// The packages, tools and images, by digest.
    pub lock: Lock,
}

/// The program that made a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its version.
    pub version: String,
    /// The digest of its sources.
    pub sources: String,
}

/// Who publishes the packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// The `ID` of os-release: `debian`.
    pub id: String,
    /// The architecture of the box, as dpkg calls it.
    pub architecture: String,
    /// The `Origin` of each archive's Release file, by the archive's id.
    pub suppliers: BTreeMap<String, String>,
}

/// A container image of the box.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnBox {
    /// Its reference, as in the lock.
    pub reference: String,
    /// Whether it is in the disk image; the box pulls it otherwise.
    pub embedded: bool,
}

impl Origin {
    /// Where it is on the ESP.
    pub fn path(&self) -> String {
        format!("{FOLDER}/{}.json", hex::encode(&self.release.bytes()[..8]))
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None that can be met.
    pub fn text(&self) -> Result<String> {
        let mut text = serde_json::to_string(self).context("writing what the release was made from")?;
        text.push('\n');
        Ok(text)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`InputError`] if it is of a newer program, or no such file.
    pub fn parse(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let wrong = |error: serde_json::Error| {
            InputError(format!("what the image says that it was made from cannot be read: {error}"))
        };
        let head: Head = serde_json::from_slice(text).map_err(wrong)?;
        if head.schema != SCHEMA {
            return Err(InputError(format!(
                "the image says in schema {} what it was made from, and this program knows schema {SCHEMA}; use the Boxwright that built it",
                head.schema
            ))
            .into());
        }
        Ok(serde_json::from_slice(text).map_err(wrong)?)
    }

    /// The packages of the lock's tools of which files are on the ESP.
    pub fn boot_packages(&self) -> impl Iterator<Item = &lock::Package> {
        self.lock.tools.iter().filter(|package| self.boot.contains(&package.name))
    }

    /// The container images of the box with what the lock knows of each.
    pub fn box_images(&self) -> impl Iterator<Item = (&OnBox, Option<&lock::Image>)> {
        let known = |image: &OnBox| self.lock.images.iter().find(|known| known.reference == image.reference);
        self.images.iter().map(move |image| (image, known(image)))
    }

    /// Who supplied `package`.
    pub fn supplier(&self, package: &lock::Package) -> Option<&str> {
        self.vendor.suppliers.get(&package.archive).map(String::as_str)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::lock::{Archive, Image, Package};

    fn package(name: &str, version: &str, architecture: &str, path: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            architecture: architecture.into(),
            sha256: Sha256::of_bytes(name.as_bytes()),
            size: 7,
            path: path.into(),
            archive: "trixie".into(),
        }
    }

    /// A release with every kind of thing in it.
    pub(in crate::provenance) fn origin() -> Origin {
        let digest = Sha256::of_bytes(b"something");
        let image = |reference: &str, digest: Option<&str>| Image {
            reference: reference.into(),
            digest: digest.map(|text| format!("sha256:{}", Sha256::of_bytes(text.as_bytes()))),
            ..Image::default()
        };
        let lock = Lock {
            schema: lock::SCHEMA,
            program: None,
            version: 2_026_112_101,
            time: 1_795_219_962,
            distribution: "debian-13".into(),
            platform: "uefi-x86_64".into(),
            request: digest,
            archives: vec![Archive {
                id: "trixie".into(),
                role: "main".into(),
                suite: "trixie".into(),
                components: vec!["main".into()],
                release_sha256: digest,
                date: None,
            }],
            keys: vec![],
            sources: vec![],
            packages: vec![
                package(
                    "libstdc++6",
                    "14.2.0-19",
                    "amd64",
                    "pool/main/g/gcc-14/libstdc++6_14.2.0-19_amd64.deb",
                ),
                package(
                    "tzdata",
                    "1:2025b-4+deb13u1",
                    "all",
                    "pool/main/t/tzdata/tzdata_2025b-4+deb13u1_all.deb",
                ),
            ],
            tools: vec![
                package("shim-signed", "1.47", "amd64", "pool/main/s/shim-signed/shim-signed_1.47_amd64.deb"),
                package("squashfs-tools", "1:4.6.1-1", "amd64", "pool/main/s/squashfs-tools/s_amd64.deb"),
            ],
            machine: vec![package("seabios", "1.16", "all", "pool/main/s/seabios/seabios_1.16_all.deb")],
            images: vec![
                image("docker.io/library/nextcloud:34.0.4-apache", Some("nextcloud")),
                image("ghcr.io/a/unused:1", Some("unused")),
                image("ghcr.io/immich-app/immich-server:v2.1.0", None),
            ],
        };
        Origin {
            schema: SCHEMA,
            name: "attic".into(),
            release: digest,
            program: Program { version: "0.1.0".into(), sources: "0123456789abcdef".into() },
            profile: digest,
            overlays: digest,
            firmware: digest,
            vendor: Vendor {
                id: "debian".into(),
                architecture: "amd64".into(),
                suppliers: BTreeMap::from([("trixie".into(), "Debian".into())]),
            },
            boot: vec!["shim-signed".into()],
            images: vec![
                OnBox { reference: "docker.io/library/nextcloud:34.0.4-apache".into(), embedded: true },
                OnBox { reference: "ghcr.io/immich-app/immich-server:v2.1.0".into(), embedded: false },
            ],
            lock,
        }
    }

    #[test]
    fn it_comes_back_as_it_was() {
        let origin = origin();
        let read = Origin::parse(origin.text().unwrap().as_bytes()).unwrap();
        assert_eq!(read, origin);
        assert_eq!(lock::format::render(&read.lock), lock::format::render(&origin.lock));
        assert!(origin.path().len() == FOLDER.len() + 1 + 16 + 5, "{}", origin.path());
    }

    #[test]
    fn what_a_newer_program_wrote_is_refused_with_a_reason() {
        let text = origin().text().unwrap();
        let cases = [
            (text.replacen("\"schema\":1", "\"schema\":2", 1), "schema 2"),
            (text.replacen("\"boot\"", "\"boots\"", 1), "cannot be read"),
        ];
        for (text, wanted) in cases {
            let error = Origin::parse(text.as_bytes()).unwrap_err();
            assert!(error.is::<InputError>() && error.to_string().contains(wanted), "{error}");
        }
    }
}
