//! What of a service is backed up, as its `service.toml` says it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// The command that reads such a file from its standard input and makes the database what it was: all of it or nothing.
    pub load: Vec<String>,
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
