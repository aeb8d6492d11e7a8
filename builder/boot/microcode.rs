//! Processor microcode: folders of the tools go in; the uncompressed archive at the front of the initrd comes out.
//!
//! The kernel looks for it there before anything else runs (its documentation, arch/x86/microcode.rst). Each file in there
//! is what a vendor's files are when they are put together, for every processor, not the one that builds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use cpio::newc;

use crate::digest::Sha256;
use crate::firmware::Platform;
use crate::tools::Tools;

/// A regular file that everyone may read, as cpio(5) writes it.
const MODE: u32 = 0o100_644;

/// The archive with the microcode that `platform` names, empty if it names none; every time in it is `time`.
///
/// # Errors
/// If the tools lack a folder, or it has no file.
pub(super) fn archive(platform: &Platform, tools: &Tools, time: i64) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    if platform.microcode.is_empty() {
        return Ok(archive);
    }
    for (number, (path, folder)) in (1..).zip(&platform.microcode) {
        let bytes = together(&tools.path(folder)?)?;
        let size = u32::try_from(bytes.len()).with_context(|| format!("{folder} is too large"))?;
        let builder = newc::Builder::new(path).ino(number).nlink(1).mode(MODE).mtime(u32::try_from(time)?);
        let mut file = builder.write(&mut archive, size);
        std::io::Write::write_all(&mut file, &bytes)
            .and_then(|()| file.finish())
            .context("packing microcode")?;
    }
    newc::trailer(&mut archive).context("packing microcode")?;
    // What follows begins at a multiple of four bytes, whatever it is.
    archive.resize(archive.len().next_multiple_of(4), 0);
    Ok(archive)
}

/// The files of `folder` one after the other, sorted by name, equal ones once: vendors repeat a file for each of the
/// processors that it fits.
fn together(folder: &Path) -> Result<Vec<u8>> {
    let context = || format!("reading {}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut bytes, mut seen) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let file = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        if seen.insert(Sha256::of_bytes(&file)) {
            bytes.extend(file);
        }
    }
    ensure!(!bytes.is_empty(), "{} has no microcode", folder.display());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_files_are_taken_once_in_the_order_of_names() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("b", "two"), ("a", "one"), ("c", "one"), ("d", "three")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(together(folder.path()).unwrap(), b"onetwothree");
        fs::create_dir(folder.path().join("empty")).unwrap();
        assert!(together(&folder.path().join("empty")).is_err());
    }
}
