//! The root filesystem: locked packages go in; a configured, normalised system comes out.
//!
//! Packages are unpacked in parallel, dpkg's database is written, and the maintainer scripts run in a sandbox without
//! network. No program of the host is used, and nothing of the host (name, time, user, processor) reaches the result.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::context::Context;
use crate::debian::deb::DebFile;
use crate::tools::Tools;
use crate::tree::Directories;

/// What a root filesystem is to be like.
#[derive(Debug, Clone, Default)]
pub struct RootOptions {
    /// Seconds since 1970; no time in the result is later.
    pub time: i64,
    /// Where to build; made, and emptied first.
    pub directory: PathBuf,
    /// System users with a fixed id: user id and id of the primary group.
    pub users: BTreeMap<String, (u32, u32)>,
    /// System groups with a fixed id.
    pub groups: BTreeMap<String, u32>,
}

/// A configured system in a folder.
#[derive(Debug)]
pub struct Root {
    directory: PathBuf,
}

/// Makes the system from `debs`, and writes it to `tar` as a tar stream, partly while packages are still being
/// configured. Hand a sink to it that consumes the stream at once, like [`crate::layers::seal`]'s.
///
/// # Errors
/// If a package is broken or cannot be configured, if it makes a system user without a fixed id, if the kernel
/// forbids the sandbox, or if the disk is full. The message says which, and what to do.
pub fn build(
    debs: &[DebFile],
    options: &RootOptions,
    surroundings: (&Tools, &Context),
    tar: &mut dyn Write,
) -> Result<Root> {
    let _ = (debs, options, surroundings, tar);
    bail!("root filesystems are not built yet")
}

impl Root {
    /// A system that [`build`] left in `directory` before.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(directory: &Path) -> Result<Self> {
        bail!("{} holds no root filesystem", directory.display())
    }

    /// Where the tree is.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Writes the whole system as a normalised tar stream, sorted by path.
    ///
    /// # Errors
    /// If the tree cannot be read, or any error of the writer.
    pub fn write_tar(&self, tar: &mut dyn Write) -> Result<()> {
        let _ = tar;
        bail!("root filesystems are not written yet")
    }

    /// The folders of the system with mode and owner, for layers that go on top.
    ///
    /// # Errors
    /// If the tree cannot be read.
    pub fn directories(&self) -> Result<Directories> {
        bail!("root filesystems have no folders yet")
    }

    /// Runs a program of the system inside it, in the sandbox: no network, fixed host name, `/run` and `/tmp` empty.
    /// Returns its standard output.
    ///
    /// # Errors
    /// If it cannot be started or does not exit with 0.
    pub fn run(&self, program: &[&str]) -> Result<Vec<u8>> {
        let _ = program;
        bail!("root filesystems run nothing yet")
    }
}
