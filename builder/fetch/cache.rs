//! The content-addressed cache on the disk.
//!
//! `objects/ab/abcd…` is the file whose digest is `abcd…`; `partial/abcd…` is what came of it so far. Two builds may use
//! one cache: whoever writes a partial file holds a lock on it, and the other one waits and finds the object.

use std::fs::{self, File, TryLockError};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::atomic::same_file;
use crate::digest::{Hasher, Sha256};
use crate::{interrupt, usage};

/// How often a waiting build looks whether the other one has finished a file.
const POLL: Duration = Duration::from_millis(50);

/// The cache in one folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// A file under construction, locked against other builds, positioned at its end.
pub(super) struct Partial {
    pub file: File,
    /// How many bytes are there.
    pub length: u64,
    /// Has seen those bytes.
    pub hasher: Hasher,
    path: PathBuf,
    object: PathBuf,
}

impl Cache {
    /// The cache in the folder `root`, which is made if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        for folder in ["objects", "partial"] {
            let path = root.join(folder);
            fs::create_dir_all(&path)
                .with_context(|| format!("creating the cache folder {}", path.display()))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Where the file with this digest is or will be.
    pub fn object(&self, digest: &Sha256) -> PathBuf {
        let name = digest.to_string();
        self.root.join("objects").join(&name[..2]).join(name)
    }

    /// The file with this digest, if it is there and still has the digest: a disk may have lost what was written last.
    /// A file that has another content is removed. Whatever is found stays as long as this process runs.
    ///
    /// # Errors
    /// If the file cannot be read or removed.
    pub fn find(&self, digest: &Sha256) -> anyhow::Result<Option<PathBuf>> {
        let path = self.object(digest);
        usage::claim(&self.root, "objects", &digest.to_string())?;
        if !path.exists() {
            return Ok(None);
        }
        if Sha256::of_file(&path)? == *digest {
            return Ok(Some(path));
        }
        fs::remove_file(&path).with_context(|| format!("removing the damaged file {}", path.display()))?;
        Ok(None)
    }

    /// The partial file for this digest, locked; `None` if another build has finished the file meanwhile.
    pub(super) fn partial(&self, digest: &Sha256) -> anyhow::Result<Option<Partial>> {
        let object = self.object(digest);
        usage::claim(&self.root, "objects", &digest.to_string())?;
        let path = self.root.join("partial").join(digest.to_string());
        loop {
            interrupt::check()?;
            if object.exists() {
                return Ok(None);
            }
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .with_context(|| format!("creating {}", path.display()))?;
            match file.try_lock() {
                Ok(()) if !same_file(&file, &path) => {}
                Ok(()) => {
                    let mut hasher = Hasher::new();
                    let length = std::io::copy(&mut file, &mut hasher)
                        .with_context(|| format!("reading {}", path.display()))?;
                    return Ok(Some(Partial { file, length, hasher, path, object }));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", path.display()));
                }
            }
        }
    }
}

impl Partial {
    /// Adds `bytes` at the end.
    pub fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Starts again from nothing.
    pub fn restart(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.length = 0;
        self.hasher = Hasher::new();
        Ok(())
    }

    /// Gives the finished file its name and returns it. The caller has checked the digest.
    pub fn publish(self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = self.object.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        fs::rename(&self.path, &self.object).with_context(|| format!("renaming {}", self.path.display()))?;
        Ok(self.object)
    }

    /// Removes what is there, for a file that will not come.
    pub fn discard(self) {
        // A leftover is harmless: its digest is checked before it is ever used.
        drop(fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_only_under_its_own_digest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let digest = Sha256::of_bytes(b"content");
        assert_eq!(cache.find(&digest).unwrap(), None);
        let mut partial = cache.partial(&digest).unwrap().unwrap();
        partial.file.write_all(b"content").unwrap();
        let path = partial.publish().unwrap();
        assert_eq!(cache.find(&digest).unwrap(), Some(path.clone()));
        assert!(cache.partial(&digest).unwrap().is_none());
        fs::write(&path, b"damaged").unwrap();
        assert_eq!(cache.find(&digest).unwrap(), None);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_partial_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let digest = Sha256::of_bytes(b"content");
        cache.partial(&digest).unwrap().unwrap().file.write_all(b"cont").unwrap();
        let mut partial = cache.partial(&digest).unwrap().unwrap();
        assert_eq!(partial.length, 4);
        partial.append(b"ent").unwrap();
        assert_eq!(partial.hasher.clone().finish(), digest);
        partial.restart().unwrap();
        assert_eq!(fs::metadata(&partial.path).unwrap().len(), 0);
    }

    #[test]
    fn the_second_build_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let digest = Sha256::of_bytes(b"content");
        let partial = cache.partial(&digest).unwrap().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| cache.partial(&digest).unwrap().is_none());
            std::thread::sleep(POLL * 3);
            assert!(!waiting.is_finished());
            (&partial.file).write_all(b"content").unwrap();
            partial.publish().unwrap();
            assert!(waiting.join().unwrap());
        });
    }
}
