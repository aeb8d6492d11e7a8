//! Foreign packages: whatever a .deb file holds, it is unpacked as it says, below its root, or refused.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use boxwright::debian::deb::{Deb, MemberKind};
use boxwright::debian::unpack::{Owners, Placed, Target};
use proptest::prelude::*;

/// What the generated packages are made of.
#[derive(Debug, Clone)]
enum Thing {
    Dir,
    File(Vec<u8>),
    Symlink(String),
}

/// A tar archive of `things`, written without the checks that a well-meaning writer has.
fn tar_of(things: &[(String, u32, Thing)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode, thing) in things {
        let mut header = tar::Header::new_gnu();
        let (kind, content) = match thing {
            Thing::Dir => (tar::EntryType::Directory, &[][..]),
            Thing::File(content) => (tar::EntryType::Regular, content.as_slice()),
            Thing::Symlink(target) => {
                header.set_link_name_literal(target).unwrap();
                (tar::EntryType::Symlink, &[][..])
            }
        };
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A package with these members in its data archive.
fn package(things: &[(String, u32, Thing)]) -> Vec<u8> {
    let control = [("./control".to_owned(), 0o644, Thing::File(b"Package: a\nVersion: 1\n".to_vec()))];
    let mut bytes = b"!<arch>\n".to_vec();
    let parts = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar_of(&control)),
        ("data.tar.gz", gzip(&tar_of(things))),
    ];
    for (name, content) in parts {
        writeln!(bytes, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, content.len()).unwrap();
        bytes.extend(&content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// Unpacks the package `bytes` into `root`.
fn unpack(bytes: &[u8], root: &Path) -> anyhow::Result<Vec<(PathBuf, Placed)>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(bytes)?;
    let (target, mut placed) = (Target::open(root, Owners::Ours)?, Vec::new());
    let deb = Deb::open(file.path())?;
    deb.control()?;
    deb.data(|member, content| {
        let path = member.path.clone();
        placed.push((path.clone(), target.place(&member, &path, content, 500_000_000)?));
        Ok(())
    })?;
    Ok(placed)
}

fn name() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[a-c]{1,2}(/[a-c]{1,2}){0,2}").unwrap()
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        Just(Thing::Dir),
        proptest::collection::vec(any::<u8>(), 0..600).prop_map(Thing::File),
        "(/|\\.\\./|\\.\\./\\.\\./\\.\\./\\.\\./)?[a-c]{1,2}".prop_map(Thing::Symlink),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Links that lead anywhere, and files below them, never reach anything beside the root.
    #[test]
    fn nothing_is_made_outside(things in proptest::collection::vec((name(), 0o400_u32..0o777, thing()), 0..20)) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("x/y/root");
        fs::create_dir_all(&root).unwrap();
        let placed = unpack(&package(&things), &root);
        let mut outside = vec![folder.path().to_owned(), folder.path().join("x"), folder.path().join("x/y")];
        for (place, child) in outside.drain(..).zip(["x", "y", "root"]) {
            let names: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            prop_assert_eq!(names, [child]);
        }
        let Ok(placed) = placed else { return Ok(()) };
        for ((path, placed), (_, mode, thing)) in placed.iter().zip(&things) {
            if !matches!(placed, Placed::New(..)) {
                continue;
            }
            // A link above it may have been made since, so it is looked for by its inode where it is plain.
            let place = root.join(path);
            let Ok(metadata) = fs::symlink_metadata(&place) else { continue };
            if *placed != Placed::New(metadata.dev(), metadata.ino()) {
                continue;
            }
            match thing {
                Thing::File(content) => {
                    prop_assert_eq!(&fs::read(&place).unwrap(), content);
                    prop_assert_eq!(metadata.permissions().mode() & 0o7777, mode | 0o600);
                    prop_assert_eq!(metadata.mtime(), 500_000_000);
                }
                Thing::Dir => prop_assert!(metadata.is_dir()),
                Thing::Symlink(target) => {
                    prop_assert_eq!(fs::read_link(&place).unwrap(), PathBuf::from(target));
                }
            }
        }
    }

    /// A package that was cut off or damaged is an error, not a panic, and never passes for a whole one.
    #[test]
    fn damaged_packages_are_refused(cut in 0_usize..2000, byte in any::<u8>(), at in 0_usize..2000) {
        let whole = package(&[("a".into(), 0o644, Thing::File(vec![7; 900])), ("b".into(), 0o755, Thing::Dir)]);
        let folder = tempfile::tempdir().unwrap();
        let cut = cut.min(whole.len() - 1);
        prop_assert!(unpack(&whole[..cut], folder.path()).is_err());
        let mut damaged = whole.clone();
        let at = at % whole.len();
        damaged[at] = byte;
        let other = tempfile::tempdir().unwrap();
        let _ = unpack(&damaged, other.path());
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["../a", "a/../../b", "./../c"] {
        let folder = tempfile::tempdir().unwrap();
        let error =
            unpack(&package(&[(path.into(), 0o644, Thing::File(vec![]))]), folder.path()).unwrap_err();
        assert!(format!("{error:#}").contains("leads out of the package"), "{error:#}");
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    let things = [
        ("link".to_owned(), 0o777, Thing::Symlink("../../etc".into())),
        ("link/passwd".to_owned(), 0o644, Thing::File(b"root".to_vec())),
    ];
    unpack(&package(&things), &root).unwrap();
    assert!(root.join("etc/passwd").exists() && !folder.path().join("etc/passwd").exists());
}

#[test]
fn control_files_and_members_come_in_order() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let things =
        [("./".to_owned(), 0o755, Thing::Dir), ("./usr/a".to_owned(), 0o644, Thing::File(b"text".to_vec()))];
    file.write_all(&package(&things)).unwrap();
    let deb = Deb::open(file.path()).unwrap();
    assert_eq!(deb.control().unwrap()["control"].content, b"Package: a\nVersion: 1\n");
    let mut seen = Vec::new();
    deb.data(|member, _| {
        seen.push((member.path.clone(), member.kind.clone()));
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, [(PathBuf::new(), MemberKind::Dir), (PathBuf::from("usr/a"), MemberKind::File(4))]);
}
