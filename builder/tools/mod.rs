//! The locked tools: packages go in, a folder in the cache and ready-made calls of its programs come out.
//!
//! No maintainer script runs. Programs are started through the folder's own dynamic loader with the folder's own
//! libraries, so that they are the same on every host.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::context::Context;
use crate::debian::deb::DebFile;
use crate::tool::Tool;

/// The unpacked tools.
#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Unpacks `debs` into the cache unless they are there already.
    ///
    /// # Errors
    /// If a package cannot be read or the cache cannot be written.
    pub fn prepare(debs: &[DebFile], context: &Context) -> Result<Self> {
        let _ = (debs, context);
        bail!("tools are not prepared yet")
    }

    /// A call of `name`, a program of the tools, with the environment that it needs; arguments are still to be added.
    ///
    /// # Errors
    /// If no package of the tools has such a program.
    pub fn tool(&self, name: &str) -> Result<Tool> {
        bail!("tools have no {name}")
    }

    /// Where the file `path` of the tools is: `usr/share/OVMF/OVMF_CODE_4M.fd`. Symbolic links are followed inside the
    /// tools only.
    ///
    /// # Errors
    /// If no package of the tools has it.
    pub fn path(&self, path: &str) -> Result<PathBuf> {
        bail!("tools have no {path}")
    }

    /// The folder that the packages are unpacked in.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
