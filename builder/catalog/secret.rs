//! The secrets of a service, as its `service.toml` lists them: who makes them, when they are needed, and how a new value
//! takes the place of an old one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::Notifier;

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
    /// Whether only the service's programs on the box (`seed`, `setup`, `report`) get it, and no container.
    #[serde(default)]
    pub host_only: bool,
    /// The containers that get it, under `/run/secrets/<name>`; all of the service's if empty.
    #[serde(default)]
    pub containers: Vec<String>,
    /// How the service gets a new value of a secret that the owner handed over.
    #[serde(default)]
    pub apply: SecretApply,
}

/// How a service that runs gets a new value of a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretApply {
    /// It is started again.
    #[default]
    Restart,
    /// Its `setup` hands it to the application, which goes on running.
    Setup,
    /// The application takes it when it starts for the first time, and never again: what the owner does instead, as the
    /// end of a sentence.
    FirstStart(String),
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
    /// The addresses that belong to a WireGuard key, with commas between them; none is in a network of the profile.
    WireguardAddresses,
}

/// A condition under which a secret is needed: every one that is written must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecretWhen {
    /// The profile's `[vpn] type` is this.
    pub vpn_type: Option<String>,
    /// The profile's `[alerts] to` has this.
    pub alert: Option<Notifier>,
    /// The profile's `[alerts] mail` has a user, whose password is `box/mail-password`.
    #[serde(default)]
    pub mail: bool,
    /// This setting of the service is given (and not false).
    pub setting: Option<String>,
}
