//! The file tree value: path, mode, owner, content; what a layer or an archive is made from.
//!
//! Entries go in, in any order; a sorted tar stream, or a folder, comes out. Equal trees give equal bytes. Nothing is
//! read from the disk here, and no time but the caller's is written.

mod archive;
mod directory;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use anyhow::{Result, bail};

/// What a folder has that nobody has described: root's, readable by all.
const PLAIN_DIRECTORY: u32 = 0o755;

/// One file, folder or symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits, with set-user-id, set-group-id and sticky: at most 0o7777.
    pub mode: u32,
    /// The owner's numeric id.
    pub uid: u32,
    /// The group's numeric id.
    pub gid: u32,
    /// What it is.
    pub kind: Kind,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Dir,
    /// A regular file with its content.
    File(Vec<u8>),
    /// A symbolic link and where it points; never followed here.
    Symlink(String),
}

/// Mode and owner of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits: at most 0o7777.
    pub mode: u32,
    /// The owner's numeric id.
    pub uid: u32,
    /// The group's numeric id.
    pub gid: u32,
}

/// The folders of another tree with their metadata, by path as in [`Tree`]; the root is `""`.
pub type Directories = BTreeMap<String, Metadata>;

impl Entry {
    /// A folder of root's.
    pub fn dir(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, kind: Kind::Dir }
    }

    /// A regular file of root's.
    pub fn file(mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self { mode, uid: 0, gid: 0, kind: Kind::File(content.into()) }
    }

    /// A symbolic link to `target`.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self { mode: 0o777, uid: 0, gid: 0, kind: Kind::Symlink(target.into()) }
    }

    /// The same, owned by `uid` and `gid`.
    #[must_use]
    pub fn owned_by(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }
}

/// A tree of files. Paths have no leading slash and no `.` or `..`; the root folder is the empty path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// A tree without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `entry` at `path`, with or without a leading slash. An equal entry may be added twice.
    ///
    /// # Errors
    /// If the path leaves the tree, is taken by something else, or lies below something that is no folder.
    pub fn insert(&mut self, path: &str, entry: Entry) -> Result<()> {
        let path = normalized(path)?;
        for parent in parents(&path) {
            if self.entries.get(parent).is_some_and(|entry| entry.kind != Kind::Dir) {
                bail!("`/{path}` lies below `/{parent}`, which is no folder");
            }
        }
        if entry.kind != Kind::Dir && self.has_children(&path) {
            bail!("`/{path}` is a folder, since there are files below it");
        }
        match self.entries.entry(path) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
            }
            Slot::Occupied(slot) if *slot.get() == entry => {}
            Slot::Occupied(slot) => bail!("`/{}` is in the tree twice, with different content", slot.key()),
        }
        Ok(())
    }

    /// Adds a regular file of root's.
    ///
    /// # Errors
    /// See [`Tree::insert`].
    pub fn insert_file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Result<()> {
        self.insert(path, Entry::file(mode, content))
    }

    /// Adds a folder of root's.
    ///
    /// # Errors
    /// See [`Tree::insert`].
    pub fn insert_dir(&mut self, path: &str, mode: u32) -> Result<()> {
        self.insert(path, Entry::dir(mode))
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// See [`Tree::insert`].
    pub fn insert_symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.insert(path, Entry::symlink(target))
    }

    /// Adds all entries of `other`.
    ///
    /// # Errors
    /// See [`Tree::insert`].
    pub fn merge(&mut self, other: Self) -> Result<()> {
        other.entries.into_iter().try_for_each(|(path, entry)| self.insert(&path, entry))
    }

    /// The entry at `path`, with or without a leading slash.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path.trim_matches('/'))
    }

    /// The content of the regular file at `path`.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        match &self.get(path)?.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// Takes the entry at `path` out.
    pub fn remove(&mut self, path: &str) -> Option<Entry> {
        self.entries.remove(path.trim_matches('/'))
    }

    /// All entries, folders before what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds every folder that is only implied by what lies below it, and the root: with the metadata that the same
    /// folder has in `base`, where there is one (a layer on top of another hides that one's), else 0755 and root's.
    pub fn fill_directories(&mut self, base: &Directories) {
        let implied: Vec<String> =
            self.entries.keys().flat_map(|path| parents(path)).map(str::to_owned).collect();
        for path in implied.into_iter().chain([String::new()]) {
            let found = base.get(&path).copied();
            let Metadata { mode, uid, gid } =
                found.unwrap_or(Metadata { mode: PLAIN_DIRECTORY, uid: 0, gid: 0 });
            self.entries.entry(path).or_insert(Entry { mode, uid, gid, kind: Kind::Dir });
        }
    }

    fn has_children(&self, path: &str) -> bool {
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        self.entries
            .range(below.clone()..)
            .find(|(next, _)| !next.is_empty())
            .is_some_and(|(next, _)| next.starts_with(&below))
    }
}

/// The folders above `path`, the outermost first, without the root.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

/// `path` without slashes around it.
fn normalized(path: &str) -> Result<String> {
    let inner = path.trim_matches('/');
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    if !inner.is_empty() && inner.split('/').any(bad) {
        bail!("`{path}` is no path inside a tree");
    }
    Ok(inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_tree_is_refused() {
        let mut tree = Tree::new();
        tree.insert_file("/etc/hosts", 0o644, "a").unwrap();
        tree.insert_file("etc/hosts", 0o644, "a").unwrap();
        for (path, entry) in [
            ("etc/hosts", Entry::file(0o600, "a")),
            ("etc/hosts/x", Entry::dir(0o755)),
            ("etc", Entry::symlink("usr/etc")),
            ("../etc/x", Entry::dir(0o755)),
            ("etc//x", Entry::dir(0o755)),
            ("", Entry::file(0o644, "")),
        ] {
            assert!(tree.insert(path, entry).is_err(), "{path} was accepted");
        }
        assert_eq!(tree.len(), 1);
    }

    #[test]
    fn implied_folders_look_as_in_the_layer_below() {
        let mut tree = Tree::new();
        tree.insert_file("etc/ssh/sshd_config.d/a.conf", 0o600, "").unwrap();
        tree.insert_dir("var", 0o700).unwrap();
        let base = [("", 0o755, 0), ("etc/ssh", 0o711, 5), ("var", 0o755, 0)]
            .map(|(path, mode, uid)| (path.to_owned(), Metadata { mode, uid, gid: 0 }));
        tree.fill_directories(&Directories::from(base));
        let modes: Vec<_> = tree.iter().map(|(path, entry)| (path, entry.mode, entry.uid)).collect();
        let expected = [
            ("", 0o755, 0),
            ("etc", 0o755, 0),
            ("etc/ssh", 0o711, 5),
            ("etc/ssh/sshd_config.d", 0o755, 0),
            ("etc/ssh/sshd_config.d/a.conf", 0o600, 0),
            ("var", 0o700, 0),
        ];
        assert_eq!(modes, expected);
    }
}
