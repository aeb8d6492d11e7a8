//! The services that exist: `overlays/services/*/service.toml` → typed [`Service`]s.
//!
//! In: a folder of service folders. Out: the [`Catalog`], and findings with file and line about every file that is
//! wrong. Nothing in here knows a service by name; who wants one adds a folder.

mod container;
mod load;
mod rules;
mod service;

pub use container::{Container, DiskFolder, Health, Limits, Networks, User, Volume};
pub use load::{Catalog, Found, parse};
pub use rules::{BOX, EVERYONE, is_label};
pub use service::{
    Advice, Backup, Dump, Exec, Exposure, Level, Login, Open, OwnerAccount, Port, Role, Secret, SecretFormat,
    SecretSource, SecretWhen, Service, SettingKind, SettingSpec, Use, When,
};
