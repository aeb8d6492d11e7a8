//! Debian's archive and package formats: signed releases, package indexes, dependencies, .deb files.
//!
//! Bytes go in, typed values come out. This module knows nothing of boxes, locks or where the bytes came from, and it
//! treats all of them as hostile until a signature or a digest says otherwise.

pub mod control;
pub mod date;
pub mod deb;
pub mod index;
pub mod relation;
pub mod release;
pub mod solve;
pub mod sources;
pub mod trust;
pub mod unpack;
pub mod version;
