//! Binary packages: the path of a .deb file goes in, its control files and its members come out as streams.
//!
//! Nothing is written here; a package is foreign input, so every size and name in it is checked.

use std::path::PathBuf;

use crate::digest::Sha256;

/// A .deb file on the disk whose digest has been checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DebFile {
    /// The package's name, without architecture.
    pub name: String,
    /// The full version, with epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// The digest of the file.
    pub sha256: Sha256,
    /// Where it is.
    pub path: PathBuf,
}
