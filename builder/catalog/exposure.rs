//! How a service is reached, as its `service.toml` says it: the main port, who keeps strangers out, further ports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::PortRange;

/// How a service is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Exposure {
    /// The container that answers; the one with the service's name unless written.
    pub container: Option<String>,
    /// The port on which it answers.
    pub port: u16,
    /// `http` or `https`: what it speaks on that port.
    #[serde(default = "http")]
    pub scheme: String,
    /// Who keeps strangers out.
    pub login: Login,
    /// The account that the box makes for its owner on the first start; `box login SERVICE` tells it.
    pub owner: Option<OwnerAccount>,
    /// Whether people use it with programs (a TV, a phone's app, a sync client) that cannot pass Access.
    #[serde(default)]
    pub native_clients: bool,
    /// Whether `lan = true` makes sense for it.
    #[serde(default)]
    pub lan: bool,
    /// The part of it that a profile can publish for everyone, under a name of its own (`page = "status"`): a regular
    /// expression for cloudflared's `path`.
    pub page: Option<String>,
    /// A path that answers 2xx or 3xx to anyone once the service is up, for monitors.
    #[serde(default = "root_path")]
    pub probe: String,
    /// A word in that answer, if monitors should look for one.
    pub keyword: Option<String>,
}

/// The account of an application's owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OwnerAccount {
    /// The user name.
    pub user: String,
    /// The secret of this service that is the password.
    pub secret: String,
}

/// Who keeps strangers out of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Login {
    /// The application asks for a login from its first start: its owner's account is made by Boxwright.
    Own,
    /// It has a login, but the first visitor becomes its owner: until a program `owned` says that there is one, the tunnel
    /// answers 503 to everyone but admins.
    AfterSetup,
    /// It has none.
    None,
}

/// A port besides the main one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Port {
    /// The container that listens; the one with the service's name unless written.
    pub container: Option<String>,
    /// The port or ports: `"6881/tcp"`, `"32410-32414/udp"`.
    pub port: PortRange,
    /// What it is for, in a few words.
    pub about: String,
    /// Who may use it from outside the box.
    #[serde(default)]
    pub open: Open,
}

/// When a port is published on the box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Open {
    /// Never: other containers use it. It still must not clash inside a shared namespace.
    #[default]
    Never,
    /// Where the service has `lan = true`.
    Lan,
    /// Where the profile opens it for Cloudflare's address ranges (`edge`).
    Edge,
}

fn http() -> String {
    "http".to_owned()
}

fn root_path() -> String {
    "/".to_owned()
}
