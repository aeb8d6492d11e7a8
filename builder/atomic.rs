//! Files and folders that appear whole or not at all.
//!
//! Everything is written beside its final place and renamed; what was not committed is removed when it is dropped. What
//! a killed process left is removed by the next one that makes something beside it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, IFlags, Mode, OFlags, flock, ioctl_getflags, ioctl_setflags};
use tempfile::{NamedTempFile, TempDir};

/// How the name of everything begins that is under construction. Whoever makes it holds a lock on it (flock(2)) until it
/// has its name, so that it can be told from what a killed process left.
const PREFIX: &str = ".unfinished-";

/// Replaces the file at `path` by `bytes`, durably: the data is on the disk before the name is.
///
/// # Errors
/// If the folder is missing or read-only, or the disk is full. The former file is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).with_context(|| format!("writing {}", path.display()))?;
    file.commit()
}

/// A file under construction; it gets its name with [`AtomicFile::commit`] and is removed if that is never called.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts a file that will replace `path`. Its mode will be 0644.
    ///
    /// # Errors
    /// If the folder of `path` does not exist or cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        sweep(folder);
        loop {
            let temporary = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
                .tempfile_in(folder)
                .with_context(|| format!("creating a file in {}", folder.display()))?;
            if hold(temporary.as_file(), temporary.path()) {
                return Ok(Self { temporary, path: path.to_owned() });
            }
        }
    }

    /// Keeps the file from everybody but its owner, from now on and under its name.
    ///
    /// # Errors
    /// If the filesystem refuses.
    pub fn keep_private(&self) -> Result<()> {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        let set = self.temporary.as_file().set_permissions(mode);
        set.with_context(|| format!("keeping {} from others", self.path.display()))
    }

    /// The open file, for seeking and for handing to a tool.
    pub fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Where the file is until it is committed.
    pub fn temporary_path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the file its name without waiting for the disk: for large files that can be made again.
    ///
    /// # Errors
    /// If the rename fails; nothing is left behind then.
    pub fn commit_unsynced(self) -> Result<()> {
        let Self { temporary, path } = self;
        temporary
            .persist(&path)
            .map_err(|error| error.error)
            .with_context(|| format!("replacing {}", path.display()))?;
        Ok(())
    }

    /// Makes the content durable and gives the file its name.
    ///
    /// # Errors
    /// If the data cannot be written back or the rename fails; nothing is left behind then.
    pub fn commit(self) -> Result<()> {
        self.temporary.as_file().sync_data().with_context(|| format!("writing {}", self.path.display()))?;
        self.commit_unsynced()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

/// A folder for what is under construction. It is removed with everything in it when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    /// Holds the lock.
    _open: File,
}

impl Scratch {
    /// Makes an empty folder in `parent`, and `parent` as well where it is missing.
    ///
    /// # Errors
    /// If `parent` cannot be made or written.
    pub fn create(parent: &Path) -> Result<Self> {
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        sweep(parent);
        spread(parent);
        let context = || format!("creating a folder in {}", parent.display());
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).with_context(context)?;
            let Ok(open) = File::open(folder.path()) else { continue };
            if hold(&open, folder.path()) {
                return Ok(Self { folder, _open: open });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes it while others go on.
    pub fn remove_meanwhile(self) -> Removal {
        Removal(Some(std::thread::spawn(move || drop(self))))
    }
}

/// What is being removed. Dropping this waits until it is gone.
#[derive(Debug, Default)]
pub struct Removal(Option<JoinHandle<()>>);

impl Drop for Removal {
    fn drop(&mut self) {
        // What a removal leaves behind, the next sweep takes.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

/// Tells the file system that the folders in `parent` are not related (chattr(1), attribute T). ext4 puts them into different
/// places then; in one place, each would look for room among the inodes of those that were just removed, which it leaves alone
/// for minutes: with those of a root filesystem, a build took 5 s longer.
fn spread(parent: &Path) {
    if let Ok(folder) = File::open(parent)
        && let Ok(flags) = ioctl_getflags(&folder)
        && !flags.contains(IFlags::TOPDIR)
    {
        // It is a hint; other file systems know no such thing.
        let _ = ioctl_setflags(&folder, flags | IFlags::TOPDIR);
    }
}

/// Locks what was just made at `path`; `false` if [`sweep`] of another process has taken it for a leftover meanwhile.
fn hold(file: &File, path: &Path) -> bool {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => same_file(file, path),
        Err(rustix::io::Errno::WOULDBLOCK) => false,
        // A filesystem without locks, on which nobody can sweep either.
        Err(_) => true,
    }
}

/// Whether `path` still names the opened `file`: another process may have renamed or removed it before a lock was ours.
pub fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(opened), Ok(named)) => (opened.dev(), opened.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Whether `name` is that of something under construction, or of what a killed process left of it.
pub fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// Removes what killed processes left under construction in `folder`. What cannot be removed is in nobody's way.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !is_unfinished(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::open(&path, flags, Mode::empty()) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            drop(if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) });
        }
    }
}

/// Gives the finished folder `temporary` its name `target`. Where another process was faster, its folder is kept:
/// both were made from the same inputs.
///
/// # Errors
/// If the rename fails for another reason than an existing `target`.
pub fn publish_dir(temporary: &Path, target: &Path) -> Result<()> {
    match fs::rename(temporary, target) {
        Ok(()) => Ok(()),
        Err(_) if target.is_dir() => {
            fs::remove_dir_all(temporary).with_context(|| format!("removing {}", temporary.display()))
        }
        Err(error) => {
            Err(error).with_context(|| format!("renaming {} to {}", temporary.display(), target.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_committed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_that_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let [file, tree] = ["a", "b"].map(|name| folder.path().join(format!("{PREFIX}{name}")));
        fs::write(&file, "half").unwrap();
        fs::create_dir_all(tree.join("folder/below")).unwrap();
        let others = folder.path().join(".other");
        fs::write(&others, "").unwrap();
        let used = AtomicFile::create(&folder.path().join("used")).unwrap();
        let scratch = Scratch::create(folder.path()).unwrap();
        write(&folder.path().join("file"), b"whole").unwrap();
        assert!(!file.exists() && !tree.exists());
        assert!(used.temporary_path().exists() && scratch.path().exists() && others.exists());
        used.commit().unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn the_first_of_two_published_folders_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, target] = ["first", "second", "target"].map(|name| folder.path().join(name));
        for (path, text) in [(&first, "1"), (&second, "2")] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("content"), text).unwrap();
        }
        publish_dir(&first, &target).unwrap();
        publish_dir(&second, &target).unwrap();
        assert_eq!(fs::read_to_string(target.join("content")).unwrap(), "1");
        assert!(!second.exists());
    }
}
