//! The base stage: locked packages → the sealed base layer, the kernel and the initrd.
//!
//! It depends on the packages, the pinned ids, the tools and `firmware/initrd`, and on nothing that a user edits daily.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::inputs::SOURCES_BASE;
use super::layer;
use crate::atomic::{self, Removal};
use crate::boot::{self, BootFiles, InitrdRequest};
use crate::context::Context;
use crate::digest::{Hasher, Sha256};
use crate::disk::layout;
use crate::firmware::{Distribution, Platform};
use crate::layers::{self, Layer, Sealing};
use crate::lock::{self, Lock};
use crate::rootfs::{self, PackedTooEarly, Root, RootOptions};
use crate::stage::Stage;
use crate::tools::Tools;
use crate::tree::{Directories, Metadata};
use crate::ui::human_bytes;

/// The metadata of the base layer's folders, for the profile layer.
const DIRECTORIES: &str = "directories.json";
/// The initrd's configuration, below the project.
const INITRD: &str = "firmware/initrd";

/// The system underneath: everything that comes from packages.
#[derive(Debug)]
pub(super) struct Base {
    /// The sealed root filesystem.
    pub layer: Layer,
    /// The kernel and the initrd.
    pub files: BootFiles,
    /// Mode and owner of each of its folders.
    pub directories: Directories,
    /// The root filesystem that all of this was made from, on its way out: as many files as a system has.
    _leftovers: Removal,
}

/// What the base is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ingredients<'a> {
    /// The packages.
    pub lock: &'a Lock,
    /// The pinned ids.
    pub distribution: &'a Distribution,
    /// The initrd's modules.
    pub platform: &'a Platform,
    /// What makes it.
    pub tools: &'a Tools,
}

impl Ingredients<'_> {
    /// The base, from the cache or made now.
    ///
    /// # Errors
    /// If a package cannot be had or configured, or the disk is full.
    pub fn base(&self, context: &Context) -> Result<Base> {
        let configuration = context.project.join(INITRD);
        let layout = layout::shell_variables();
        let initrd = InitrdRequest {
            configuration: &configuration,
            platform: self.platform,
            tools: self.tools,
            layout: &layout,
            time: self.lock.time,
        };
        let stage = Stage::new(context, "base", &self.key(&initrd)?);
        let (base, removal) =
            stage.get_opened(context, |folder| self.make(&initrd, folder, context), open)?;
        Ok(Base { _leftovers: removal, ..base })
    }

    fn key(&self, initrd: &InitrdRequest<'_>) -> Result<Sha256> {
        let mut hasher = Hasher::new();
        hasher.field("program", SOURCES_BASE.as_bytes()).field("time", &self.lock.time.to_le_bytes());
        for (label, packages) in [("package", &self.lock.packages), ("tool", &self.lock.tools)] {
            for package in packages {
                hasher.field(label, package.sha256.bytes());
            }
        }
        for (name, id) in &self.distribution.users {
            hasher.field("user", format!("{name} {} {}", id.uid, id.gid).as_bytes());
        }
        for (name, gid) in &self.distribution.groups {
            hasher.field("group", format!("{name} {gid}").as_bytes());
        }
        hasher.field("initrd", initrd.digest()?.bytes());
        Ok(hasher.finish())
    }

    fn make(&self, initrd: &InitrdRequest<'_>, folder: &Path, context: &Context) -> Result<()> {
        let debs = lock::fetch(&self.lock.packages, self.lock, context)?;
        let options = RootOptions {
            time: self.lock.time,
            architecture: self.distribution.architecture.clone(),
            isolation: None,
            late: false,
            // Beside the result: it goes with the temporary folder that holds both.
            directory: folder.with_file_name("root"),
            users: self.distribution.users.clone(),
            groups: self.distribution.groups.clone(),
        };
        let target = folder.join(layer::FILE);
        let sealing = Sealing { target: &target, time: self.lock.time, tools: self.tools, context };
        let build = |late| -> Result<(Root, Layer)> {
            let (mut root, options) = (None, RootOptions { late, ..options.clone() });
            let make_boot_files = |root: &Root| self.make_boot_files(root, initrd, (folder, context));
            let sealed = layers::seal(
                |tar| {
                    let sink = (tar, make_boot_files);
                    root = Some(rootfs::build(&debs, &options, (self.tools, context), sink)?);
                    Ok(())
                },
                sealing,
            )?;
            Ok((root.context("building the root filesystem")?, sealed))
        };
        let (root, sealed) = match build(false) {
            Err(error) if error.chain().any(|cause| cause.is::<PackedTooEarly>()) => {
                context.ui.note(format!("{error:#}; starting again, so that nothing is packed before that"));
                build(true)?
            }
            other => other?,
        };
        layer::record(&sealed, folder)?;
        write_directories(&root.directories()?, folder)
    }

    fn make_boot_files(
        &self,
        root: &Root,
        initrd: &InitrdRequest<'_>,
        (folder, context): (&Path, &Context),
    ) -> Result<()> {
        let step = context.ui.step("making the initrd");
        let files = boot::make(root, initrd, folder)?;
        let size = fs::metadata(&files.initrd).context("measuring the initrd")?.len();
        let record = [("kernel", files.kernel_digest), ("initrd", files.initrd_digest)];
        let text = serde_json::to_vec(&BTreeMap::from(record)).context("recording the initrd")?;
        atomic::write(&folder.join(BOOT_RECORD), &text)?;
        step.done(human_bytes(size));
        Ok(())
    }
}

/// The digests of the kernel and the initrd.
const BOOT_RECORD: &str = "boot.json";

/// The base in `folder`. Of the kernel and the initrd, which a box does not start without, every byte is read: they are
/// written without waiting for the disk.
fn open(folder: &Path) -> Result<Base> {
    let reading = || format!("reading {}", folder.display());
    let text = fs::read(folder.join(BOOT_RECORD)).with_context(reading)?;
    let digests: BTreeMap<String, Sha256> = serde_json::from_slice(&text).with_context(reading)?;
    let digest = |name: &str| digests.get(name).copied().with_context(reading);
    let files = BootFiles {
        kernel: folder.join("linux"),
        kernel_digest: digest("kernel")?,
        initrd: folder.join("initrd"),
        initrd_digest: digest("initrd")?,
    };
    let (kernel, initrd) = rayon::join(
        || check_digest(&files.kernel, &files.kernel_digest),
        || check_digest(&files.initrd, &files.initrd_digest),
    );
    kernel.and(initrd)?;
    Ok(Base {
        layer: layer::open(folder)?,
        files,
        directories: read_directories(folder).with_context(reading)?,
        _leftovers: Removal::default(),
    })
}

fn check_digest(path: &Path, expected: &Sha256) -> Result<()> {
    ensure!(Sha256::of_file(path)? == *expected, "{} is not what was written there", path.display());
    Ok(())
}

fn write_directories(directories: &Directories, folder: &Path) -> Result<()> {
    let plain: BTreeMap<&str, (u32, u32, u32)> =
        directories.iter().map(|(path, entry)| (path.as_str(), (entry.mode, entry.uid, entry.gid))).collect();
    atomic::write(&folder.join(DIRECTORIES), &serde_json::to_vec(&plain).context("recording folders")?)
}

fn read_directories(folder: &Path) -> Result<Directories> {
    let path = folder.join(DIRECTORIES);
    let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let plain: BTreeMap<String, (u32, u32, u32)> = serde_json::from_slice(&text)?;
    Ok(plain.into_iter().map(|(path, (mode, uid, gid))| (path, Metadata { mode, uid, gid })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_whose_initrd_or_kernel_is_damaged_is_made_again() {
        let cache = tempfile::tempdir().unwrap();
        let context = Context::of_cache(cache.path());
        let stage = Stage::new(&context, "base", &Sha256::of_bytes(b"inputs"));
        let make = |folder: &Path| {
            let path = folder.join(layer::FILE);
            fs::write(&path, "layer")?;
            let (root_hash, guid) = (Sha256::of_bytes(b"root"), [0; 16]);
            layer::record(&Layer { path, data_bytes: 5, total_bytes: 5, root_hash, guid }, folder)?;
            write_directories(&Directories::new(), folder)?;
            let mut record = BTreeMap::new();
            for (name, file) in [("kernel", "linux"), ("initrd", "initrd")] {
                fs::write(folder.join(file), name)?;
                record.insert(name, Sha256::of_bytes(name.as_bytes()));
            }
            Ok(fs::write(folder.join(BOOT_RECORD), serde_json::to_vec(&record)?)?)
        };
        let get = || stage.get_opened(&context, make, open).unwrap().0.files;
        let whole = get();
        for (path, damaged, content) in [
            (&whole.initrd, "init", "initrd"),
            (&whole.initrd, "", "initrd"),
            (&whole.kernel, "kerne\0", "kernel"),
        ] {
            fs::write(path, damaged).unwrap();
            assert_eq!(get(), whole);
            assert_eq!(fs::read_to_string(path).unwrap(), content);
        }
        fs::remove_file(whole.initrd.with_file_name(layer::FILE)).unwrap();
        assert_eq!(get(), whole);
        assert!(whole.initrd.with_file_name(layer::FILE).exists());
    }
}
