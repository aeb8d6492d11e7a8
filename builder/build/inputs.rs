//! What a build is made from, as digests: the comparison that decides what must be made again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::digest::{Hasher, Sha256};

/// The sources of the program that make the base layer and the tools tree.
pub const SOURCES_BASE: &str = env!("BOXWRIGHT_SOURCES_BASE");
/// All sources of the program.
pub const SOURCES_ALL: &str = env!("BOXWRIGHT_SOURCES_ALL");

/// The digest of every file below `folder`: relative path, whether it may be executed, content. Sorted by path, so
/// that neither the order of directory entries nor any date matters.
///
/// # Errors
/// If a file cannot be read.
pub fn folder(folder: &Path) -> Result<Sha256> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let mut hasher = Hasher::new();
    for file in files {
        let name = file.strip_prefix(folder).unwrap_or(&file);
        let metadata = fs::symlink_metadata(&file).with_context(|| format!("reading {}", file.display()))?;
        let content = if metadata.is_symlink() {
            fs::read_link(&file).map(|target| target.into_os_string().into_encoded_bytes())
        } else {
            fs::read(&file)
        };
        let content = content.with_context(|| format!("reading {}", file.display()))?;
        let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0;
        hasher.field(&name.to_string_lossy(), &content).field("executable", &[u8::from(executable)]);
    }
    Ok(hasher.finish())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let kind = entry.file_type().with_context(|| format!("reading {}", entry.path().display()))?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_contents_and_modes_count_and_dates_do_not() {
        let [a, b] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let digest_of = |dir: &tempfile::TempDir| folder(dir.path()).unwrap();
        for dir in [&a, &b] {
            fs::create_dir(dir.path().join("sub")).unwrap();
            fs::write(dir.path().join("sub/file"), "text").unwrap();
        }
        assert_eq!(digest_of(&a), digest_of(&b));
        fs::rename(b.path().join("sub/file"), b.path().join("sub/other")).unwrap();
        assert_ne!(digest_of(&a), digest_of(&b));
        let before = digest_of(&a);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(a.path().join("sub/file"), mode).unwrap();
        assert_ne!(digest_of(&a), before);
    }
}
