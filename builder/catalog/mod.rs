//! The services that exist: `overlays/services/*/service.toml` → typed [`Service`]s.
//!
//! In: a folder of service folders. Out: the [`Catalog`], and findings with file and line about every file that is
//! wrong. Nothing in here knows a service by name; who wants one adds a folder.

mod advice;
mod backup;
mod container;
mod container_rules;
mod device;
mod exposure;
pub mod known;
mod load;
mod rules;
mod secret;
mod service;
mod together;

pub use advice::{Advice, Level, When};
pub use backup::{Backup, Dump, Exec};
pub use container::{Container, DiskFolder, Health, Limits, Networks, User, Volume};
pub use container_rules::image_fault;
pub use device::device_fault;
pub use exposure::{Exposure, Login, Open, OwnerAccount, Port};
pub use load::{Catalog, Found, parse};
pub use rules::{EVERYONE, is_label};
pub use secret::{Secret, SecretApply, SecretFormat, SecretSource, SecretWhen};
pub use service::{Role, Service, SettingKind, SettingSpec, Use};
pub use together::BOX;
