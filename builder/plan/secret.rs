//! The secrets of one service: what its `service.toml` lists in, what this box needs of it and in which files out.
//! No value of a secret is known here.

use std::collections::BTreeMap;

use serde::Serialize;

use super::container::{ContainerPlan, SecretFile};
use super::service::Surroundings;
use crate::catalog::{BOX, SecretApply, SecretFormat, SecretSource, SecretWhen, Service};
use crate::profile::{Setting, VpnType};

/// One secret that a service has on this box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretPlan {
    /// Its name in the service.
    pub name: String,
    /// Who makes it: `"owner"`, `"box"`, or `{ service = "sonarr/api-key" }`.
    pub from: SecretSource,
    /// Where it is placed on the box.
    pub path: String,
    /// What it is.
    pub about: String,
    /// Where one gets it.
    pub obtain: Option<String>,
    /// What it looks like.
    pub format: SecretFormat,
    /// Whether the service starts without it.
    pub optional: bool,
    /// Who may read the file on the box.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// How the service gets a new value.
    pub apply: SecretApply,
}

impl Surroundings<'_> {
    /// The names of the service's secrets that this box needs.
    pub(super) fn wanted_secrets(
        &self,
        service: &Service,
        settings: &BTreeMap<String, Setting>,
    ) -> Vec<String> {
        let vpn = self.profile.vpn.as_ref().map(|vpn| match vpn.kind {
            VpnType::Wireguard => "wireguard",
            VpnType::Openvpn => "openvpn",
        });
        let needed = |when: &SecretWhen| {
            let vpn_fits = when.vpn_type.as_deref().is_none_or(|kind| vpn == Some(kind));
            let set = |name: &String| {
                settings.get(name).is_some_and(|value| !matches!(value, Setting::Bool(false)))
            };
            let alert_fits = when.alert.is_none_or(|one| self.profile.alerts.to.contains(&one));
            let mail = self.profile.alerts.mail.as_ref();
            let mail_fits = !when.mail || mail.is_some_and(|server| server.user.is_some());
            vpn_fits && alert_fits && mail_fits && when.setting.as_ref().is_none_or(set)
        };
        let there = |source: &SecretSource| match source {
            SecretSource::Service(path) => {
                path.split_once('/').is_some_and(|(other, _)| other == BOX || self.has(other))
            }
            SecretSource::Owner | SecretSource::Box => true,
        };
        let secrets = service.secrets.iter();
        let wanted = secrets.filter(|(_, one)| one.when.as_ref().is_none_or(needed) && there(&one.from));
        wanted.map(|(name, _)| name.clone()).collect()
    }
}

/// The secret `name` of `service`, which is read by those of `containers` that list it.
pub(super) fn plan(service: &Service, name: &str, containers: &[ContainerPlan]) -> SecretPlan {
    let spec = service.secrets.get(name).cloned().unwrap_or_default();
    // One that starts as root can read whatever it is given; one that does not needs to own it.
    let mut readers = containers.iter().filter(|one| one.secrets.iter().any(|secret| secret == name));
    let reader = readers.clone().find(|one| one.user.is_some()).or_else(|| readers.next());
    SecretPlan {
        name: name.to_owned(),
        from: spec.from,
        path: format!("/run/boxwright/secrets/{}/{name}", service.name),
        about: spec.about,
        obtain: spec.obtain,
        format: spec.format,
        optional: spec.optional,
        uid: reader.map_or(0, |reader| reader.uid),
        gid: reader.map_or(0, |reader| reader.gid),
        apply: spec.apply,
    }
}

/// Gives every container the files that belong to its user, and returns all of them: a secret's file has its plain name
/// for the user who owns it, and ends in `.<uid>` for others.
pub(super) fn files(secrets: &[SecretPlan], containers: &mut [ContainerPlan]) -> Vec<SecretFile> {
    let mut all = Vec::new();
    for container in containers {
        for secret in secrets.iter().filter(|secret| container.secrets.contains(&secret.name)) {
            let other = container.uid != secret.uid;
            let add = |text: &str, mark: char| match other {
                true => format!("{text}{mark}{}", container.uid),
                false => text.to_owned(),
            };
            let (source, path) = (add(&secret.name, '-'), add(&secret.path, '.'));
            container.secret_files.push(SecretFile { source, path, name: secret.name.clone() });
        }
        all.extend(container.secret_files.iter().cloned());
    }
    all.sort();
    all.dedup();
    all
}
