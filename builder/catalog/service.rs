//! The types of a `service.toml`: what everything else must know of a service before its templates are rendered.
//!
//! In: nothing but TOML, through serde. Out: plain values. How the containers are run stands in the service's
//! `compose.yaml.tera`; what others decide on (profile checks, lock, networks, firewall, secrets, backup) stands here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container::Container;
use crate::profile::{Egress, Notifier, PortRange, Setting};

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
    /// It has a login, but the first visitor becomes its owner: it must not be open to everyone before that.
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

/// One secret of a service, placed as a file under `/run/boxwright/secrets/<service>/<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Secret {
    /// Who makes it.
    #[serde(default)]
    pub from: SecretSource,
    /// What it is; a line of the template of `secrets.toml`.
    pub about: String,
    /// Where one gets it; a line of the template of `secrets.toml`.
    pub obtain: Option<String>,
    /// What its value must look like.
    #[serde(default)]
    pub format: SecretFormat,
    /// Whether the service starts without it.
    #[serde(default)]
    pub optional: bool,
    /// When it is needed at all.
    #[serde(default)]
    pub when: Option<SecretWhen>,
    /// The containers that get it, under `/run/secrets/<name>`; all of the service's if empty.
    #[serde(default)]
    pub containers: Vec<String>,
}

/// Who makes a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// The owner, in `secrets.toml`.
    #[default]
    Owner,
    /// The box, on its first boot; it is kept on the state partition.
    Box,
    /// Another service's secret of that name (`sonarr/api-key`), where the profile has that service; or one of the box
    /// itself (`box/pushbullet`), where the profile calls for it: say so in `when`.
    Service(String),
}

/// What a secret's value looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretFormat {
    /// One line of text. Made by the box: 32 letters and digits.
    #[default]
    Text,
    /// 32 hexadecimal digits, as the *arr applications use for API keys.
    HexKey,
    /// The credential of a locally managed tunnel: its JSON file or its token; placed as the JSON file.
    TunnelCredential,
    /// A WireGuard key: 32 bytes in base64.
    WireguardKey,
}

/// A condition under which a secret is needed: every one that is written must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecretWhen {
    /// The profile's `[vpn] type` is this.
    pub vpn_type: Option<String>,
    /// The profile's `[alerts] to` has this.
    pub alert: Option<Notifier>,
    /// This setting of the service is given (and not false).
    pub setting: Option<String>,
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

/// What is backed up. Everything under `/srv/state/<service>/` that is named here, after the dumps were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Backup {
    /// Folders, relative to the service's state folder.
    #[serde(default)]
    pub paths: Vec<String>,
    /// What in them can be made again, relative to the service's state folder.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// SQLite databases (relative, `*` allowed) that are copied with SQLite's own backup, never as they lie there.
    #[serde(default)]
    pub sqlite: Vec<String>,
    /// Commands in containers whose output is what is backed up.
    #[serde(default)]
    pub dumps: Vec<Dump>,
    /// What runs before (maintenance mode on).
    pub before: Option<Exec>,
    /// What runs after, whatever happened (maintenance mode off).
    pub after: Option<Exec>,
}

/// A command whose output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dump {
    /// The container.
    pub container: String,
    /// The command, not interpreted by a shell.
    pub command: Vec<String>,
    /// The file that its output is written to.
    pub file: String,
}

/// A command in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Exec {
    /// The container.
    pub container: String,
    /// The user inside it, its own unless written.
    pub user: Option<String>,
    /// The command, not interpreted by a shell.
    pub command: Vec<String>,
}

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

fn no_egress() -> Vec<Egress> {
    vec![Egress::None]
}

fn http() -> String {
    "http".to_owned()
}

fn root_path() -> String {
    "/".to_owned()
}
