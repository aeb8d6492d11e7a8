//! The index of the kernel's modules, made while packages are being configured.
//!
//! A kernel's postinst calls depmod(8), which reads every module: a quarter of the time that configuring takes, in which
//! nothing else goes on. What it reads is in the packages as it is, so that it is called at once, beside dpkg, and its result
//! is kept for the next build with the same kernel. The postinst finds a stand-in.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::inside::Inside;
use super::package::Package;
use crate::context::Context;
use crate::digest::{Hasher, Sha256};
use crate::stage::Stage;

/// What it is called in the cache.
const KIND: &str = "modules";
/// Where a kernel's modules are, in a folder with its version.
const MODULES: &str = "usr/lib/modules";
/// The file that a kernel's package brings with them: the order in which they were built.
const ORDER: &str = "modules.order";
/// What its administrator says to depmod.
const SETTINGS: &str = "etc/depmod.d";
/// The folder that the stand-in is in.
const STAND_INS: &str = "stand-ins";

/// The modules of a system's only kernel.
#[derive(Debug)]
pub(super) struct Modules {
    version: String,
    package: String,
    /// Of all packages that the index depends on.
    key: Sha256,
}

impl Modules {
    /// Those that `packages` bring. None if there are several kernels or none, or if settings of depmod are among the
    /// configuration files, which are not in their place yet: then the postinst is left to itself.
    pub fn of(packages: &[Package<'_>]) -> Option<Self> {
        if packages.iter().flat_map(Package::conffiles).any(|path| path.starts_with(SETTINGS)) {
            return None;
        }
        let kernels = packages.iter().flat_map(|package| {
            let versions: BTreeSet<String> = package.list.iter().filter_map(|path| version(path)).collect();
            versions.into_iter().map(|version| (version, package.deb.name.clone()))
        });
        let mut kernels: Vec<(String, String)> = kernels.collect();
        let (version, package) = kernels.pop().filter(|_| kernels.is_empty())?;
        let mut key = Hasher::new();
        key.field("version", version.as_bytes());
        for package in packages.iter().filter(|package| package.list.iter().any(|path| matters(path))) {
            key.field("package", package.deb.sha256.bytes());
        }
        Some(Self { version, package, key: key.finish() })
    }

    /// Writes the stand-in, and returns the folder that it is in. It says once that it is done, to the postinst of the kernel's
    /// package; whatever else is asked of it, the real one does.
    pub fn stand_in(&self, inside: &Inside) -> Result<PathBuf> {
        let Self { version, package, .. } = self;
        let script = format!(
            "#!/bin/sh\nrm -f \"$0\"\n[ \"$DPKG_MAINTSCRIPT_PACKAGE $*\" = '{package} {version}' ] || \
             exec /usr/sbin/depmod \"$@\"\n"
        );
        // Beside the tree: a folder in it would be there before the packages make it as they want it.
        let folder = inside.tree().with_file_name(STAND_INS);
        let path = folder.join("depmod");
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&folder)?;
            fs::write(&path, script)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        };
        write().with_context(|| format!("writing {}", path.display()))?;
        Ok(folder)
    }

    /// Puts the index into the tree, from the cache or made now.
    pub fn index(&self, inside: &Inside, context: &Context) -> Result<()> {
        let stage = Stage::new(context, KIND, &self.key);
        let shared = format!("/run/{KIND}");
        let program = ["/usr/sbin/depmod", "-o", &shared, &self.version];
        let folder =
            stage.get(context, |folder| inside.tool_beside(&program, (folder, KIND)).output().map(drop));
        let folder = folder.context("making the index of the kernel's modules")?;
        let (from, to) =
            (folder.join("lib/modules").join(&self.version), inside.tree().join(MODULES).join(&self.version));
        let copy = || -> std::io::Result<()> {
            for file in fs::read_dir(&from)? {
                let file = file?;
                fs::copy(file.path(), to.join(file.file_name()))?;
            }
            Ok(())
        };
        copy().with_context(|| format!("copying {} to {}", from.display(), to.display()))
    }
}

/// Whether the index depends on the package that has the file at `path`: modules, settings, depmod itself.
fn matters(path: &Path) -> bool {
    [MODULES, "usr/lib/depmod.d", "usr/sbin/depmod", "usr/bin/kmod"]
        .iter()
        .any(|place| path.starts_with(place))
}

/// The version of the kernel that the file at `path` says to have modules.
fn version(path: &Path) -> Option<String> {
    let folder: PathBuf = path.strip_prefix(MODULES).ok()?.to_owned();
    let version = folder.parent().filter(|_| folder.file_name().is_some_and(|name| name == ORDER))?;
    let plain = |text: &&str| {
        text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-._~".contains(letter))
            && !text.is_empty()
    };
    version.to_str().filter(plain).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_known_by_the_order_of_its_modules() {
        let version = |path: &str| version(Path::new(path));
        assert_eq!(
            version("usr/lib/modules/6.12.57+deb13-amd64/modules.order").as_deref(),
            Some("6.12.57+deb13-amd64")
        );
        for path in [
            "usr/lib/modules/6.12/kernel/fs/ext4/ext4.ko.xz",
            "usr/lib/modules/modules.order",
            "usr/lib/modules/6.12/build/modules.order",
            "usr/lib/modules/$(reboot)/modules.order",
            "usr/share/modules/6.12/modules.order",
        ] {
            assert_eq!(version(path), None, "{path}");
        }
        assert!(matters(Path::new("usr/sbin/depmod")) && !matters(Path::new("usr/sbin/depmod-of-another")));
    }
}
