//! Packages on their way into the root filesystem: unpacked, with what dpkg's database has to know about them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::decompressed::Decompressed;
use super::early;
use crate::debian::control::{self, Paragraph};
use crate::debian::deb::{ControlFile, Deb, DebFile, Member, MemberKind};
use crate::debian::unpack::{Owners, Placed, Target, must_be_free};

/// What dpkg calls a configuration file that has not been configured yet.
const NEW_CONFFILE: &str = ".dpkg-new";

/// One unpacked package.
#[derive(Debug)]
pub(super) struct Package<'a> {
    /// Where it came from.
    pub deb: &'a DebFile,
    /// The control file.
    pub control: Paragraph,
    /// All files of the control archive.
    pub files: BTreeMap<String, ControlFile>,
    /// The paths of its members in their order, relative to the root.
    pub list: Vec<PathBuf>,
    /// Its folders, with the metadata that it gives them.
    pub folders: Vec<Member>,
    /// Its files that may be packed early.
    pub candidates: Vec<Member>,
    /// What was not made, since something else was there.
    pub taken: BTreeSet<PathBuf>,
    /// Its files that could not be made as they should be, since we are not root. Folders are not among them.
    pub placed: Vec<Made>,
}

/// A file that was made, and what it should be like where it cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    pub device: u64,
    pub inode: u64,
    /// Permission bits and type.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Made {
    /// What has to be recorded of `member`; nothing if who is not root can make it as it should be.
    pub fn of(member: &Member, (device, inode): (u64, u64)) -> Option<Self> {
        let (kind, ours) = match member.kind {
            MemberKind::Dir => (libc::S_IFDIR, 0o700),
            MemberKind::File(_) => (libc::S_IFREG, 0o600),
            MemberKind::Symlink(_) => (libc::S_IFLNK, 0),
            // The name that came before has the metadata.
            MemberKind::Hardlink(_) => return None,
        };
        let Member { mode, uid, gid, .. } = *member;
        let plain = uid == 0 && gid == 0 && mode & ours == ours;
        (!plain).then_some(Self { device, inode, mode: kind | mode, uid, gid })
    }
}

impl<'a> Package<'a> {
    /// Unpacks `deb` below `target`; no time gets later than `newest` (seconds since 1970).
    pub fn unpack(
        deb: &'a DebFile,
        target: &Target,
        (newest, decompressed): (i64, &Decompressed),
    ) -> Result<Self> {
        let archive = Deb::open(&deb.path)?;
        let files = archive.control()?;
        let control = files.get("control").context("the package has no control file")?;
        let control = control::single(&control.content)
            .with_context(|| format!("reading the control file of {}", deb.name))?;
        let mut package = Self {
            deb,
            control,
            files,
            list: Vec::new(),
            folders: Vec::new(),
            candidates: Vec::new(),
            taken: BTreeSet::new(),
            placed: Vec::new(),
        };
        let conffiles: BTreeSet<PathBuf> = package.conffiles().collect();
        let take =
            |member, content: &mut dyn Read| package.take(member, content, (target, newest, &conffiles));
        decompressed.data(deb, &archive, take)?;
        Ok(package)
    }

    fn take(
        &mut self,
        member: Member,
        content: &mut dyn Read,
        (target, newest, conffiles): (&Target, i64, &BTreeSet<PathBuf>),
    ) -> Result<()> {
        let place =
            if conffiles.contains(&member.path) { new_conffile(&member.path) } else { member.path.clone() };
        match target.place(&member, &place, content, newest)? {
            Placed::New(device, inode) => {
                if target.owners() == Owners::Ours && member.kind != MemberKind::Dir {
                    self.placed.extend(Made::of(&member, (device, inode)));
                }
            }
            Placed::Same => {}
            Placed::Taken => {
                self.taken.insert(member.path.clone());
            }
        }
        self.list.push(member.path.clone());
        if member.kind == MemberKind::Dir {
            self.folders.push(member);
        } else if place == member.path && early::is_candidate(&place, &member.kind) {
            self.candidates.push(member);
        }
        Ok(())
    }

    /// Places the member `path` once more, at `place`. Returns what has to be recorded of it.
    pub fn place_again(
        &self,
        path: &Path,
        place: &Path,
        target: &Target,
        newest: i64,
    ) -> Result<Option<Made>> {
        let place = if self.conffiles().any(|conffile| conffile == path) {
            new_conffile(place)
        } else {
            place.to_owned()
        };
        let mut made = None;
        Deb::open(&self.deb.path)?.data(|member, content| {
            if member.path == path {
                match target.place(&member, &place, content, newest)? {
                    Placed::New(device, inode) if target.owners() == Owners::Ours => {
                        made = Made::of(&member, (device, inode));
                    }
                    placed => must_be_free(placed, &place)?,
                }
            }
            Ok(())
        })?;
        Ok(made)
    }

    /// The paths of the configuration files that it has, relative to the root.
    pub fn conffiles(&self) -> impl Iterator<Item = PathBuf> {
        let own = self.conffile_lines().filter(|(_, flag)| flag.is_empty());
        own.map(|(path, _)| PathBuf::from(OsString::from_vec(path[1..].to_vec())))
    }

    /// The configuration files, also those that it wants removed: absolute path, and the flag `remove-on-upgrade`.
    pub fn conffile_lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let content = self.files.get("conffiles").map_or(&[][..], |file| &file.content);
        content.split(|byte| *byte == b'\n').filter_map(|line| {
            let start = line.iter().position(|byte| *byte == b'/')?;
            let (flag, path) = line.split_at(start);
            Some((path.trim_ascii_end(), flag.trim_ascii()))
        })
    }

    /// The name under which dpkg's database keeps its files: with the architecture where several can be installed.
    pub fn info_name(&self) -> String {
        if self.control.get("Multi-Arch") == Some("same") {
            format!("{}:{}", self.deb.name, self.deb.architecture)
        } else {
            self.deb.name.clone()
        }
    }

    /// Whether the system cannot be without it.
    pub fn is_essential(&self) -> bool {
        self.control.get("Essential") == Some("yes")
    }

    /// Whether it says that it replaces files of the package `other`.
    pub fn replaces(&self, other: &str) -> bool {
        let names = self.control.get("Replaces").unwrap_or_default().split([',', '|']);
        names.filter_map(|relation| relation.split_whitespace().next()).any(|name| name == other)
    }
}

/// Where a configuration file waits for its package to be configured.
pub(super) fn new_conffile(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(NEW_CONFFILE);
    PathBuf::from(name)
}

/// `/<path>` as bytes, as dpkg writes it.
pub(super) fn absolute(path: &Path) -> Vec<u8> {
    [b"/", path.as_os_str().as_bytes()].concat()
}
