//! Who owns which file: what the filesystem says, or, where we are not root, what fakeroot's daemon recorded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::package::Made;
use crate::tree::Metadata;

/// Owners and modes that could not be given to the files themselves, by device and inode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record(BTreeMap<(u64, u64), Recorded>);

/// What one file should be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recorded {
    /// Permission bits and type.
    mode: u32,
    uid: u32,
    gid: u32,
}

/// How to learn the owner of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owners {
    /// The filesystem has it.
    Real,
    /// Files that the record does not have are root's, with the mode that they have.
    Recorded(Record),
}

impl Owners {
    /// Mode and owner of the file with this `metadata`.
    pub fn of(&self, metadata: &fs::Metadata) -> Metadata {
        let mode = metadata.mode() & 0o7777;
        match self {
            Self::Real => Metadata { mode, uid: metadata.uid(), gid: metadata.gid() },
            Self::Recorded(record) => match record.0.get(&(metadata.dev(), metadata.ino())) {
                Some(found) if (found.mode ^ metadata.mode()) & libc::S_IFMT == 0 => {
                    Metadata { mode: found.mode & 0o7777, uid: found.uid, gid: found.gid }
                }
                _ => Metadata { mode, uid: 0, gid: 0 },
            },
        }
    }

    /// Makes `owner` the owner of the file at `path`, whose metadata are `metadata`.
    pub fn change(&mut self, path: &Path, metadata: &fs::Metadata, owner: Metadata) -> Result<()> {
        match self {
            Self::Real => {
                use std::os::unix::fs::PermissionsExt as _;
                std::os::unix::fs::lchown(path, Some(owner.uid), Some(owner.gid))
                    .with_context(|| format!("changing the owner of {}", path.display()))?;
                if metadata.mode() & 0o6000 != 0 && !metadata.is_symlink() {
                    // The kernel has cleared these bits.
                    fs::set_permissions(path, fs::Permissions::from_mode(owner.mode))
                        .with_context(|| format!("changing the mode of {}", path.display()))?;
                }
            }
            Self::Recorded(record) => {
                let mode = metadata.mode() & libc::S_IFMT | owner.mode;
                let entry = Recorded { mode, uid: owner.uid, gid: owner.gid };
                record.0.insert((metadata.dev(), metadata.ino()), entry);
            }
        }
        Ok(())
    }
}

impl Record {
    /// A record of files that were unpacked by somebody who is not root.
    pub fn of_unpacked(files: impl IntoIterator<Item = Made>) -> Self {
        let entry = |made: Made| {
            let Made { mode, uid, gid, .. } = made;
            ((made.device, made.inode), Recorded { mode, uid, gid })
        };
        Self(files.into_iter().map(entry).collect())
    }

    /// Adds files that were unpacked since.
    pub fn add(&mut self, files: impl IntoIterator<Item = Made>) {
        self.0.extend(Self::of_unpacked(files).0);
    }

    /// The record in the format of faked(1): `dev=…,ino=…,mode=…,uid=…,gid=…,nlink=…,rdev=…`, one file a line; device and
    /// mode are hexadecimal and octal.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for ((device, inode), Recorded { mode, uid, gid }) in &self.0 {
            // Writing to a string cannot fail.
            let _ =
                writeln!(text, "dev={device:x},ino={inode},mode={mode:o},uid={uid},gid={gid},nlink=1,rdev=0");
        }
        text
    }

    /// Reads what [`Record::render`] or faked wrote.
    pub fn parse(text: &str) -> Result<Self> {
        let entry = |line: &str| -> Option<((u64, u64), Recorded)> {
            let fields: BTreeMap<&str, &str> =
                line.split(',').filter_map(|field| field.trim().split_once('=')).collect();
            let number = |name: &str, radix: u32| u64::from_str_radix(fields.get(name)?, radix).ok();
            let small = |name: &str, radix: u32| number(name, radix)?.try_into().ok();
            let recorded =
                Recorded { mode: small("mode", 8)?, uid: small("uid", 10)?, gid: small("gid", 10)? };
            Some(((number("dev", 16)?, number("ino", 10)?), recorded))
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let entries = lines
            .map(|line| entry(line).with_context(|| format!("the record of owners has the line `{line}`")));
        Ok(Self(entries.collect::<Result<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_rules_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let (device, inode) = (metadata.dev(), metadata.ino());
        let made = Made { device, inode, mode: libc::S_IFREG | 0o2755, uid: 0, gid: 42 };
        let record = Record::of_unpacked([made]);
        assert_eq!(Record::parse(&record.render()).unwrap(), record);
        assert!(Record::parse("dev=1,ino=2").is_err());

        let owners = Owners::Recorded(record);
        assert_eq!(owners.of(&metadata), Metadata { mode: 0o2755, uid: 0, gid: 42 });
        let folder = Record::of_unpacked([Made { mode: libc::S_IFDIR | 0o700, ..made }]);
        let unknown = Metadata { mode: 0o600, uid: 0, gid: 0 };
        assert_eq!(Owners::Recorded(folder).of(&metadata), unknown, "the inode was reused");
    }
}
