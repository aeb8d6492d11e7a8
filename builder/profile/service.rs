//! One line of `[services]`: how a box uses a service of the catalog.
//!
//! The same few words mean the same for every service. What a service needs is in its `service.toml`, not here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ports::PortRange;
use super::values::OneOrMany;

/// How the box uses one service. All of it is optional: `sonarr = {}` runs Sonarr with no way in from outside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServiceUse {
    /// The name under the box's domain at which the service is reached through the tunnel: "requests" is
    /// requests.example.com. Without it, nothing outside reaches the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Who may come in through the tunnel: "admin" (the default) and "family" log in to Cloudflare Access first,
    /// "everyone" meets the application's own login.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    /// Whether devices at home reach the service directly: true opens the service's own ports, a list opens these.
    #[serde(skip_serializing_if = "LanAccess::is_closed")]
    pub lan: LanAccess,
    /// Ports that Cloudflare's edge, and nothing else, may reach: for what a tunnel cannot carry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edge: Vec<PortRange>,
    /// The disk or disks of `[disks]` that the service works on. Without the disk the service does not start.
    #[serde(skip_serializing_if = "no_names")]
    pub disk: OneOrMany,
    /// The way out: "direct", "vpn" (no other way at all), or "none". Without it, what the service needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// Whether the service gets the graphics processor.
    #[serde(skip_serializing_if = "is_false")]
    pub gpu: bool,
    /// Known drawbacks that the owner takes on, such as "video-over-cloudflare".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
    /// What in the house the service may reach: names from `[network.hosts]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<String>,
    /// The name under the box's domain of a page that everyone may see, where the service has one: "status".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// The most memory that the service may take, such as "2g".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Settings that the service declares in its service.toml.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Setting>,
    /// Further environment variables for the service's main container. Never a secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

impl ServiceUse {
    /// Who may come in through the tunnel, with the default filled in.
    pub fn audience(&self) -> Audience {
        self.audience.unwrap_or_default()
    }

    /// The names of the disks that the service works on.
    pub fn disks(&self) -> &[String] {
        self.disk.as_slice()
    }
}

/// Who may come in through the tunnel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// Those whom the Access application of `[cloudflare] admin` lets in.
    #[default]
    Admin,
    /// Those whom the Access application of `[cloudflare] family` lets in.
    Family,
    /// Everyone on the internet: the application's own login is what stands there.
    Everyone,
}

/// How a service leaves the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Egress {
    /// Over the box's own connection, but never into the house.
    Direct,
    /// Through the VPN of `[vpn]` and in no other way.
    Vpn,
    /// Not at all.
    None,
}

/// What devices at home reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LanAccess {
    /// `true`: the ports that the service declares for it; `false`: none.
    Open(bool),
    /// These ports.
    Ports(Vec<PortRange>),
}

impl LanAccess {
    /// Whether nothing is open.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Open(open) => !open,
            Self::Ports(ports) => ports.is_empty(),
        }
    }
}

impl Default for LanAccess {
    fn default() -> Self {
        Self::Open(false)
    }
}

/// The value of a setting that a service declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Setting {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

fn is_false(value: &bool) -> bool {
    !value
}

fn no_names(names: &OneOrMany) -> bool {
    names.as_slice().is_empty()
}
