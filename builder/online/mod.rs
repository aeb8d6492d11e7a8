//! Tries secrets where they belong, before the disk that gets them leaves the house.
//!
//! In: a checked profile, its secrets, and where the outside is. Out: a [`Trial`] for each secret: it works, it does not, or
//! it was not tried and why. Nothing is tried that others would notice: no tunnel is joined, no message sent, no sign of life
//! given. A probe in a bucket is the only thing that is written anywhere. No value reaches a message.

mod bucket;
mod http;
mod mail;
mod push;
mod repository;
mod tunnel;
mod wireguard;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::{Serialize, Serializer};

use crate::catalog::Role;
use crate::check::CheckedProfile;
use crate::profile::{BackupPlace, BackupTarget};
use crate::secrets::{Id, Need, Needs, Secrets, Shape, Value};
use crate::ui::Ui;

pub use tunnel::token_of_login;
use wireguard::Tunnel;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the outside is.
#[derive(Debug, Clone)]
pub struct Places {
    /// Cloudflare's API.
    pub cloudflare: String,
    /// Pushbullet's API.
    pub pushbullet: String,
    /// Certificates (DER) to trust in place of the usual authorities'; none for these.
    pub authorities: Vec<Vec<u8>>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            cloudflare: "https://api.cloudflare.com/client/v4".into(),
            pushbullet: "https://api.pushbullet.com/v2".into(),
            authorities: Vec::new(),
        }
    }
}

/// What came of trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Outcome {
    /// It works.
    Works {
        /// What was seen.
        message: String,
    },
    /// It does not.
    Failed {
        /// What was seen.
        message: String,
        /// What to do.
        help: String,
    },
    /// It was not tried, or nothing could be told.
    Untried {
        /// Why.
        message: String,
    },
}

impl Outcome {
    fn works(message: impl Into<String>) -> Self {
        Self::Works { message: message.into() }
    }

    fn failed(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), help: help.into() }
    }

    fn untried(message: impl Into<String>) -> Self {
        Self::Untried { message: message.into() }
    }

    fn texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::Works { message } | Self::Untried { message } => vec![message],
            Self::Failed { message, help } => vec![message, help],
        }
    }
}

/// One secret, or some that go together, and what came of trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// The secrets.
    #[serde(serialize_with = "names")]
    pub secrets: Vec<Id>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

fn names<S: Serializer>(secrets: &[Id], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(secrets.iter().map(ToString::to_string))
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.secrets.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        match &self.outcome {
            Outcome::Works { message } => writeln!(f, "works      {names}: {message}"),
            Outcome::Failed { message, help } => {
                writeln!(f, "fails      {names}: {message}\n           {help}")
            }
            Outcome::Untried { message } => writeln!(f, "not tried  {names}: {message}"),
        }
    }
}

/// Whose secrets are tried.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The profile.
    pub checked: &'a CheckedProfile,
    /// What its box needs.
    pub needs: &'a Needs,
    /// What there is.
    pub secrets: &'a Secrets,
}

impl Subject<'_> {
    /// Tries every secret that is there. `token` is one of Cloudflare's API, where the owner has one at hand.
    ///
    /// # Errors
    /// After Ctrl-C. What does not work is in the result.
    pub fn trials(&self, places: &Places, token: Option<&Value>, ui: &Ui) -> Result<Vec<Trial>> {
        let mut trials = Vec::new();
        let mut add = |name: String, secrets: Vec<Id>, of: &dyn Fn() -> Outcome| -> Result<()> {
            crate::interrupt::check()?;
            if secrets.iter().all(|id| self.secrets.value(id).is_some()) {
                let step = ui.step(format!("trying {name}"));
                let outcome = self.guarded(of());
                step.done("");
                trials.push(Trial { secrets, outcome });
            }
            Ok(())
        };
        for (id, _) in self.tunnels() {
            add(id.to_string(), vec![id.clone()], &|| tunnel::tried(self.text(id), token, places))?;
        }
        let own = |name: &str| Id::new("box", name);
        for (name, target) in self.targets() {
            let keys = ["key-id", "secret-key"].map(|key| own(&format!("backup-{name}-{key}")));
            let password = own("backup-password");
            if let Some((title, mut secrets, why)) = untried(&name, target) {
                secrets.push(password);
                add(title, secrets, &|| Outcome::untried(why.clone()))?;
                continue;
            }
            let bucket = || bucket::Bucket::new(target, [self.text(&keys[0]), self.text(&keys[1])], places);
            add(format!("the bucket {name}"), keys.to_vec(), &|| {
                bucket().map_or_else(|why| why, |one| one.tried())
            })?;
            if keys.iter().all(|id| self.secrets.value(id).is_some()) {
                let tried =
                    || bucket().map_or_else(|why| why, |one| repository::tried(&one, self.text(&password)));
                add(format!("the repository in {name}"), vec![password.clone()], &tried)?;
            }
        }
        if let Some(mail) = &self.checked.profile().alerts.mail {
            let password = own("mail-password");
            add(mail.host.clone(), vec![password.clone()], &|| {
                mail::tried(mail, self.text(&password), places)
            })?;
        }
        if let Some((ids, tunnel)) = self.vpn() {
            add(tunnel.endpoint.to_string(), ids, &|| wireguard::tried(&tunnel))?;
        }
        let pushbullet = own("pushbullet");
        add("Pushbullet".into(), vec![pushbullet.clone()], &|| push::tried(self.text(&pushbullet), places))?;
        let tried: BTreeSet<Id> = trials.iter().flat_map(|trial| trial.secrets.clone()).collect();
        for (id, need) in self.needs.owner.iter().filter(|(id, _)| !tried.contains(id)) {
            if self.secrets.value(id).is_some() {
                trials
                    .push(Trial { secrets: vec![id.clone()], outcome: Outcome::untried(self.reason(need)) });
            }
        }
        Ok(trials)
    }

    fn text(&self, id: &Id) -> &str {
        self.secrets.value(id).map(Value::reveal).unwrap_or_default()
    }

    fn tunnels(&self) -> impl Iterator<Item = (&Id, &Need)> {
        self.needs.owner.iter().filter(|(_, need)| matches!(need.shape, Shape::Tunnel(_)))
    }

    fn targets(&self) -> Vec<(String, &BackupTarget)> {
        let backup = self.checked.profile().backup.as_ref();
        backup.map(|backup| backup.target_names().into_iter().zip(&backup.to).collect()).unwrap_or_default()
    }

    /// The VPN's server, if the profile names it, and the keys for it: of the two that the VPN's service has, the one that it
    /// needs is the private key.
    fn vpn(&self) -> Option<(Vec<Id>, Tunnel<'_>)> {
        let profile = self.checked.profile().vpn.as_ref()?;
        let (endpoint, public_key) = (profile.endpoint?, profile.public_key.as_deref()?);
        let service = self.checked.catalog().with_role(Role::Vpn)?;
        let keys = |optional: bool| {
            self.needs.owner.iter().find_map(|(id, need)| {
                let is_key = need.shape == Shape::WireguardKey && id.section == service.name;
                (is_key && need.optional() == optional).then_some(id)
            })
        };
        let private = keys(false)?;
        let preshared = keys(true).filter(|id| self.secrets.value(id).is_some());
        let ids = [Some(private), preshared].into_iter().flatten().cloned().collect();
        let preshared_key = preshared.map(|id| self.text(id));
        Some((ids, Tunnel { endpoint, public_key, private_key: self.text(private), preshared_key }))
    }

    /// Why a secret is not tried at all.
    fn reason(&self, need: &Need) -> String {
        let name = need.id.name.as_str();
        let vpn = self.checked.catalog().with_role(Role::Vpn).is_some_and(|vpn| vpn.name == need.id.section);
        let why = match name {
            _ if vpn && need.shape == Shape::WireguardKey => {
                "which server the VPN takes is in the list of the container alone; the box tells in `box status` whether \
                 the tunnel stands. A server that [vpn] names itself (provider = \"custom\") is tried"
            }
            _ if vpn => "only the tunnel tells; the box says in `box status` whether it stands",
            "heartbeat" => "a call would tell whoever listens that the box is alive",
            "ntfy-topic" => {
                "only a message would tell; subscribe to the topic, and the box's first one shows it"
            }
            "pro-token" => "trying it would take one of the machines of the subscription",
            _ if name.starts_with("disk-") => "the share is mounted by the box",
            _ => "only the program that uses it can tell",
        };
        why.to_owned()
    }

    /// What a server says may repeat what it was sent.
    fn guarded(&self, mut outcome: Outcome) -> Outcome {
        let scanner = self.secrets.scanner();
        for text in outcome.texts() {
            if scanner.finds(text.as_bytes()) {
                *text = "the answer repeats the secret, so it is not shown".to_owned();
            }
        }
        outcome
    }
}

/// What a target is called, the keys to it, and why it is not tried; none for a bucket.
fn untried(name: &str, target: &BackupTarget) -> Option<(String, Vec<Id>, String)> {
    match target.place()? {
        BackupPlace::Bucket(_) => None,
        BackupPlace::Disk(_) => {
            let why = format!("the repository is on the disk `{name}`, which only the box reaches");
            Some((format!("the disk {name}"), Vec::new(), why))
        }
        BackupPlace::Sftp(host) => {
            let why = format!(
                "the repository is at {host}, and Boxwright speaks no SFTP: `sftp -i KEYFILE` tells whether the account takes \
                 the key, and the box's first backup the rest"
            );
            let key = Id::new("box", format!("backup-{name}-private-key"));
            Some((format!("the server {name}"), vec![key], why))
        }
    }
}
