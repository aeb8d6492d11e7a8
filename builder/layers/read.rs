//! A sealed layer in a file → the tree that it was made from, dates aside.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::squashfs::{self, FILE, FOLDER, Head, LINK, Listing};
use super::{guid, verity};
use crate::diag::InputError;
use crate::tools::Tools;
use crate::tree::{Entry, Kind, Tree};

/// How many bytes all files of a layer may have together: they are held in memory. Rendered files are some hundred KiB.
const LARGEST: u64 = 128 << 20;

/// Where a sealed layer is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The file with the layer in it.
    pub file: &'a Path,
    /// Where in the file it begins, in bytes.
    pub start: u64,
    /// How many bytes it may take.
    pub length: u64,
    /// Its [`super::Layer::guid`].
    pub guid: [u8; 16],
}

/// Reads the layer at `place` into memory, with unsquashfs of `tools`. Its root hash is compared before anything in it is
/// believed.
///
/// # Errors
/// [`InputError`] if it is damaged, or too large to be held in memory.
pub fn read(place: &Place<'_>, tools: &Tools, jobs: usize) -> Result<Tree> {
    check(place, jobs)?;
    let mut room = LARGEST;
    let mut contents = BTreeMap::new();
    let listing = squashfs::list(place.file, place.start, tools, |path, node, bytes| {
        let Some(left) = room.checked_sub(node.length) else {
            bail!(too_large());
        };
        room = left;
        let mut content = Vec::new();
        bytes.read_to_end(&mut content)?;
        contents.insert(path.to_owned(), content);
        Ok(())
    })?;
    tree(listing, contents)
}

fn too_large() -> InputError {
    InputError(format!(
        "it has more than {} MiB, and no more is held in memory; unsquashfs shows what is in it",
        LARGEST >> 20
    ))
}

/// Compares the layer with the GUID that tells its root hash.
fn check(place: &Place<'_>, jobs: usize) -> Result<()> {
    let reading = || format!("reading {}", place.file.display());
    let file = File::open(place.file).with_context(reading)?;
    let mut bytes = [0; Head::LENGTH];
    file.read_exact_at(&mut bytes, place.start).with_context(reading)?;
    let damaged = || {
        InputError(
            "it is damaged: it does not have the hash that its partition is called by; build the image again, or copy it \
             again from where it was built"
                .into(),
        )
    };
    let head = Head::parse(&bytes, place.length).filter(|head| head.bytes > 0).ok_or_else(damaged)?;
    if head.bytes > LARGEST {
        bail!(too_large());
    }
    let data = verity::begin(head.bytes);
    let (_, root_hash) = verity::tree(&file, place.start..place.start + data, jobs).with_context(reading)?;
    if guid(&root_hash) != place.guid {
        bail!(damaged());
    }
    Ok(())
}

fn tree(listing: Listing, mut contents: BTreeMap<String, Vec<u8>>) -> Result<Tree> {
    let mut tree = Tree::new();
    for (path, node) in listing {
        let kind = match node.kind {
            FOLDER => Kind::Dir,
            FILE => Kind::File(contents.remove(&path).unwrap_or_default()),
            LINK => Kind::Symlink(node.target),
            other => bail!("{path} is a {other}, and a layer of rendered files has none"),
        };
        let numbers = || {
            let (uid, gid) = node.owner.split_once(':')?;
            Some((u32::from_str_radix(&node.mode, 8).ok()?, uid.parse().ok()?, gid.parse().ok()?))
        };
        let (mode, uid, gid) = numbers()
            .with_context(|| format!("unsquashfs wrote `{} {}` of {path}", node.mode, node.owner))?;
        tree.insert(&path, Entry { mode, uid, gid, kind })?;
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::super::squashfs::Node;
    use super::*;

    #[test]
    fn files_folders_and_links_become_a_tree_and_nothing_else_does() {
        let node = |kind, mode: &str, target: &str| Node {
            kind,
            mode: mode.to_owned(),
            owner: "0:7".to_owned(),
            target: target.to_owned(),
            ..Node::default()
        };
        let mut listing = Listing::from([
            ("/".to_owned(), node(FOLDER, "755", "")),
            ("/etc".to_owned(), node(FOLDER, "1700", "")),
            ("/etc/a".to_owned(), node(FILE, "4755", "")),
            ("/etc/b".to_owned(), node(LINK, "777", "a b")),
        ]);
        let mut expected = Tree::new();
        for (path, entry) in [
            ("", Entry::dir(0o755)),
            ("etc", Entry::dir(0o1700)),
            ("etc/a", Entry::file(0o4755, "text")),
            ("etc/b", Entry::symlink("a b")),
        ] {
            expected.insert(path, entry.owned_by(0, 7)).unwrap();
        }
        let contents = BTreeMap::from([("/etc/a".to_owned(), b"text".to_vec())]);
        assert_eq!(tree(listing.clone(), contents).unwrap(), expected);
        listing.insert("/dev".to_owned(), node("character device", "600", "1 3"));
        assert!(tree(listing, BTreeMap::new()).is_err());
    }

    #[test]
    fn what_is_no_layer_is_wrong_input() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.img");
        let mut claims_too_much = b"hsqs".to_vec();
        claims_too_much.resize(8192, 0xff);
        for content in [vec![0; 8192], claims_too_much] {
            std::fs::write(&file, content).unwrap();
            let place = Place { file: &file, start: 0, length: 8192, guid: [0; 16] };
            assert!(check(&place, 1).unwrap_err().is::<InputError>());
        }
    }
}
