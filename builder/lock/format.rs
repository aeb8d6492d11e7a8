//! The lock file: exactly which bytes a box is built from.
//!
//! In goes the text of `profiles/NAME.lock` or a [`Lock`] value, out comes the other. The text is TOML, sorted, and
//! holds one thing a line, so that a merge conflict is about packages and not about layout. Nothing is fetched here.

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub use super::record::{Key, Source};
pub use super::render::render;
use super::stale;
use crate::atomic;
use crate::diag::InputError;
use crate::digest::Sha256;

/// The newest schema that this program reads, and the one that it writes.
pub const SCHEMA: u32 = 1;

/// Everything that a release of one box is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The layout of the file; see [`SCHEMA`].
    pub schema: u32,
    /// The version of the program that wrote it: `0.1.0`. A lock from before this was written down has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The version of the releases built from this lock. It grows with each update that moved a package or an image.
    pub version: u64,
    /// Seconds since 1970: the newest `Date` of the verified Release files. Every time in the image comes from it.
    pub time: i64,
    /// A folder under `firmware/`: `debian-13`.
    pub distribution: String,
    /// A folder under `firmware/`: `uefi-x86_64`.
    pub platform: String,
    /// The package requests that were solved, digested; another value means that the profile asks for other packages.
    pub request: Sha256,
    /// The verified archives, sorted by id.
    #[serde(default)]
    pub archives: Vec<Archive>,
    /// The keys that may sign them, sorted by fingerprint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// The folders of the project that the box is made of, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// The packages of the box, sorted by name.
    #[serde(default)]
    pub packages: Vec<Package>,
    /// The packages that the build machine uses as tools, sorted by name. None of them gets into the box.
    #[serde(default)]
    pub tools: Vec<Package>,
    /// What it needs besides to start an image in a virtual machine.
    #[serde(default)]
    pub machine: Vec<Package>,
    /// The container images, sorted by reference.
    #[serde(default)]
    pub images: Vec<Image>,
}

impl Lock {
    /// The same with every list in the order in which it is written.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.archives.sort();
        self.keys.sort();
        self.sources.sort();
        for list in [&mut self.packages, &mut self.tools, &mut self.machine] {
            list.sort();
        }
        self.images.sort();
        self
    }
}

/// One suite of an archive, as it was when the lock was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// The name that packages refer to: `trixie-security`.
    pub id: String,
    /// Which mirrors hold it: `main` or `security`, a key of the distribution's `mirrors` table.
    pub role: String,
    /// The suite, as in `dists/<suite>/InRelease`.
    pub suite: String,
    /// The components that were read.
    pub components: Vec<String>,
    /// The digest of the verified InRelease file.
    pub release_sha256: Sha256,
    /// The date in that file, seconds since 1970. A lock from before this was written down has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<i64>,
}

/// One binary package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The package's name, without architecture.
    pub name: String,
    /// The full version, with epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// The digest of the .deb file.
    pub sha256: Sha256,
    /// The size of the .deb file in bytes.
    pub size: u64,
    /// Where the .deb is, below the archive's base address: `pool/main/…`.
    pub path: String,
    /// The [`Archive::id`] of the suite that it was taken from.
    pub archive: String,
}

/// One container image.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Registry, repository and tag: `docker.io/library/nextcloud:34.0.4-apache`.
    pub reference: String,
    /// The digest of the manifest for [`Image::platform`] (`sha256:…`); none where no registry could be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The image id: the digest of the image's configuration (`sha256:…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The size of the compressed layers in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// For which system and architecture the digests are: `linux/amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The day on which a registry first had this digest under the reference: `2026-11-21`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
}

/// Reads the lock file at `path`; `None` if there is none.
///
/// # Errors
/// [`InputError`] if the file is no lock or one of a newer Boxwright, another error if it cannot be read.
pub fn load(path: &Path) -> anyhow::Result<Option<Lock>> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).with_context(|| format!("reading {}", path.display())).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Writes `lock` to `path`, whole or not at all.
///
/// # Errors
/// If the folder cannot be written.
pub fn save(lock: &Lock, path: &Path) -> anyhow::Result<()> {
    atomic::write(path, render(lock).as_bytes())
}

/// Reads the text of a lock file.
///
/// # Errors
/// [`InputError`]: a syntax error or merge conflict with its line, or what a newer program wrote and this one does not know.
pub fn parse(text: &str) -> anyhow::Result<Lock> {
    #[derive(Deserialize)]
    struct Head {
        schema: u32,
        program: Option<String>,
    }
    let bad = |error: toml::de::Error| {
        InputError(format!(
            "{}\nresolve the conflict or remove the file, then run `boxwright lock`, which makes a new one",
            error.to_string().trim_end()
        ))
    };
    let head: Head = toml::from_str(text).map_err(bad)?;
    if head.schema != SCHEMA {
        let whose = if head.schema > SCHEMA { "a newer" } else { "an older" };
        let advice = format!(
            "this lock was made by {whose} Boxwright: it has schema {}, and this program knows schema {SCHEMA}; \
             use the Boxwright that wrote it",
            head.schema
        );
        return Err(InputError(advice).into());
    }
    // What this program does not know is a newer one's business, and no syntax error.
    let newer = stale::check_program(head.program.as_deref());
    let lock: Lock = toml::from_str(text).map_err(|error| newer.err().unwrap_or_else(|| bad(error)))?;
    check(&lock)?;
    Ok(lock)
}

/// What the types do not say: references that lead nowhere and paths that lead out of the archive.
fn check(lock: &Lock) -> Result<(), InputError> {
    for package in lock.packages.iter().chain(&lock.tools).chain(&lock.machine) {
        let subject = format!("package {} {}", package.name, package.version);
        if !lock.archives.iter().any(|archive| archive.id == package.archive) {
            return Err(InputError(format!("{subject} is from the unknown archive `{}`", package.archive)));
        }
        if package.path.starts_with('/') || package.path.split('/').any(|part| part == "..") {
            return Err(InputError(format!("{subject} has the unusable path `{}`", package.path)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> Package {
        Package {
            name: name.into(),
            version: "1:2.0-1+deb13u1".into(),
            architecture: "amd64".into(),
            sha256: Sha256::of_bytes(name.as_bytes()),
            size: 7,
            path: format!("pool/main/{name}.deb"),
            archive: "trixie".into(),
        }
    }

    fn lock() -> Lock {
        Lock {
            schema: SCHEMA,
            program: Some("0.1.0".into()),
            version: 3,
            time: 1_763_683_962,
            distribution: "debian-13".into(),
            platform: "uefi-x86_64".into(),
            request: Sha256::of_bytes(b""),
            archives: vec![Archive {
                id: "trixie".into(),
                role: "main".into(),
                suite: "trixie".into(),
                components: vec!["main".into(), "non-free-firmware".into()],
                release_sha256: Sha256::of_bytes(b"release"),
                date: Some(1_763_683_962),
            }],
            keys: vec![Key {
                fingerprint: "04B5".into(),
                file: "firmware/debian-13/keys/a.asc".into(),
                sha256: Sha256::of_bytes(b"key"),
            }],
            sources: ["overlays/system/ssh", "firmware/debian-13"]
                .map(|name| Source { name: name.into(), sha256: Sha256::of_bytes(name.as_bytes()) })
                .into(),
            packages: vec![package("b"), package("a")],
            tools: vec![],
            machine: vec![package("qemu")],
            images: vec![Image {
                reference: "docker.io/library/a\"b:1".into(),
                digest: None,
                config: Some("sha256:0".into()),
                size: Some(1),
                platform: Some("linux/amd64".into()),
                resolved: Some("2026-11-21".into()),
            }],
        }
    }

    #[test]
    fn a_lock_comes_back_sorted_with_one_thing_a_line() {
        let text = render(&lock());
        let read = parse(&text).unwrap();
        assert_eq!(render(&read), text);
        assert_eq!(read.packages, [package("a"), package("b")]);
        assert_eq!(read, lock().sorted());
        assert_eq!(text.lines().filter(|line| line.contains("pool/main")).count(), 3);
    }

    #[test]
    fn unusable_locks_are_refused_with_a_reason() {
        let text = render(&lock());
        let cases = [
            (text.replace("schema = 1", "schema = 2"), "schema 2"),
            (text.replace("program = \"0.1.0\"", "program = \"99.0.0\"\nmore = 1"), "Boxwright 99.0.0 wrote"),
            (text.replace("version = 3", "<<<<<<< HEAD"), "boxwright lock"),
            (text.replace("platform = ", "plattform = "), "plattform"),
            (text.replace("pool/main/a.deb", "pool/../../a.deb"), "unusable path"),
            (text.replace("archive = \"trixie\"", "archive = \"sid\""), "unknown archive `sid`"),
        ];
        for (broken, expected) in cases {
            let error = parse(&broken).unwrap_err();
            assert!(error.to_string().contains(expected), "{error} does not say `{expected}`");
            assert!(error.is::<InputError>());
        }
    }
}
