//! Paths that are resolved as if a folder were the root.
//!
//! The kernel does it, so that neither `..` nor a symbolic link leads out of the folder.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Opens `path` below the folder `root`, which is `path` itself if that is empty. Nothing is created.
///
/// # Errors
/// Those of openat2(2), but for `EAGAIN` and `EINTR`.
pub fn open(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = flags | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            // A rename or a mount anywhere in the system, while a `..` was being followed, made the kernel unsure.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A folder with a file, a link to it by way of `..`, and one to the outside; and the folder itself, opened.
    fn folder() -> (tempfile::TempDir, OwnedFd) {
        let folder = tempfile::tempdir().unwrap();
        let below = |path: &str| folder.path().join(path);
        fs::create_dir(below("lib")).unwrap();
        fs::create_dir(below("lib64")).unwrap();
        fs::write(below("lib/loader"), "").unwrap();
        symlink("../lib/loader", below("lib64/loader")).unwrap();
        symlink("../../../../../../etc/passwd", below("lib64/outside")).unwrap();
        let root = rustix::fs::open(folder.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (folder, root)
    }

    #[test]
    fn links_stay_inside() {
        let (_folder, root) = folder();
        assert!(open(&root, Path::new("lib64/loader"), OFlags::PATH).is_ok());
        assert!(open(&root, Path::new(""), OFlags::PATH | OFlags::DIRECTORY).is_ok());
        assert_eq!(open(&root, Path::new("lib64/outside"), OFlags::PATH).unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn renames_elsewhere_are_no_failure() {
        let (_folder, root) = folder();
        let elsewhere = tempfile::tempdir().unwrap();
        let (here, there) = (elsewhere.path().join("here"), elsewhere.path().join("there"));
        fs::create_dir(&here).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    fs::rename(&here, &there).and_then(|()| fs::rename(&there, &here)).unwrap();
                }
            });
            let failed = (0..50_000).find_map(|_| open(&root, Path::new("lib64/loader"), OFlags::PATH).err());
            done.store(true, Ordering::Relaxed);
            assert_eq!(failed, None);
        });
    }
}
