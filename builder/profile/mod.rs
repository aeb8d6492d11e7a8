//! The profile: what one box is to be.
//!
//! In goes the text of `profiles/NAME.toml`, out comes a typed [`Profile`] with the place of every key. Nothing here
//! judges whether a profile makes sense, and nothing here reads anything but that one file: that is `check/`'s part.

pub mod json_schema;
mod keys;
pub mod load;
mod nearest;
pub mod ports;
pub mod schema;
pub mod service;
mod shape;
pub mod spans;
pub mod upkeep;
pub mod values;
pub mod vpn;
mod wording;

pub use load::{Document, Loaded};
pub use nearest::nearest;

pub use ports::{PortRange, Protocol};
pub use schema::{
    AccessApp, BoxSettings, Cloudflare, Disk, DiskSource, Encrypt, Filesystem, Network, Profile, Ssh, SshLan,
    Ups,
};
pub use service::{Audience, Egress, LanAccess, ServiceUse, Setting};
pub use upkeep::{
    Alerts, Backup, BackupPlace, BackupTarget, Embed, Images, Keep, Mail, MailSecurity, Never, Notifier,
    Ntfy, PackageUpdates, Reboot, Updates,
};
pub use values::{Days, OneOrMany, Owner, TimeOfDay, TunnelId};
pub use vpn::{Vpn, VpnType};
