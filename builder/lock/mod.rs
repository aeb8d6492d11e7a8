//! Which bytes a box is built from: a request for packages goes in, a [`Lock`] comes out, and later the very files.
//!
//! A lock is used as it is until it is updated. Nothing in here unpacks a package.

pub mod format;

pub use format::{Archive, Image, Lock, Package, load, save};
