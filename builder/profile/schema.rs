//! The types of a profile. Their doc comments are what an editor shows, through the JSON schema made from them.
//!
//! Defaults are safe: a key that is left out never opens anything. Types say what can be written; whether the whole
//! makes sense is judged in `check/`.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::service::ServiceUse;
use super::upkeep::{Alerts, Backup, Images, Updates};
use super::values::{OneOrMany, Owner, TunnelId};
use super::vpn::Vpn;

/// What one box is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// The version of this format. There is one: 1.
    pub schema: u32,
    /// The machine itself.
    #[serde(rename = "box")]
    pub machine: BoxSettings,
    /// How its admins log in.
    #[serde(default)]
    pub ssh: Ssh,
    /// The tunnel: the only way in from the internet.
    pub cloudflare: Option<Cloudflare>,
    /// Addresses at home and inside the box.
    #[serde(default)]
    pub network: Network,
    /// Data disks and network shares by name. "media" is mounted at /srv/media.
    #[serde(default)]
    pub disks: BTreeMap<String, Disk>,
    /// The VPN through which services with `egress = "vpn"` leave.
    pub vpn: Option<Vpn>,
    /// How the box is patched.
    #[serde(default)]
    pub updates: Updates,
    /// Nightly backups of what the services keep.
    pub backup: Option<Backup>,
    /// Who is told when something is wrong.
    #[serde(default)]
    pub alerts: Alerts,
    /// Where container images come from.
    #[serde(default)]
    pub images: Images,
    /// The services, one a line.
    #[serde(default)]
    pub services: BTreeMap<String, ServiceUse>,
}

/// The machine itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BoxSettings {
    /// The host name. Files, and the box's identity in backups, are named after it.
    pub name: String,
    /// The domain at Cloudflare under which services are reached: a service `at = "kuma"` is kuma.example.com.
    pub domain: Option<String>,
    /// The time zone of the box and of every container, such as "Australia/Brisbane".
    #[serde(default = "default_timezone")]
    pub timezone: String,
    /// The system underneath: "debian-13", or "ubuntu-24.04", which is the one with livepatch.
    #[serde(default = "default_distribution")]
    pub distribution: String,
    /// The kind of machine: "uefi-x86_64" is any ordinary PC.
    #[serde(default = "default_platform")]
    pub platform: String,
    /// Who logs in over SSH: user names with their public keys, as in authorized_keys.
    #[serde(default)]
    pub admins: BTreeMap<String, Vec<String>>,
    /// Further packages of the distribution.
    #[serde(default)]
    pub packages: Vec<String>,
    /// The package mirror, for the build and for the box. Without it, the distribution's own.
    pub mirror: Option<String>,
    /// Whether secrets are sealed to the TPM as well. It never holds the only copy.
    #[serde(default)]
    pub tpm: bool,
    /// Whether what the box writes to its own disk is encrypted: "tpm" opens it with the machine's TPM as long as the same
    /// release starts on the same firmware, and else with the recovery key of secrets.toml, which a USB stick can bring.
    /// Data disks are not encrypted.
    pub encrypt: Option<Encrypt>,
    /// The uninterruptible power supply that the box watches: it tells of power cuts, and shuts down by itself before the
    /// battery is empty. Have the firmware (BIOS) start the machine when power returns.
    pub ups: Option<Ups>,
}

fn default_timezone() -> String {
    "UTC".into()
}

fn default_distribution() -> String {
    "debian-13".into()
}

fn default_platform() -> String {
    "uefi-x86_64".into()
}

/// What opens the encrypted partitions when the box starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encrypt {
    /// The machine's TPM 2.0.
    Tpm,
}

/// How the UPS is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ups {
    /// Over USB, in the language that most of them speak there (HID, NUT's usbhid-ups).
    Usb,
}

/// How admins log in: with keys only, through a tunnel of its own that does not depend on Docker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ssh {
    /// The name under the box's domain: "ssh" is ssh.example.com. Without it, SSH has no way in from the internet.
    pub at: Option<String>,
    /// A second name, for machines that log in with a service token: Cloudflare's browser SSH cannot serve both.
    pub ci: Option<String>,
    /// The UUID of SSH's own tunnel. It is not the services' tunnel.
    pub tunnel: Option<TunnelId>,
    /// The Access application in front of `at`. Without it, the one of `[cloudflare] admin`.
    pub aud: Option<OneOrMany>,
    /// The Access application in front of `ci`. Without it, the one of `[cloudflare] admin`.
    pub ci_aud: Option<OneOrMany>,
    /// When devices at home may log in directly.
    pub lan: SshLan,
}

/// When SSH answers at home.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SshLan {
    /// Only while the tunnel has been down for a quarter of an hour.
    #[default]
    Rescue,
    /// Never.
    Never,
    /// Always.
    Always,
}

/// The tunnel of the services. It is locally managed; its secret is in secrets.toml.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cloudflare {
    /// The tunnel's UUID.
    pub tunnel: TunnelId,
    /// The Zero Trust team, as in TEAM.cloudflareaccess.com.
    pub team: Option<String>,
    /// The Access application in front of everything that is `for = "admin"`.
    pub admin: Option<AccessApp>,
    /// The Access application in front of everything that is `for = "family"`.
    pub family: Option<AccessApp>,
}

/// An Access application. The box checks its tokens again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessApp {
    /// The application's audience tag, or tags where several applications (of at most five names each) are used.
    pub aud: OneOrMany,
}

/// Addresses at home and inside the box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// The networks at home, so that those inside the box stay clear of them. The box needs no address of its own:
    /// it takes one by DHCP on any ethernet port.
    #[schemars(with = "Vec<Ipv4NetworkText>")]
    pub lan: Vec<Ipv4Net>,
    /// The range from which container networks are cut, /16 or larger.
    #[schemars(with = "Ipv4NetworkText")]
    pub containers: Ipv4Net,
    /// Machines at home by name, so that a service's `reach` can name them: an address or a network.
    #[schemars(with = "BTreeMap<String, NetworkText>")]
    pub hosts: BTreeMap<String, String>,
}

impl Network {
    /// Every network that the profile itself names, with what it is: what a VPN's tunnel must stay clear of.
    pub fn around(&self) -> Vec<(IpNet, &'static str)> {
        let lan = self.lan.iter().map(|lan| (IpNet::V4(*lan), "the network at home"));
        let hosts = self.hosts.values().filter_map(|text| super::values::network(text).ok());
        let pool = (IpNet::V4(self.containers), "the range for containers");
        std::iter::once(pool).chain(lan).chain(hosts.map(|host| (host, "a machine at home"))).collect()
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            lan: Vec::new(),
            // Not a range that home routers, Docker, Podman, or the usual VPN providers hand out.
            containers: Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 213, 0, 0), 16),
            hosts: BTreeMap::new(),
        }
    }
}

/// A data disk or a network share: exactly one of `label`, `uuid`, `nfs`, and `cifs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Disk {
    /// The filesystem's label.
    pub label: Option<String>,
    /// The filesystem's UUID.
    pub uuid: Option<String>,
    /// An NFS export: "nas:/export".
    pub nfs: Option<String>,
    /// A Windows share: "//nas/share". User and password are in secrets.toml.
    pub cifs: Option<String>,
    /// The filesystem of a disk. Without it, the box looks.
    pub filesystem: Option<Filesystem>,
    /// Who owns the files, in numbers: the services on the disk run as this user and group.
    pub owner: Option<Owner>,
    /// Whether the box only reads it.
    pub read_only: bool,
}

impl Disk {
    /// What the disk is, if it says exactly one thing.
    pub fn source(&self) -> Option<DiskSource<'_>> {
        match (&self.label, &self.uuid, &self.nfs, &self.cifs) {
            (Some(label), None, None, None) => Some(DiskSource::Label(label)),
            (None, Some(uuid), None, None) => Some(DiskSource::Uuid(uuid)),
            (None, None, Some(export), None) => Some(DiskSource::Nfs(export)),
            (None, None, None, Some(share)) => Some(DiskSource::Cifs(share)),
            _ => None,
        }
    }
}

/// What a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskSource<'a> {
    /// A filesystem with this label.
    Label(&'a str),
    /// A filesystem with this UUID.
    Uuid(&'a str),
    /// An NFS export, `host:/path`.
    Nfs(&'a str),
    /// A Windows share, `//host/share`.
    Cifs(&'a str),
}

impl DiskSource<'_> {
    /// Whether it is reached over the network: no database may lie on it.
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Nfs(_) | Self::Cifs(_))
    }
}

/// A filesystem that a data disk may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    /// ext4
    Ext4,
    /// XFS
    Xfs,
    /// Btrfs
    Btrfs,
    /// exFAT: it knows no owners
    Exfat,
    /// NTFS, by the kernel's ntfs3
    Ntfs,
}

/// The schema of an IPv4 network as text.
#[derive(JsonSchema)]
#[schemars(inline, transparent, extend("format" = "ipv4-network"))]
#[allow(dead_code, reason = "it exists for its schema alone")]
pub(super) struct Ipv4NetworkText(String);

/// The schema of an address or network as text.
#[derive(JsonSchema)]
#[schemars(inline, transparent, extend("format" = "network"))]
#[allow(dead_code, reason = "it exists for its schema alone")]
struct NetworkText(String);
