//! The types of one container in a `service.toml`: its image, who it runs as, and what it is allowed and given.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Container {
    /// The image with its registry and a tag that does not move over major versions:
    /// `docker.io/library/nextcloud:34.0.4-apache`. The lock adds the digest.
    pub image: String,
    /// Where the image's major version is not what stands before the first dot of the tag: the part of the tag that
    /// must stay the same unless a release dumps the data first.
    pub series: Option<String>,
    /// Who its process is in the end: the owner of its state folders and its secrets.
    pub user: User,
    /// Whether it starts as root and becomes `user` by itself; otherwise it is started as `user`.
    #[serde(default)]
    pub starts_as_root: bool,
    /// What it keeps of Docker's capabilities; all others are dropped.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Whether its root filesystem is read-only.
    #[serde(default)]
    pub read_only: bool,
    /// Whether its processes can never gain privileges. Turn it off only where the image breaks.
    #[serde(default = "yes")]
    pub no_new_privileges: bool,
    /// Memory filesystems, as Compose writes them; `{uid}` and `{gid}` stand for the container's user:
    /// `/run:exec,uid={uid},gid={gid}`.
    #[serde(default)]
    pub tmpfs: Vec<String>,
    /// What it keeps or reads.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Devices of the host by a path that is the same on every machine.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Whether it rules Docker, and with it the whole box, through Docker's socket. A profile that has the service must
    /// acknowledge it (`accept = ["docker-socket"]`).
    #[serde(default)]
    pub docker_socket: bool,
    /// Whether it is the one that gets the graphics processor.
    #[serde(default)]
    pub gpu: bool,
    /// Whether it is the one that needs the service's way out.
    #[serde(default)]
    pub egress: bool,
    /// Which of the service's own networks it is on.
    #[serde(default)]
    pub networks: Networks,
    /// How one sees that it works: by the image's own check unless written.
    #[serde(default)]
    pub health: Health,
    /// The limits of what it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Whether a small init collects its dead processes.
    #[serde(default)]
    pub init: bool,
    /// Size of `/dev/shm`: `128m`.
    pub shm_size: Option<String>,
    /// How long it may take to stop.
    #[serde(default = "stop_default")]
    pub stop: String,
    /// Other containers of the service that must be healthy before it starts.
    #[serde(default)]
    pub after: Vec<String>,
}

/// Which of its service's networks a container is on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Networks {
    /// The service's network and, where it has one, the private one: the application.
    #[default]
    Service,
    /// Only the private one, which no other service ever joins: databases, caches, workers.
    Private,
}

/// Numeric ids, or those of the owner of the service's data disk (1000:1000 where there is none).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// `"1000:1000"`.
    Ids(u32, u32),
    /// `"disk"`.
    DiskOwner,
}

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            User::Ids(uid, gid) => serializer.collect_str(&format_args!("{uid}:{gid}")),
            User::DiskOwner => serializer.serialize_str("disk"),
        }
    }
}

impl<'de> Deserialize<'de> for User {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "disk" {
            return Ok(User::DiskOwner);
        }
        let ids = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
        ids.map(|(uid, gid)| User::Ids(uid, gid)).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is neither numeric ids like `1000:1000` nor `disk`, the owner of the data disk"
            ))
        })
    }
}

impl JsonSchema for User {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "User".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^([0-9]+:[0-9]+|disk)$" })
    }
}

/// Something that a container keeps or reads. Exactly one of `state`, `disk` and `config` is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Volume {
    /// A folder under `/srv/state/<service>/`.
    pub state: Option<String>,
    /// The service's folder on its data disk, or a folder in that; left out where the profile names no disk.
    pub disk: Option<DiskFolder>,
    /// A file that the service's templates render.
    pub config: Option<String>,
    /// Where it is in the container.
    pub at: String,
    /// Whether it is left out where the service works on a disk (which then has another volume at this place).
    #[serde(default)]
    pub without_disk: bool,
    /// Whether it can only be read. Files of `config` always are.
    #[serde(default)]
    pub read_only: bool,
    /// Owner of a state folder where it is not the container's user: `"0:0"`.
    pub owner: Option<User>,
    /// Mode of a state folder in octal: `"0700"`, which is also the default.
    pub mode: Option<String>,
}

impl Volume {
    /// The folder inside the service's folder on the data disk, if it is one.
    pub fn folder(&self) -> Option<&str> {
        match &self.disk {
            Some(DiskFolder::Folder(folder)) => Some(folder),
            _ => None,
        }
    }
}

/// What of the data disk a container sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DiskFolder {
    /// `true`: the folder that the profile gives the service.
    Whole(bool),
    /// A folder in that: `"photos"`.
    Folder(String),
}

/// How one sees that a container works. Times that are not written are the image's own, or for a `test` those of
/// overlays/system/services/include/compose.tera.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Health {
    /// The command as Compose takes it (`["CMD", "curl", …]`). Without it, the image's own check is used.
    pub test: Option<Vec<String>>,
    /// There is no check: it counts as working when it runs.
    pub none: bool,
    /// The time between two checks.
    pub interval: Option<String>,
    /// The time after which a check has failed.
    pub timeout: Option<String>,
    /// How many failures in a row make it unhealthy.
    pub retries: Option<u32>,
    /// How long it may take to start; failures in this time do not count.
    pub start: Option<String>,
}

/// The limits of what a container may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Memory: `512m`, `2g`.
    #[serde(default = "memory_default")]
    pub memory: String,
    /// Processors; all unless written.
    pub cpus: Option<f64>,
    /// Processes and threads.
    #[serde(default = "pids_default")]
    pub pids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: memory_default(), cpus: None, pids: pids_default() }
    }
}

fn yes() -> bool {
    true
}

fn stop_default() -> String {
    "30s".to_owned()
}

fn memory_default() -> String {
    "1g".to_owned()
}

fn pids_default() -> u32 {
    512
}
