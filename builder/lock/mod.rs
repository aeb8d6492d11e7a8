//! Which bytes a box is built from: a request for packages goes in, a [`Lock`] comes out, and later the very files.
//!
//! 1. [`resolve_packages`] reads the signed indexes of the distribution and chooses packages;
//! 2. [`update`] makes the next lock from them and the container images;
//! 3. [`save`] and [`load`] keep it beside the profile;
//! 4. [`fetch`] gets the files of its packages;
//! 5. a [`Record`] says whether the project is still what the lock was written for.
//!
//! A lock is used as it is until it is updated. Nothing in here unpacks a package.

pub mod format;
mod keep;
pub mod mirrors;
mod obtain;
mod record;
mod render;
mod request;
mod resolve;
mod review;
pub mod stale;
mod suites;

pub use format::{Archive, Image, Lock, Package, SCHEMA, load, save};
pub use keep::Keep;
pub use obtain::{fetch, total_size};
pub use record::{Key, Record, Source};
pub use request::{PackageRequest, Wishes};
pub use resolve::{Resolved, resolve_keeping, resolve_packages, update};
pub use review::faults;
