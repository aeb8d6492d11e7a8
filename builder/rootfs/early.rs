//! Files that are packed while packages are still being configured: maintainer scripts leave them alone.
//!
//! Most of a system's bytes are in such files, and configuring keeps one processor busy. Which files these are
//! follows from the packages alone, so that the stream is the same on every machine; that nothing has touched them is
//! checked at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::archive::Archive;
use super::owners::Owners;
use super::package::Package;
use crate::debian::deb::MemberKind;
use crate::tree::Metadata;

/// Where maintainer scripts change nothing that a package brought.
const UNTOUCHED: [&str; 5] =
    ["usr/lib/modules/", "usr/lib/firmware/", "usr/share/doc/", "usr/share/locale/", "usr/share/man/"];

/// Where they change nothing but small files and links.
const MOSTLY_UNTOUCHED: [&str; 5] = ["usr/lib/", "usr/libexec/", "usr/bin/", "usr/sbin/", "usr/share/"];

/// How large a file has to be there, in bytes.
const LARGE: u64 = 64 << 10;

/// The error for a file that was packed early and has changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedTooEarly(PathBuf);

impl fmt::Display for PackedTooEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a maintainer script has changed /{}, which was packed already", self.0.display())
    }
}

impl std::error::Error for PackedTooEarly {}

/// The files that were packed early, and what they were like then.
#[derive(Debug, Default)]
pub(super) struct Early(BTreeMap<PathBuf, Seen>);

/// Whatever differs once a file has been touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    names: u64,
    owner: Metadata,
}

impl Seen {
    fn now(place: &Path, owners: &Owners) -> Result<(Self, fs::Metadata)> {
        let metadata = fs::symlink_metadata(place).with_context(|| format!("reading {}", place.display()))?;
        let seen = Self {
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            names: metadata.nlink(),
            owner: owners.of(&metadata),
        };
        Ok((seen, metadata))
    }
}

/// The files of `packages` that can be packed early, sorted: ones of root's without special modes, which their package's
/// own scripts do not mention.
pub(super) fn choose(packages: &[Package<'_>]) -> Vec<PathBuf> {
    let mut chosen = Vec::new();
    for package in packages {
        let scripts =
            ["preinst", "postinst"].map(|name| package.files.get(name).map_or(&[][..], |file| &file.content));
        let mentioned = |path: &Path| {
            let name = path.file_name().unwrap_or_default().as_bytes();
            scripts.iter().any(|script| script.windows(name.len().max(1)).any(|window| window == name))
        };
        for member in &package.candidates {
            let plain = member.uid == 0 && member.gid == 0 && member.mode & 0o7000 == 0;
            if plain && !mentioned(&member.path) {
                chosen.push(member.path.clone());
            }
        }
    }
    chosen.sort();
    chosen.dedup();
    chosen
}

/// Whether a member is one that [`choose`] would take.
pub(super) fn is_candidate(path: &Path, kind: &MemberKind) -> bool {
    let MemberKind::File(size) = kind else { return false };
    let below = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    below(&UNTOUCHED) || *size >= LARGE && below(&MOSTLY_UNTOUCHED)
}

impl Early {
    /// Writes `paths` to `archive`.
    pub fn pack(paths: &[PathBuf], tree: &Path, owners: &Owners, archive: &mut Archive<'_>) -> Result<Self> {
        let mut early = Self::default();
        for path in paths {
            let (seen, metadata) = Seen::now(&tree.join(path), owners)?;
            if metadata.is_file() && metadata.nlink() == 1 {
                archive.add(path, &metadata, owners)?;
                early.0.insert(path.clone(), seen);
            }
        }
        Ok(early)
    }

    /// Whether the file at `path` was packed early.
    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    /// Sees to it that every file still is as it was.
    ///
    /// # Errors
    /// [`PackedTooEarly`].
    pub fn check(&self, tree: &Path, owners: &Owners) -> Result<()> {
        for (path, seen) in &self.0 {
            let now = Seen::now(&tree.join(path), owners).ok().map(|(now, _)| now);
            if now != Some(*seen) {
                return Err(PackedTooEarly(path.clone()).into());
            }
        }
        Ok(())
    }
}
