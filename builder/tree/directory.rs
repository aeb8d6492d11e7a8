//! Trees as folders on the build machine: for people and for tests to look at.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Kind, Tree};
use crate::interrupt;

impl Tree {
    /// Writes the tree into the folder `target`, which is made if it is missing and has to be empty otherwise.
    /// Modes are kept (the owner can always read and write), owners and times are not.
    ///
    /// # Errors
    /// If `target` is in use or cannot be written.
    pub fn write_to(&self, target: &Path) -> Result<()> {
        fs::create_dir_all(target).with_context(|| format!("creating {}", target.display()))?;
        if fs::read_dir(target).with_context(|| format!("reading {}", target.display()))?.next().is_some() {
            anyhow::bail!("{} is not empty; name another folder, or empty it first", target.display());
        }
        for (path, entry) in self.iter() {
            interrupt::check()?;
            let place = target.join(path);
            let context = || format!("writing {}", place.display());
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent).with_context(context)?;
            }
            let readable = match &entry.kind {
                Kind::Dir => {
                    fs::create_dir_all(&place).with_context(context)?;
                    0o700
                }
                Kind::File(content) => {
                    fs::write(&place, content).with_context(context)?;
                    0o600
                }
                Kind::Symlink(link) => {
                    symlink(link, &place).with_context(context)?;
                    continue;
                }
            };
            let mode = fs::Permissions::from_mode(entry.mode | readable);
            fs::set_permissions(&place, mode).with_context(context)?;
        }
        Ok(())
    }
}
