//! The types of a profile's sections about looking after the box: patches, backups, alerts, images.
//!
//! As in `schema.rs`, the doc comments are what an editor shows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Days, OneOrMany, TimeOfDay};

/// How the box is patched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Updates {
    /// When security updates of packages are installed.
    pub packages: PackageUpdates,
    /// When the box may restart if a patch asks for it: a time of day, or "never".
    pub reboot: Reboot,
    /// Whether the kernel is patched while it runs. Ubuntu only, with a Pro token in secrets.toml.
    pub livepatch: bool,
    /// Whether Ubuntu's extended security maintenance is used. Ubuntu only, with a Pro token in secrets.toml.
    pub esm: bool,
    /// Tell when the kernel, Docker or an application is older than this.
    pub stale: Days,
}

impl Default for Updates {
    fn default() -> Self {
        Self {
            packages: PackageUpdates::Nightly,
            reboot: Reboot::At(TimeOfDay { hour: 4, minute: 30 }),
            livepatch: false,
            esm: false,
            stale: Days(30),
        }
    }
}

/// When security updates of packages are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PackageUpdates {
    /// Every night, before the reboot window.
    Nightly,
    /// Not at all: the box is what its release is.
    Never,
}

/// When the box may restart by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Reboot {
    /// At this time, if something asks for it.
    At(TimeOfDay),
    /// See [`Never`].
    Never(Never),
}

/// The word "never".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Never {
    /// Not by itself.
    Never,
}

/// Nightly backups: dumps and consistent copies of what the services keep, by Kopia.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Backup {
    /// When, every day.
    #[serde(default = "default_backup_time")]
    pub at: TimeOfDay,
    /// How many are kept.
    #[serde(default)]
    pub keep: Keep,
    /// Where to. Keys and the repository's password are in secrets.toml.
    pub to: Vec<BackupTarget>,
}

impl Backup {
    /// What each target is called on the box and in secrets.toml, in the order of `to`: its bucket, server or disk, with a
    /// number where that is not the first of its name.
    pub fn target_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (position, target) in self.to.iter().enumerate() {
            let name = target.place().map(|place| place.name().to_owned()).unwrap_or_default();
            let taken = names.contains(&name);
            names.push(if taken { format!("{name}-{}", position + 1) } else { name });
        }
        names
    }
}

fn default_backup_time() -> TimeOfDay {
    TimeOfDay { hour: 3, minute: 0 }
}

/// How many backups are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Keep {
    /// One for each of so many days.
    pub daily: u32,
    /// One for each of so many weeks.
    pub weekly: u32,
    /// One for each of so many months.
    pub monthly: u32,
    /// One for each of so many years.
    pub yearly: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self { daily: 7, weekly: 4, monthly: 6, yearly: 0 }
    }
}

/// A place for backups: exactly one of `s3`, `sftp` and `disk`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BackupTarget {
    /// An S3 bucket, such as one of Cloudflare R2.
    pub s3: Option<String>,
    /// The bucket's server, without a scheme: "ACCOUNT.r2.cloudflarestorage.com".
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// A server that is reached over SFTP, by its name or IPv4 address. The private key is in secrets.toml.
    pub sftp: Option<String>,
    /// The account at that server.
    pub user: Option<String>,
    /// The port of that server. Without it, 22.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// All public host keys of that server, as its files `/etc/ssh/ssh_host_*_key.pub` have them. The box never takes another one.
    pub host_key: Option<OneOrMany>,
    /// A folder in the bucket, on the disk, or on the server: there it begins at the account's own folder, or with `/`.
    pub prefix: Option<String>,
    /// A disk of `[disks]`.
    pub disk: Option<String>,
    /// For how long nobody, not even the box, can delete what was written to the bucket, which needs object lock: "30d". The
    /// box renews it each day, and tries each night whether a deletion really fails.
    pub locked: Option<Days>,
    /// Whether another machine, which the box cannot reach into, fetches a copy of this target at regular times.
    pub pulled: bool,
}

impl BackupTarget {
    /// What the target is, if it says exactly one thing.
    pub fn place(&self) -> Option<BackupPlace<'_>> {
        match (&self.s3, &self.sftp, &self.disk) {
            (Some(bucket), None, None) => Some(BackupPlace::Bucket(bucket)),
            (None, Some(host), None) => Some(BackupPlace::Sftp(host)),
            (None, None, Some(disk)) => Some(BackupPlace::Disk(disk)),
            _ => None,
        }
    }

    /// The folder, as far as there has to be one: a bucket is one itself.
    pub fn folder(&self) -> Option<&str> {
        let usual = self.s3.is_none().then_some("backups");
        self.prefix.as_deref().or(usual)
    }
}

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupPlace<'a> {
    /// An S3 bucket.
    Bucket(&'a str),
    /// A server that is reached over SFTP.
    Sftp(&'a str),
    /// A disk of `[disks]`.
    Disk(&'a str),
}

impl<'a> BackupPlace<'a> {
    /// The bucket's, server's or disk's name.
    pub fn name(self) -> &'a str {
        match self {
            Self::Bucket(name) | Self::Sftp(name) | Self::Disk(name) => name,
        }
    }

    /// The secrets that the box needs to get there, by the ends of their names in secrets.toml.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Bucket(_) => &["key-id", "secret-key"],
            Self::Sftp(_) => &["private-key"],
            Self::Disk(_) => &[],
        }
    }
}

/// Who is told when something is wrong: services, disks, SMART, the UPS, backups, failed units.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Alerts {
    /// By which ways. Their tokens are in secrets.toml.
    pub to: Vec<Notifier>,
    /// Whether the box calls an outside address at regular times, so that someone notices when it falls silent.
    /// The address is in secrets.toml.
    pub heartbeat: bool,
    /// The mail server, for alerts and for the services' own mail.
    pub mail: Option<Mail>,
    /// The ntfy server, if it is not ntfy.sh.
    pub ntfy: Option<Ntfy>,
}

/// A way to reach the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Notifier {
    /// Pushbullet
    Pushbullet,
    /// ntfy
    Ntfy,
    /// Mail, through `[alerts] mail`
    Mail,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mail {
    /// The server's name.
    pub host: String,
    /// The server's port.
    #[serde(default = "default_mail_port")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// How the connection is protected.
    #[serde(default)]
    pub security: MailSecurity,
    /// The sender's address.
    pub from: String,
    /// Where alerts go. Without it, to the sender.
    pub to: Option<String>,
    /// The user name, if the server wants one. The password is in secrets.toml.
    pub user: Option<String>,
}

fn default_mail_port() -> u16 {
    587
}

/// How a mail connection is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MailSecurity {
    /// STARTTLS, usually on port 587.
    #[default]
    Starttls,
    /// TLS from the first byte, usually on port 465.
    Tls,
}

/// An ntfy server. The topic is in secrets.toml: whoever knows it reads along.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ntfy {
    /// The server's address, such as `https://ntfy.sh`.
    pub server: String,
}

/// Where container images come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Images {
    /// Which of them are part of the disk image.
    pub embed: Embed,
    /// A registry that stands in for all others, for the build and for the box.
    pub mirror: Option<String>,
}

/// Which container images are part of the disk image; the box pulls the others on first boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Embed {
    /// Those of the way in and of the VPN: cloudflared and Gluetun.
    #[default]
    Core,
    /// All: the box needs no internet to start.
    All,
    /// None.
    None,
}
