//! Results that are kept under the digest of their inputs.
//!
//! A stage makes a folder. It is made in a temporary folder beside its final place, under a lock that a second build
//! on the same cache waits for, and appears whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};

use crate::atomic::Removal;
use crate::context::Context;
use crate::digest::Sha256;
use crate::{atomic, interrupt, usage};

/// How often a waiting build looks whether the other one is done.
const PATIENCE: Duration = Duration::from_millis(100);

/// A folder in the cache: `CACHE/KIND/KEY/`.
#[derive(Debug, Clone)]
pub struct Stage {
    cache: PathBuf,
    kind: &'static str,
    folder: PathBuf,
    target: PathBuf,
}

impl Stage {
    /// The place for the result of `kind` that is made from the inputs digested in `key`.
    pub fn new(context: &Context, kind: &'static str, key: &Sha256) -> Self {
        let folder = context.cache.join(kind);
        let target = folder.join(key.to_string());
        Self { cache: context.cache.clone(), kind, folder, target }
    }

    /// The finished folder, if there is one. It stays as long as this process runs.
    pub fn ready(&self) -> Option<PathBuf> {
        // What cannot be claimed could be pruned meanwhile; the reason is told by `get`.
        (self.claim().is_ok() && self.target.is_dir()).then(|| self.target.clone())
    }

    fn claim(&self) -> Result<()> {
        let name = self.target.file_name().unwrap_or_default().to_string_lossy();
        usage::claim(&self.cache, self.kind, &name)
    }

    /// The finished folder; `make` fills it where it is missing. While another process makes it, this one waits.
    ///
    /// # Errors
    /// Those of `make`, and any of the cache's file system. Nothing half-made is kept.
    pub fn get(&self, context: &Context, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        self.get_opened(context, make, |folder| Ok(folder.to_owned())).map(|(folder, _)| folder)
    }

    /// What `open` reads from the finished folder, without waiting until what was left over is removed. A folder that it
    /// fails on is made again: its content may not have been on the disk yet when the power went.
    ///
    /// # Errors
    /// Those of [`Self::get`], and of `open` on what was made just now.
    pub fn get_opened<T>(
        &self,
        context: &Context,
        make: impl FnOnce(&Path) -> Result<()>,
        open: impl Fn(&Path) -> Result<T>,
    ) -> Result<(T, Removal)> {
        self.claim()?;
        if let Some(Ok(opened)) = self.ready().map(|ready| open(&ready)) {
            // One that was killed after it had published this may have left the rest.
            atomic::sweep(&self.folder);
            return Ok((opened, Removal::default()));
        }
        fs::create_dir_all(&self.folder).with_context(|| format!("creating {}", self.folder.display()))?;
        let _lock = self.lock(context)?;
        let temporary = atomic::Scratch::create(&self.folder)?;
        if let Some(ready) = self.ready() {
            match open(&ready) {
                Ok(opened) => return Ok((opened, Removal::default())),
                Err(error) => self.discard(&error, temporary.path(), context)?,
            }
        }
        let content = temporary.path().join("content");
        fs::create_dir(&content).with_context(|| format!("creating {}", content.display()))?;
        make(&content)?;
        interrupt::check()?;
        atomic::publish_dir(&content, &self.target)?;
        Ok((open(&self.target)?, temporary.remove_meanwhile()))
    }

    /// Moves the finished folder into `temporary`, since it cannot be used for the reason `error`.
    fn discard(&self, error: &anyhow::Error, temporary: &Path, context: &Context) -> Result<()> {
        interrupt::check()?;
        context.ui.note(format!("the {} in the cache is damaged, and is made again: {error:#}", self.kind));
        let moved = fs::rename(&self.target, temporary.join("damaged"));
        moved.with_context(|| format!("moving {} away", self.target.display()))
    }

    /// Waits for the right to make this result. The lock ends with the returned file, or with the process.
    fn lock(&self, context: &Context) -> Result<File> {
        let path = self.target.with_extension("lock");
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let mut told = false;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
            if !told {
                context.ui.note(format!("another build is making this {}; waiting for it", self.kind));
                told = true;
            }
            interrupt::check()?;
            std::thread::sleep(PATIENCE);
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failed_stage_leaves_nothing_and_the_next_run_works() {
        let cache = tempfile::tempdir().unwrap();
        let context = Context::of_cache(cache.path());
        let stage = Stage::new(&context, "layer", &Sha256::of_bytes(b"inputs"));
        let failed = stage.get(&context, |folder| {
            fs::write(folder.join("half"), "")?;
            bail!("no space")
        });
        assert!(failed.is_err() && stage.ready().is_none());
        let made = stage.get(&context, |folder| Ok(fs::write(folder.join("whole"), "")?)).unwrap();
        assert!(made.join("whole").exists() && !made.join("half").exists());
    }

    #[test]
    fn what_is_left_of_a_killed_run_is_gone_even_if_nothing_has_to_be_made() {
        let cache = tempfile::tempdir().unwrap();
        let context = Context::of_cache(cache.path());
        let stage = Stage::new(&context, "layer", &Sha256::of_bytes(b"inputs"));
        stage.get(&context, |_| Ok(())).unwrap();
        // As a run leaves it that is killed after its result has got its name.
        fs::create_dir(stage.folder.join(".unfinished-left")).unwrap();
        stage.get(&context, |_| bail!("it is there")).unwrap();
        assert_eq!(fs::read_dir(&stage.folder).unwrap().count(), 2, "the result and its lock");
    }

    #[test]
    fn what_cannot_be_opened_is_made_again_once() {
        let cache = tempfile::tempdir().unwrap();
        let context = Context::of_cache(cache.path());
        let stage = Stage::new(&context, "layer", &Sha256::of_bytes(b"inputs"));
        let made = AtomicUsize::new(0);
        let get = || {
            let make = |folder: &Path| {
                made.fetch_add(1, Ordering::SeqCst);
                Ok(fs::write(folder.join("content"), "whole")?)
            };
            let open = |folder: &Path| match fs::read_to_string(folder.join("content"))?.as_str() {
                "whole" => Ok(folder.to_owned()),
                _ => bail!("a part is lost"),
            };
            stage.get_opened(&context, make, open).map(|(folder, _)| folder)
        };
        let folder = get().unwrap();
        fs::write(folder.join("content"), "who").unwrap();
        assert_eq!((get().unwrap(), made.load(Ordering::SeqCst)), (folder.clone(), 2));
        assert_eq!((get().unwrap(), made.load(Ordering::SeqCst)), (folder, 2));
        assert_eq!(fs::read_dir(&stage.folder).unwrap().count(), 2, "the result and its lock");
    }

    #[test]
    fn two_builds_at_once_make_it_once() {
        let cache = tempfile::tempdir().unwrap();
        let context = Context::of_cache(cache.path());
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let stage = Stage::new(&context, "layer", &Sha256::of_bytes(b"inputs"));
                    let count = |_: &Path| {
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    };
                    stage.get(&context, count).unwrap();
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }
}
