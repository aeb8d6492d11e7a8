//! The disk of a virtual box: a copy of an image that may be written to.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::SeekFrom as Seek;

use crate::disk::{self, Role};

/// A disk and the variables of the firmware, in a folder of their own. They keep what the box writes.
#[derive(Debug, Clone)]
pub struct BoxDisk {
    /// The disk's content.
    pub path: PathBuf,
    /// The folder, for the firmware's variables.
    pub folder: PathBuf,
}

impl BoxDisk {
    /// Copies `image` to `folder`, as the beginning of a disk of `bytes`.
    ///
    /// # Errors
    /// If the image is none, or cannot be copied.
    pub fn create(image: &Path, folder: &Path, bytes: u64) -> Result<Self> {
        let layout = disk::read(image)?.layout;
        let path = folder.join("disk.raw");
        copy_sparse(image, &path).with_context(|| format!("copying {}", image.display()))?;
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        file.set_len(bytes.max(layout.total_bytes))
            .with_context(|| format!("enlarging {}", path.display()))?;
        Ok(Self { path, folder: folder.to_owned() })
    }

    /// Writes `bundle` to the secrets partition.
    ///
    /// # Errors
    /// If the image has none, or it is too small.
    pub fn write_secrets(&self, bundle: &[u8]) -> Result<()> {
        let layout = disk::read(&self.path)?.layout;
        let partition = layout.find(Role::Secrets).context("the image has no secrets partition")?;
        if bundle.len() as u64 > partition.length {
            bail!("the secrets take {} bytes, and the partition has {}", bundle.len(), partition.length);
        }
        let context = || format!("writing {}", self.path.display());
        let file = OpenOptions::new().write(true).open(&self.path).with_context(context)?;
        file.write_all_at(bundle, partition.start).with_context(context)
    }
}

/// Copies the data of `from` to the new file `to`, and leaves holes where it has holes.
///
/// # Errors
/// Any error of the filesystem.
pub fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create_new(to)?;
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut position = 0;
    while position < length {
        let start = match rustix::fs::seek(&source, Seek::Data(position)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(&source, Seek::Hole(start))?;
        source.seek(SeekFrom::Start(start))?;
        target.seek(SeekFrom::Start(start))?;
        io::copy(&mut io::Read::take(&mut source, end - start), &mut target)?;
        position = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        let file = File::create_new(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(&[7; 5000], 20 << 20).unwrap();
        copy_sparse(&from, &to).unwrap();
        assert_eq!(std::fs::read(&from).unwrap(), std::fs::read(&to).unwrap());
        assert!(std::fs::metadata(&to).unwrap().blocks() * 512 < 1 << 20);
    }
}
