//! From a profile's path to what the building verbs work on: the checked profile with its plan.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::Session;
use super::output::{self, Rejected};
use crate::build::locking::Subject;
use crate::check::CheckedProfile;
use crate::context::Context;
use crate::lock::{Lock, stale};
use crate::plan::Plan;
use crate::secrets::{self, Secrets};

/// A profile that can be built.
pub(super) struct Owned {
    /// The profile.
    pub(super) checked: CheckedProfile,
    /// Its services.
    pub(super) plan: Plan,
    path: PathBuf,
    now: i64,
}

impl Owned {
    fn new(checked: CheckedProfile, path: PathBuf) -> anyhow::Result<Self> {
        let plan = Plan::new(&checked, checked.catalog())?;
        Ok(Self { checked, plan, path, now: i64::try_from(now()).unwrap_or(i64::MAX) })
    }

    /// The surroundings of a run about this profile: where no flag names a mirror, the profile's is asked.
    pub(super) fn context(&self, session: &Session) -> anyhow::Result<Context> {
        let mut context = session.context(&self.path)?;
        let profile = self.checked.profile();
        context.mirror = context.mirror.or_else(|| profile.machine.mirror.clone());
        // `--registry-mirror` has become the profile's when that was read.
        context.registry_mirror.clone_from(&profile.images.mirror);
        Ok(context)
    }

    pub(super) fn borrow(&self) -> Subject<'_> {
        Subject { checked: &self.checked, plan: &self.plan, path: &self.path, now: self.now }
    }
}

impl Session {
    /// The checked profile at `path` with its plan; findings are shown.
    ///
    /// # Errors
    /// [`Rejected`] if the profile is wrong.
    pub(super) fn subject(&self, path: &Path) -> anyhow::Result<Owned> {
        let path = self.find(path);
        Owned::new(self.checked(&path)?, path)
    }

    /// As [`Session::subject`], and warnings are shown only along with errors.
    ///
    /// # Errors
    /// As for [`Session::subject`].
    pub(super) fn subject_quietly(&self, path: &Path) -> anyhow::Result<Owned> {
        let path = self.find(path);
        Owned::new(self.checked_quietly(&path)?, path)
    }

    /// The secrets in the file `path`, encrypted or not; findings are shown.
    ///
    /// # Errors
    /// [`Rejected`] if the file is wrong for this profile.
    pub(super) fn secrets(&self, path: &Path, checked: &CheckedProfile) -> anyhow::Result<Secrets> {
        match secrets::load(path, checked, checked.catalog(), &self.opener()?) {
            Ok(secrets) => {
                output::findings(secrets.findings(), self.ui.colour());
                Ok(secrets)
            }
            Err(findings) => {
                output::findings(&findings, self.ui.colour());
                Err(Rejected.into())
            }
        }
    }

    /// Tells that a lock is old: what is built from it lacks the patches since.
    pub(super) fn warn_if_stale(&self, lock: &Lock, subject: &Owned) {
        if let Some(warning) = stale::warning(lock, subject.now) {
            self.ui.warn(format!("{}: {warning}", subject.borrow().lock_path().display()));
        }
    }
}

/// Seconds since 1970. It decides whether signed indexes are still valid and whether a lock is old, and which of two signed
/// files with secrets, and of two disks of a box, is the later one. It reaches no image but through a lock, which has the day on
/// which each container image was resolved, and what is handed to one box.
#[allow(clippy::disallowed_methods, reason = "the only place where what is made asks the clock")]
pub(super) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
