//! Kernel and initrd of a root filesystem.
//!
//! mkinitramfs of the target runs in its sandbox, with firmware/initrd/ as its configuration folder and the platform's
//! drivers as its modules. The result depends on the root filesystem and on these two alone, not on the build machine.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::microcode;
use crate::digest::{Hasher, Sha256};
use crate::firmware::Platform;
use crate::rootfs::Root;
use crate::tools::Tools;

/// The folder that is shared with mkinitramfs while it runs: its configuration, its temporary files, its result. It is
/// `/run/<this>` inside.
const WORK: &str = "initrd-work";

/// What a release starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFiles {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its digest.
    pub kernel_digest: Sha256,
    /// The initrd.
    pub initrd: PathBuf,
    /// Its digest.
    pub initrd_digest: Sha256,
}

/// What an initrd is made from.
#[derive(Debug, Clone, Copy)]
pub struct InitrdRequest<'a> {
    /// The folder firmware/initrd/ of the project.
    pub configuration: &'a Path,
    /// Says which drivers and which microcode are needed.
    pub platform: &'a Platform,
    /// Where the microcode is.
    pub tools: &'a Tools,
    /// The partitions' types and sizes as shell variables: [`crate::disk::layout::shell_variables`].
    pub layout: &'a str,
    /// Every time in the initrd, seconds since 1970.
    pub time: i64,
}

impl InitrdRequest<'_> {
    /// The digest of everything that goes into the initrd besides the root filesystem: the key of a cache.
    ///
    /// # Errors
    /// If the configuration cannot be read.
    pub fn digest(&self) -> Result<Sha256> {
        let mut hasher = Hasher::new();
        hasher.field("time", &self.time.to_le_bytes());
        for (path, bytes) in self.files()? {
            hasher.field(&path, &bytes);
        }
        for (path, folder) in &self.platform.microcode {
            hasher.field(path, folder.as_bytes());
        }
        Ok(hasher.finish())
    }

    /// The configuration folder as mkinitramfs gets it: path and content, sorted.
    fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        for folder in ["", "boxwright", "hooks", "scripts"] {
            let directory = self.configuration.join(folder);
            let context = || format!("reading {}", directory.display());
            for entry in fs::read_dir(&directory).with_context(context)? {
                let entry = entry.with_context(context)?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name.starts_with('.') || !entry.file_type().with_context(context)?.is_file() {
                    continue;
                }
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let place = entry.path();
                let bytes = fs::read(&place).with_context(|| format!("reading {}", place.display()))?;
                files.push((path, bytes));
            }
        }
        files.push(("boxwright/layout.sh".to_owned(), self.layout.as_bytes().to_vec()));
        let Some((_, modules)) = files.iter_mut().find(|(path, _)| path == "modules") else {
            bail!("{} has no file `modules`", self.configuration.display());
        };
        for module in &self.platform.modules {
            modules.extend_from_slice(module.as_bytes());
            modules.push(b'\n');
        }
        files.sort();
        Ok(files)
    }
}

/// Makes the initrd of `root`, and copies it and the kernel into the folder `target` as `initrd` and `linux`.
///
/// # Errors
/// If the root filesystem has not exactly one kernel, or lacks a program that the initrd needs.
pub fn make(root: &Root, request: &InitrdRequest<'_>, target: &Path) -> Result<BootFiles> {
    let version = kernel_version(root.path())?;
    let folder = target.join(WORK);
    let made = write_configuration(request, &folder)
        .and_then(|()| call(root, request.time, (&version, &folder)))
        .and_then(|()| collect(root, request, (&version, &folder), target));
    let removed = fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()));
    let files = made?;
    removed?;
    Ok(files)
}

/// The version of the one kernel in `root`.
fn kernel_version(root: &Path) -> Result<String> {
    let folder = root.join("usr/lib/modules");
    let context = || format!("reading {}", folder.display());
    let mut versions = Vec::new();
    for entry in fs::read_dir(&folder).with_context(context)? {
        let name = entry.with_context(context)?.file_name();
        versions.push(name.to_string_lossy().into_owned());
    }
    versions.sort();
    match versions.as_slice() {
        [version] => Ok(version.clone()),
        [] => bail!("the root filesystem has no kernel"),
        several => bail!("the root filesystem has several kernels: {}", several.join(", ")),
    }
}

fn write_configuration(request: &InitrdRequest<'_>, folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for (path, bytes) in request.files()? {
        let place = folder.join(path);
        let context = || format!("writing {}", place.display());
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).with_context(context)?;
        }
        let mode = if bytes.starts_with(b"#!") { 0o755 } else { 0o644 };
        fs::write(&place, bytes).with_context(context)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).with_context(context)?;
    }
    Ok(())
}

fn call(root: &Root, time: i64, (version, folder): (&str, &Path)) -> Result<()> {
    let epoch = format!("SOURCE_DATE_EPOCH={time}");
    let (temporary, inside) = (folder.join("tmp"), format!("/run/{WORK}"));
    fs::create_dir_all(&temporary).with_context(|| format!("creating {}", temporary.display()))?;
    let (temporary, output) = (format!("TMPDIR={inside}/tmp"), format!("{inside}/out"));
    let program = ["env", &epoch, &temporary, "mkinitramfs", "-d", &inside, "-o", &output, version];
    root.run_with(&program, (folder, WORK)).context("making the initrd")?;
    Ok(())
}

fn collect(
    root: &Root,
    request: &InitrdRequest<'_>,
    (version, work): (&str, &Path),
    target: &Path,
) -> Result<BootFiles> {
    fs::create_dir_all(target).with_context(|| format!("creating {}", target.display()))?;
    let add = |name: &str, begin: &[u8], from: PathBuf| -> Result<(PathBuf, Sha256)> {
        let to = target.join(name);
        let context = || format!("copying {} to {}", from.display(), to.display());
        let mut file = fs::File::create(&to).with_context(context)?;
        file.write_all(begin).with_context(context)?;
        io::copy(&mut fs::File::open(&from).with_context(context)?, &mut file).with_context(context)?;
        let digest = Sha256::of_file(&to)?;
        Ok((to, digest))
    };
    let early = microcode::archive(request.platform, request.tools, request.time)?;
    let (kernel, kernel_digest) = add("linux", &[], root.path().join(format!("boot/vmlinuz-{version}")))?;
    let (initrd, initrd_digest) = add("initrd", &early, work.join("out"))?;
    Ok(BootFiles { kernel, kernel_digest, initrd, initrd_digest })
}
