//! The nightly backup: which service's program writes it, where to, and with which secrets.

use std::collections::BTreeMap;

use serde::Serialize;

use super::service::ServicePlan;
use crate::catalog::Role;
use crate::profile::{BackupPlace, BackupTarget, Keep, Profile, TimeOfDay};

/// The backup as it will run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupPlan {
    /// The service whose folder has the program `repository`.
    pub service: String,
    /// The user that the program runs as.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When, every day.
    pub at: TimeOfDay,
    /// How many are kept.
    pub keep: Keep,
    /// Where to.
    pub targets: Vec<TargetPlan>,
}

/// One place for backups.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetPlan {
    /// What it is called on the box.
    pub name: String,
    /// What the profile says of it.
    #[serde(flatten)]
    pub target: BackupTarget,
    /// The files with the keys to it, by what they are.
    pub secrets: BTreeMap<&'static str, String>,
}

/// Plans the backup of `profile`, if it has one and a service that writes it.
pub(super) fn plan(profile: &Profile, services: &[ServicePlan]) -> Option<BackupPlan> {
    let backup = profile.backup.as_ref()?;
    let service = services.iter().find(|service| service.role == Some(Role::Backup))?;
    let container = service.containers.first()?;
    let targets = backup.target_names().into_iter().zip(&backup.to).map(|(name, target)| {
        let keys = target.place().map(BackupPlace::keys).unwrap_or_default();
        let secrets =
            keys.iter().map(|key| (*key, format!("/run/boxwright/secrets/box/backup-{name}-{key}")));
        TargetPlan { secrets: secrets.collect(), target: target.clone(), name }
    });
    Some(BackupPlan {
        service: service.name.clone(),
        uid: container.uid,
        gid: container.gid,
        at: backup.at,
        keep: backup.keep,
        targets: targets.collect(),
    })
}
