//! The root filesystem as a tar stream: sorted, with constant times and with the owners that files should have.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Write;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tar::{Builder, EntryType, Header};

use super::early::Early;
use super::owners::Owners;
use crate::interrupt;

/// Writes files of one tree to a tar stream.
pub(super) struct Archive<'a> {
    builder: Builder<&'a mut dyn Write>,
    tree: &'a Path,
    time: i64,
    /// The path under which a file with several names was written, by device and inode.
    links: BTreeMap<(u64, u64), PathBuf>,
}

impl<'a> Archive<'a> {
    /// An archive of files below `tree` with no time later than `time` (seconds since 1970).
    pub fn new(tar: &'a mut dyn Write, tree: &'a Path, time: i64) -> Self {
        Self { builder: Builder::new(tar), tree, time, links: BTreeMap::new() }
    }

    /// Writes everything but `early`, sorted by path.
    pub fn add_rest(&mut self, owners: &Owners, early: &Early) -> Result<()> {
        walk(self.tree, &mut |path, metadata| {
            if early.contains(path) { Ok(()) } else { self.add(path, metadata, owners) }
        })
    }

    /// Writes the end of the archive.
    pub fn finish(mut self) -> Result<()> {
        self.builder.finish().context("writing the root filesystem")
    }

    /// Writes the file at `path`, which is relative to the tree.
    pub fn add(&mut self, path: &Path, metadata: &Metadata, owners: &Owners) -> Result<()> {
        interrupt::check()?;
        let place = self.tree.join(path);
        let mut header = self.header(metadata, owners);
        let name = if path.as_os_str().is_empty() { Path::new("./") } else { path };
        let write = || -> Result<()> {
            let kind = metadata.file_type();
            if kind.is_dir() {
                header.set_entry_type(EntryType::Directory);
                return Ok(self.builder.append_data(&mut header, name, std::io::empty())?);
            }
            if metadata.nlink() > 1 {
                let key = (metadata.dev(), metadata.ino());
                if let Some(first) = self.links.get(&key) {
                    header.set_entry_type(EntryType::Link);
                    return Ok(self.builder.append_link(&mut header, name, first)?);
                }
                self.links.insert(key, path.to_owned());
            }
            if kind.is_symlink() {
                header.set_entry_type(EntryType::Symlink);
                let target = fs::read_link(&place)?;
                return Ok(self.builder.append_link(&mut header, name, target)?);
            }
            if !kind.is_file() {
                bail!("it is neither a file, a folder nor a link");
            }
            header.set_entry_type(EntryType::Regular);
            header.set_size(metadata.len());
            Ok(self.builder.append_data(&mut header, name, File::open(&place)?)?)
        };
        let mut write = write;
        write().with_context(|| format!("archiving /{}", path.display()))
    }

    fn header(&self, metadata: &Metadata, owners: &Owners) -> Header {
        let owner = owners.of(metadata);
        let mut header = Header::new_gnu();
        header.set_size(0);
        header.set_mode(if metadata.is_symlink() { 0o777 } else { owner.mode });
        header.set_uid(owner.uid.into());
        header.set_gid(owner.gid.into());
        header.set_mtime(self.time_of(metadata).try_into().unwrap_or(0));
        header
    }

    /// Files of packages have whole seconds and keep them; whatever was made while building has the time of the lock, as
    /// do folders, which change whenever something is made in them.
    fn time_of(&self, metadata: &Metadata) -> i64 {
        if metadata.is_dir() || metadata.mtime_nsec() != 0 {
            self.time
        } else {
            metadata.mtime().min(self.time)
        }
    }
}

/// Calls `visit` with every file below `tree` and the root (the empty path): folders first, names sorted by bytes.
pub(super) fn walk(tree: &Path, visit: &mut dyn FnMut(&Path, &Metadata) -> Result<()>) -> Result<()> {
    fn enter(tree: &Path, path: &Path, visit: &mut dyn FnMut(&Path, &Metadata) -> Result<()>) -> Result<()> {
        let place = tree.join(path);
        let context = || format!("reading {}", place.display());
        let metadata = fs::symlink_metadata(&place).with_context(context)?;
        visit(path, &metadata)?;
        if metadata.is_dir() {
            let mut names = Vec::new();
            for entry in fs::read_dir(&place).with_context(context)? {
                names.push(entry.with_context(context)?.file_name());
            }
            names.sort();
            for name in names {
                enter(tree, &path.join(name), visit)?;
            }
        }
        Ok(())
    }
    enter(tree, Path::new(""), visit)
}
