//! In: a folder under `overlays/`. Out: its files, sorted, as bytes. Nothing is interpreted here, and nothing outside
//! the folder is read (links are kept, not followed).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::digest::{Hasher, Sha256};

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

    /// The digest of everything in it: paths, contents, targets of links. Modes do not count, as they mean nothing here.
    pub fn digest(&self) -> Sha256 {
        let mut hasher = Hasher::new();
        for (path, source) in &self.files {
            match source {
                Source::File(bytes) => hasher.field(path, b"file").field("content", bytes),
                Source::Link(target) => hasher.field(path, b"link").field("target", target.as_bytes()),
            };
        }
        hasher.finish()
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
        if !is_left_behind(&name) {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a program that edits files leaves one of this name beside them; none is ever meant for the box.
fn is_left_behind(name: &str) -> bool {
    let of_emacs = name.starts_with(".#") || (name.len() > 2 && name.starts_with('#') && name.ends_with('#'));
    let of_vim = name.starts_with('.') && [".swo", ".swp"].iter().any(|end| name.ends_with(end));
    of_emacs || of_vim || name.ends_with('~') || name == ".DS_Store"
}

/// The first bytes of a file CACHEDIR.TAG, with which programs mark a folder that they can make again.
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Whether the folder `path` is a cache: Python's compiled files, or one that says so itself.
fn is_cache(name: &str, path: &Path) -> bool {
    let mut start = [0; CACHE_TAG.len()];
    let mut tagged =
        || fs::File::open(path.join("CACHEDIR.TAG")).and_then(|mut tag| tag.read_exact(&mut start));
    name == "__pycache__" || (tagged().is_ok() && start == CACHE_TAG)
}

fn read_folder(folder: &Path, prefix: String, files: &mut BTreeMap<String, Source>) -> Result<()> {
    for (name, path) in entries(folder)? {
        let reading = || format!("reading {}", path.display());
        let kind = fs::symlink_metadata(&path).with_context(reading)?.file_type();
        let key = format!("{prefix}{name}");
        if kind.is_dir() {
            if !is_cache(&name, &path) {
                read_folder(&path, format!("{key}/"), files)?;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_and_linters_leave_is_not_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join("system/x").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# made by ruff\n";
        for (path, text) in [
            ("root/etc/a", "a"),
            ("root/etc/a~", ""),
            ("root/etc/.a.swp", ""),
            ("root/etc/.a.swo", ""),
            ("root/etc/#a#", ""),
            ("root/etc/.DS_Store", ""),
            ("root/usr/lib/x/run.py", "p"),
            ("root/usr/lib/x/__pycache__/run.cpython-313.pyc", ""),
            (".ruff_cache/CACHEDIR.TAG", tag),
            (".ruff_cache/0.6/1234", ""),
            // A folder that only has such a file is somebody's own.
            ("root/etc/own/CACHEDIR.TAG", "about caches"),
            ("root/etc/own/b", "b"),
            ("root/etc/.hidden", "h"),
            ("root/etc/#", "#"),
        ] {
            write(path, text);
        }
        std::os::unix::fs::symlink("ada@laptop.1", folder.path().join("system/x/root/etc/.#a")).unwrap();
        let overlay = Overlay::load(folder.path(), "system/x").unwrap();
        let expected =
            ["#", ".hidden", "a", "own/CACHEDIR.TAG", "own/b"].map(|name| format!("root/etc/{name}"));
        let expected = expected.into_iter().chain(["root/usr/lib/x/run.py".to_owned()]);
        assert_eq!(overlay.files.keys().cloned().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
    #[test]
    fn names_contents_and_links_make_the_digest_and_nothing_else_does() {
        let overlay = |name: &str, source: Source| {
            let files = BTreeMap::from([(name.to_owned(), source)]);
            Overlay { name: "system/x".to_owned(), files }.digest()
        };
        let file = |text: &str| Source::File(text.as_bytes().to_vec());
        let digest = overlay("a", file("b"));
        assert_eq!(digest, overlay("a", file("b")));
        for other in
            [overlay("c", file("b")), overlay("a", file("c")), overlay("a", Source::Link("b".into()))]
        {
            assert_ne!(digest, other);
        }
    }
}
