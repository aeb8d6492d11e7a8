//! What the owner of a service should hear of or must accept, as its `service.toml` says it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that its owner should hear of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Advice {
    /// Its stable name; what `accept` takes to say that its owner knows.
    pub code: String,
    /// How loud it is.
    pub level: Level,
    /// When it applies.
    #[serde(default)]
    pub when: When,
    /// What is the matter, one sentence without a full stop.
    pub message: String,
    /// What to write instead, or to do.
    pub help: Option<String>,
}

/// How loud an advice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// An error, whatever is accepted.
    Error,
    /// An error until the line's `accept` names it.
    Accept,
    /// A warning until the line's `accept` names it.
    Warning,
    /// A note.
    Note,
}

/// When an advice applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Whenever the service is in the profile.
    #[default]
    Always,
    /// It has an `at`.
    Published,
    /// It has an `at` that Access guards.
    Guarded,
    /// It has an `at` and is `for = "everyone"`.
    Everyone,
    /// It has an `at` and not `lan = true`.
    PublishedWithoutLan,
    /// `lan = true`.
    Lan,
    /// Its egress is not the VPN.
    WithoutVpn,
    /// It works on no data disk.
    WithoutDisk,
}
