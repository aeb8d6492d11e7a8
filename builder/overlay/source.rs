//! In: a folder under `overlays/`. Out: its files, sorted, as bytes. Nothing is interpreted here, and nothing outside
//! the folder is read (links are kept, not followed).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// One thing found in an overlay folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file's bytes.
    File(Vec<u8>),
    /// A symbolic link's target.
    Link(String),
}

/// An overlay folder in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The folder's path below `overlays/`: `system/network`.
    pub name: String,
    /// Everything in it, by path below the folder (`root/etc/hosts.tera`).
    pub files: BTreeMap<String, Source>,
}

impl Overlay {
    /// Reads the folder `name` below `overlays` (a project's `overlays/`).
    ///
    /// # Errors
    /// The folder cannot be read, a name in it is not UTF-8, or something is neither file, folder nor link.
    pub fn load(overlays: &Path, name: &str) -> Result<Self> {
        let mut files = BTreeMap::new();
        read_folder(&overlays.join(name), String::new(), &mut files)?;
        Ok(Self { name: name.to_owned(), files })
    }

    /// The name under which messages mention a file of this overlay: its path in the project.
    pub fn label(&self, path: &str) -> String {
        format!("overlays/{}/{path}", self.name)
    }

    /// The bytes of the file at `path`, if it is one.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        match self.files.get(path)? {
            Source::File(bytes) => Some(bytes),
            Source::Link(_) => None,
        }
    }
}

/// The names of the folders directly below `overlays/<group>`, sorted. A group that does not exist has none.
///
/// # Errors
/// The folder cannot be read.
pub fn list(overlays: &Path, group: &str) -> Result<Vec<String>> {
    let folder = overlays.join(group);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for (name, path) in entries(&folder)? {
        if path.is_dir() {
            names.push(format!("{group}/{name}"));
        }
    }
    Ok(names)
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let reading = || format!("reading {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            bail!("the name of {} is not UTF-8", entry.path().display());
        };
        // Editors and file managers leave these; they are never meant for the box.
        if name.ends_with('~') || name.ends_with(".swp") || name == ".DS_Store" {
            continue;
        }
        found.push((name, entry.path()));
    }
    found.sort();
    Ok(found)
}

fn read_folder(folder: &Path, prefix: String, files: &mut BTreeMap<String, Source>) -> Result<()> {
    for (name, path) in entries(folder)? {
        let reading = || format!("reading {}", path.display());
        let kind = fs::symlink_metadata(&path).with_context(reading)?.file_type();
        let key = format!("{prefix}{name}");
        if kind.is_dir() {
            read_folder(&path, format!("{key}/"), files)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).with_context(reading)?;
            let Some(target) = target.to_str() else {
                bail!("the target of the link {} is not UTF-8", path.display());
            };
            files.insert(key, Source::Link(target.to_owned()));
        } else if kind.is_file() {
            files.insert(key, Source::File(fs::read(&path).with_context(reading)?));
        } else {
            bail!("{} is neither a file, a folder nor a link", path.display());
        }
    }
    Ok(())
}
