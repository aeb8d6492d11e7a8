//! What of a cache is in use: each run writes down what it uses before it looks whether that is there.
//!
//! `CACHE/runs/` has a file for each run, locked as long as the run lives, with a line `KIND/NAME` for each entry that it
//! uses. Whoever removes entries holds `CACHE/runs/guard` alone meanwhile, and leaves alone what is in the list of a run
//! that lives. So an entry that was [claimed](claim) stays until the end of the process, whichever clock is wrong. The date
//! of an entry says when it was claimed last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, utimensat};

use crate::atomic::{self, AtomicFile};

/// The folder of a cache with the lists of all runs.
const FOLDER: &str = "runs";

/// The lists of this process, by the cache that each is about. They end with the process.
static RUNS: Mutex<BTreeMap<PathBuf, Run>> = Mutex::new(BTreeMap::new());

struct Run {
    list: AtomicFile,
    claimed: BTreeSet<String>,
}

/// Claims the entry `name` of `kind` in `cache` for the rest of this process, whether it is there already or not, and
/// dates it if it is. A cache that this user cannot write is not pruned by him either: there nothing is recorded.
///
/// # Errors
/// If the list of this run cannot be written, as on a full disk.
pub fn claim(cache: &Path, kind: &str, name: &str) -> Result<()> {
    let place = cache.join(kind);
    // The folder may be another cache's: then it is that one's entry.
    let root = fs::canonicalize(&place).ok().and_then(|place| Some(place.parent()?.to_owned()));
    let root = root.unwrap_or_else(|| cache.to_owned());
    match record(&root, format!("{kind}/{name}")) {
        Err(error) if !error.chain().any(is_read_only) => {
            return Err(error)
                .with_context(|| format!("noting what is used of the cache {}", root.display()));
        }
        _ => {}
    }
    date(&match kind {
        "objects" => place.join(name.get(..2).unwrap_or_default()).join(name),
        _ => place.join(name),
    });
    Ok(())
}

fn is_read_only(cause: &(dyn std::error::Error + 'static)) -> bool {
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem))
}

fn record(root: &Path, entry: String) -> Result<()> {
    let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = root.join(FOLDER);
    // A cache that was removed and made again meanwhile knows nothing of this run.
    let known = runs.get(root).is_some_and(|run| run.list.temporary_path().exists());
    if !known {
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let list = AtomicFile::create(&folder.join("run"))?;
        runs.insert(root.to_owned(), Run { list, claimed: BTreeSet::new() });
    }
    let Some(run) = runs.get_mut(root) else { return Ok(()) };
    if run.claimed.contains(&entry) {
        return Ok(());
    }
    let _guard = guard(root, FlockOperation::LockShared)?;
    run.list.write_all(format!("{entry}\n").as_bytes()).context("writing the list of this run")?;
    run.claimed.insert(entry);
    Ok(())
}

/// Sets the date of the file or folder at `path` to now. That it is not there or another user's is no matter.
fn date(path: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

fn guard(root: &Path, operation: FlockOperation) -> Result<File> {
    let path = root.join(FOLDER).join("guard");
    let context = || format!("locking {}", path.display());
    let file = File::options().write(true).create(true).truncate(false).open(&path).with_context(context)?;
    flock(&file, operation).with_context(context)?;
    Ok(file)
}

/// What all runs that live have claimed of a cache. As long as this value lives, nobody claims anything more.
#[derive(Debug)]
pub struct Claims {
    entries: BTreeSet<String>,
    _guard: File,
}

impl Claims {
    /// Waits for runs that are just claiming something, and keeps others from it.
    ///
    /// # Errors
    /// If the cache cannot be written, or its filesystem has no locks.
    pub fn freeze(cache: &Path) -> Result<Self> {
        // As those see it who claim.
        let cache = &fs::canonicalize(cache).with_context(|| format!("finding {}", cache.display()))?;
        let folder = cache.join(FOLDER);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let guard = guard(cache, FlockOperation::LockExclusive)?;
        atomic::sweep(&folder);
        let mut entries = BTreeSet::new();
        for file in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = file.with_context(|| format!("reading {}", folder.display()))?.path();
            match fs::read_to_string(&path) {
                Ok(text) => entries.extend(text.lines().map(str::to_owned)),
                // Its run has ended since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
            }
        }
        Ok(Self { entries, _guard: guard })
    }

    /// Whether a run uses the entry `name` of `kind`.
    pub fn holds(&self, kind: &str, name: &str) -> bool {
        self.entries.contains(&format!("{kind}/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_claimed_is_held_and_dated_also_through_a_link() {
        let [cache, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let kind = cache.path().join("base");
        fs::create_dir_all(kind.join("a")).unwrap();
        std::os::unix::fs::symlink(&kind, other.path().join("base")).unwrap();
        let old = File::open(kind.join("a")).unwrap();
        old.set_modified(std::time::UNIX_EPOCH).unwrap();
        claim(cache.path(), "base", "a").unwrap();
        assert_ne!(old.metadata().unwrap().modified().unwrap(), std::time::UNIX_EPOCH);
        claim(other.path(), "base", "b").unwrap();
        let claims = Claims::freeze(cache.path()).unwrap();
        assert!(claims.holds("base", "a") && claims.holds("base", "b"));
        assert!(!claims.holds("base", "c") && !claims.holds("profile", "a"));
    }

    #[test]
    fn nobody_claims_while_claims_are_frozen() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir_all(cache.path().join("base")).unwrap();
        let claims = Claims::freeze(cache.path()).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| claim(cache.path(), "base", "a"));
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(!waiting.is_finished());
            drop(claims);
            waiting.join().unwrap().unwrap();
        });
        assert!(Claims::freeze(cache.path()).unwrap().holds("base", "a"));
    }

    #[test]
    fn the_list_of_a_killed_run_holds_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let runs = cache.path().join(FOLDER);
        fs::create_dir_all(&runs).unwrap();
        fs::write(runs.join(".unfinished-killed"), "base/a\n").unwrap();
        assert!(!Claims::freeze(cache.path()).unwrap().holds("base", "a"));
    }
}
