//! The types of a `service.toml`: what everything else must know of a service before its templates are rendered.
//!
//! In: nothing but TOML, through serde. Out: plain values. How the containers are run stands in the service's
//! `compose.yaml.tera`; what others decide on (profile checks, lock, networks, firewall, secrets, backup) stands here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::advice::Advice;
use super::backup::Backup;
use super::container::Container;
use super::exposure::{Exposure, Port};
use super::secret::Secret;
use crate::profile::{Egress, Setting};

/// One service: an application with all its containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// The version of this format: 1.
    pub schema: u32,
    /// The name of the service's folder; not written in the file.
    #[serde(skip_deserializing, default)]
    #[schemars(skip)]
    pub name: String,
    /// The name as people write it: `Nextcloud`.
    pub title: String,
    /// What it is for, in one line.
    pub about: String,
    /// Where its documentation is.
    pub website: Option<String>,
    /// What the rest of the box needs it for, if anything.
    pub role: Option<Role>,
    /// Whether its images are part of the disk image with `embed = "core"`: the way in, and what must be up before
    /// anything else can be pulled.
    #[serde(default)]
    pub core: bool,
    /// Former or other names that a profile may use, each with the sentence that the user is told.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// The containers by name; the name is also their host name. One of them carries the service's name.
    pub containers: BTreeMap<String, Container>,
    /// How people reach it. Without it, it has nothing to reach.
    pub exposure: Option<Exposure>,
    /// Ports other than the main one that the house's network may need.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Where its containers may connect to: the first is what it gets unless the profile says otherwise.
    #[serde(default = "no_egress")]
    pub egress: Vec<Egress>,
    /// Services that must be in the profile as well.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Services that it connects to where the profile has them; each pair gets a network of its own.
    #[serde(default)]
    pub talks_to: Vec<String>,
    /// Whether it works on a data disk of the profile.
    #[serde(default)]
    pub disk: Use,
    /// Whether it can use a graphics processor.
    #[serde(default)]
    pub gpu: Use,
    /// The secrets that it needs.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// What a profile's line can `set` for it.
    #[serde(default)]
    pub settings: BTreeMap<String, SettingSpec>,
    /// What is backed up, and how it is made consistent.
    #[serde(default)]
    pub backup: Backup,
    /// What its owner should hear of, or must acknowledge.
    #[serde(default)]
    pub findings: Vec<Advice>,
    /// Programs in the image of its main container, by absolute path, that the box itself runs: they are copied to
    /// `/var/lib/boxwright/bin/`, so that what they do does not depend on Docker.
    #[serde(default)]
    pub host_programs: Vec<String>,
    /// Whether a program `seed` of its folder runs on the box before its containers are started (each time, so it must
    /// be idempotent).
    #[serde(default)]
    pub seed: bool,
    /// Whether a program `setup` of its folder runs once its containers are healthy (each time, so it must be
    /// idempotent), for what an application offers only an API for.
    #[serde(default)]
    pub setup: bool,
    /// Whether a program `check` of its folder looks every half minute whether what runs is what the release says.
    #[serde(default)]
    pub check: bool,
    /// Whether it fills disks by itself: the box stops it while the state partition or a disk of its is nearly full, and
    /// starts it again when there is room.
    #[serde(default)]
    pub downloads: bool,
    /// Whether a program `report` of its folder is told every half minute how all services of the box do.
    #[serde(default)]
    pub report: bool,
    /// Whether a program `owned` of its folder tells whether the owner's account exists: until then, its host name
    /// answers 503.
    #[serde(default)]
    pub owned: bool,
    /// Whether a program `claim` of its folder ties the application to its owner's account elsewhere; for `box claim`.
    #[serde(default)]
    pub claim: bool,
    /// Whether a program `reset-login` of its folder gives an account a new password; for `box reset-login`.
    #[serde(default)]
    pub reset_login: bool,
    /// What to do about a lost password instead, where no program can.
    pub lost_login: Option<String>,
}

/// What the builder itself needs to find among the services; everything else about a service is its own affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Brings requests from outside to the services that have an `at`; it is on every box that has one.
    Ingress,
    /// Its network namespace is the way out of services whose egress is the VPN; it is on every box that has one.
    Vpn,
    /// Writes the backup; started by a timer, not at boot.
    Backup,
}

/// Whether a service uses something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// It has no use for it: naming one is a mistake.
    #[default]
    Never,
    /// It can.
    Optional,
    /// It is of no use without.
    Required,
}

/// Something that a profile's line can `set` for the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SettingSpec {
    /// What it does, in one line.
    pub about: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: SettingKind,
    /// Its value where the line does not set it.
    pub default: Option<Setting>,
    /// The only texts that it may hold.
    #[serde(default)]
    pub values: Vec<String>,
}

/// What a setting of a service holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SettingKind {
    /// A text.
    Text,
    /// true or false.
    Bool,
    /// A whole number.
    Integer,
    /// A list of texts.
    List,
}

impl SettingKind {
    /// Whether `value` is one of this kind.
    pub fn holds(self, value: &Setting) -> bool {
        matches!(
            (self, value),
            (Self::Text, Setting::Text(_))
                | (Self::Bool, Setting::Bool(_))
                | (Self::Integer, Setting::Integer(_))
                | (Self::List, Setting::List(_))
        )
    }
}

fn no_egress() -> Vec<Egress> {
    vec![Egress::None]
}
