//! The members of packages as files below a folder.
//!
//! A package and a folder go in. Every path is resolved as if that folder were the root. What is there
//! already is never replaced: the caller decides.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::debian::deb::{Member, MemberKind};
use crate::rooted;

/// A folder that packages are unpacked into.
#[derive(Debug)]
pub struct Target {
    root: OwnedFd,
    owners: Owners,
}

/// What becomes of the owners that a package names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Files get them. Only root can.
    Real,
    /// Every file belongs to who unpacks it, who can also read and write it and enter every folder.
    Ours,
}

/// What [`Target::place`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// There is a new file of this device and inode.
    New(u64, u64),
    /// There was a folder already, or an equal symbolic link.
    Same,
    /// There was something else, which was left alone.
    Taken,
}

impl Target {
    /// The folder `root`, which has to exist.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(root: &Path, owners: Owners) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())
            .with_context(|| format!("opening {}", root.display()))?;
        Ok(Self { root, owners })
    }

    /// What becomes of owners here.
    pub fn owners(&self) -> Owners {
        self.owners
    }

    /// Makes what `member` describes at `path`, with `content` if it is a regular file. Missing folders above it are
    /// made as root's. Times later than `newest` (seconds since 1970) become that.
    ///
    /// # Errors
    /// If the path leads through something that is no folder, a hard link's target is missing, or the disk is full.
    pub fn place(&self, member: &Member, path: &Path, content: &mut dyn Read, newest: i64) -> Result<Placed> {
        let Some(name) = path.file_name() else { return Ok(Placed::Same) };
        let folder = self.folder(path.parent().unwrap_or(Path::new("")))?;
        let made = match &member.kind {
            MemberKind::Dir => rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755)),
            MemberKind::File(_) => return self.place_file(member, path, content, newest),
            MemberKind::Symlink(target) => rustix::fs::symlinkat(target, &folder, name),
            MemberKind::Hardlink(target) => {
                let (source, source_name) = (self.folder(parent(target))?, target.file_name());
                let source_name = source_name.context("a hard link leads to the root")?;
                rustix::fs::linkat(&source, source_name, &folder, name, AtFlags::empty())
            }
        };
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) => return self.compare(member, path),
            Err(error) => return Err(error).context("creating it"),
        }
        match member.kind {
            MemberKind::Hardlink(_) => {}
            MemberKind::Dir => {
                self.describe_directory(member, path, newest)?;
            }
            _ => {
                if self.owners == Owners::Real {
                    let (user, group) = owner(member);
                    rustix::fs::chownat(&folder, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
                }
                rustix::fs::utimensat(&folder, name, &times(member, newest), AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
        let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Placed::New(stat.st_dev, stat.st_ino))
    }

    /// Gives the folder at `path` the mode, owner and time of `member`, and returns its device and inode.
    ///
    /// # Errors
    /// If it is missing.
    pub fn describe_directory(&self, member: &Member, path: &Path, newest: i64) -> Result<(u64, u64)> {
        let folder = rooted::open(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        self.describe(&folder, member, newest)?;
        let stat = rustix::fs::fstat(&folder)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Removes the file or link at `path`.
    ///
    /// # Errors
    /// If there is none.
    pub fn remove(&self, path: &Path) -> Result<()> {
        let name = path.file_name().context("the root cannot be removed")?;
        rustix::fs::unlinkat(self.folder(parent(path))?, name, AtFlags::empty())
            .with_context(|| format!("removing {}", path.display()))
    }

    fn place_file(
        &self,
        member: &Member,
        path: &Path,
        content: &mut dyn Read,
        newest: i64,
    ) -> Result<Placed> {
        let name = path.file_name().context("the root is no file")?;
        let folder = self.folder(parent(path))?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o600)) {
            Ok(file) => File::from(file),
            Err(Errno::EXIST) => return Ok(Placed::Taken),
            Err(error) => return Err(error).context("creating it"),
        };
        let mut buffer = vec![0; 1 << 17];
        loop {
            let count = content.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            io::Write::write_all(&mut &file, &buffer[..count])?;
        }
        let stat = file.metadata()?;
        self.describe(&file.into(), member, newest)?;
        Ok(Placed::New(stat.dev(), stat.ino()))
    }

    /// Owner, mode and time of an open file or folder; in this order, since a changed owner clears mode bits.
    fn describe(&self, file: &OwnedFd, member: &Member, newest: i64) -> Result<()> {
        let ours = match (self.owners, &member.kind) {
            (Owners::Real, _) => {
                let (user, group) = owner(member);
                rustix::fs::fchown(file, user, group)?;
                0
            }
            (Owners::Ours, MemberKind::Dir) => 0o700,
            (Owners::Ours, _) => 0o600,
        };
        rustix::fs::fchmod(file, Mode::from_raw_mode(member.mode | ours))?;
        rustix::fs::futimens(file, &times(member, newest))?;
        Ok(())
    }

    /// Tells an equal folder or link at `path` from anything else.
    fn compare(&self, member: &Member, path: &Path) -> Result<Placed> {
        let same = match &member.kind {
            MemberKind::Dir => match rooted::open(&self.root, path, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(_) => true,
                Err(error) if error == Errno::NOTDIR || error == Errno::NOENT => false,
                Err(error) => return Err(error).context("opening what is there already"),
            },
            MemberKind::Symlink(target) => {
                let name = path.file_name().context("the root is no link")?;
                let there = rustix::fs::readlinkat(self.folder(parent(path))?, name, Vec::new());
                there.is_ok_and(|there| there.as_bytes() == target.as_os_str().as_encoded_bytes())
            }
            _ => false,
        };
        Ok(if same { Placed::Same } else { Placed::Taken })
    }

    /// The folder at `path`, made if it is missing.
    fn folder(&self, path: &Path) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match rooted::open(&self.root, path, flags) {
            Err(Errno::NOENT) => {}
            other => return other.with_context(|| format!("opening the folder /{}", path.display())),
        }
        let name = path.file_name().context("the root is missing")?;
        let (above, mode) = (self.folder(parent(path))?, Mode::from_raw_mode(0o755));
        // The second call undoes what the umask does to the first.
        let made = rustix::fs::mkdirat(&above, name, mode)
            .and_then(|()| rustix::fs::chmodat(&above, name, mode, AtFlags::empty()));
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("creating the folder /{}", path.display()));
            }
        }
        rooted::open(&self.root, path, flags)
            .with_context(|| format!("opening the folder /{}", path.display()))
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn owner(member: &Member) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)))
}

fn times(member: &Member, newest: i64) -> Timestamps {
    let time = Timespec { tv_sec: member.mtime.min(newest), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// Calls `work` with every item on `jobs` threads, taking the items in their order, and returns the results in the
/// same order. After the first error no new item is begun, and that error is returned.
///
/// # Errors
/// The first error of `work` in the order of the items.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(run);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Fails if `placed` says that there was something else at `path`.
///
/// # Errors
/// If it does.
pub fn must_be_free(placed: Placed, path: &Path) -> Result<()> {
    match placed {
        Placed::Taken => bail!("there is something else at /{} already", path.display()),
        _ => Ok(()),
    }
}

/// The aliases of a merged `/usr`: these names at the root are links to `usr/<name>`.
pub const USR_ALIASES: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// Makes the aliases of a merged `/usr` and what they point to.
///
/// # Errors
/// If the folder cannot be written.
pub fn make_usr_aliases(root: &Path) -> Result<()> {
    for name in USR_ALIASES {
        let folder: PathBuf = root.join("usr").join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let link = root.join(name);
        std::os::unix::fs::symlink(Path::new("usr").join(name), &link)
            .with_context(|| format!("creating {}", link.display()))?;
    }
    Ok(())
}
