//! The image file: partition table, ESP and layers in one sparse file.
//!
//! Layers are copied by the kernel (as shared blocks where the filesystem can do that); what is empty stays a hole. The
//! file gets its name only when it is complete and its maker has looked at it. With secrets in it, it is its owner's alone.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::fat::{self, FatOptions};
use super::gpt;
use super::layout::{LayerSize, Layout, Role};
use crate::atomic::AtomicFile;
use crate::boot::EspFile;
use crate::digest::{self, Sha256};
use crate::interrupt;
use crate::layers::Layer;
use crate::tools::Tools;

/// What an image is made of.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Identifies the release; every GUID that no layer determines is derived from it.
    pub seed: &'a Sha256,
    /// Orders the releases of a box.
    pub version: u64,
    /// The date of the files on the ESP, seconds since 1970.
    pub time: i64,
    /// The layers with their roles, in the order in which they are to be on the disk.
    pub layers: &'a [(Role, &'a Layer)],
    /// The files of the ESP.
    pub esp: &'a [EspFile],
    /// What the secrets partition begins with; it is empty otherwise.
    pub secrets: Option<&'a [u8]>,
}

/// A finished image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskImage {
    /// The file.
    pub path: PathBuf,
    /// Its partitions.
    pub layout: Layout,
    /// How much of it is not empty, in bytes: what flashing writes.
    pub written_bytes: u64,
}

/// A complete image without its name; it is removed if it does not get that.
#[derive(Debug)]
pub struct Assembled {
    /// The image, at the path that it has until then.
    pub image: DiskImage,
    file: AtomicFile,
    target: PathBuf,
}

impl Assembled {
    /// Gives the image its name, in place of a former one.
    ///
    /// # Errors
    /// If the rename fails; the former image is untouched then.
    pub fn commit(self) -> Result<DiskImage> {
        self.file.commit_unsynced()?;
        Ok(DiskImage { path: self.target, ..self.image })
    }
}

/// Writes the image of `parts`, which is to be called `target`.
///
/// # Errors
/// If a part cannot be read, a tool fails, or the disk is full.
pub fn assemble(parts: &Parts<'_>, tools: &Tools, target: &Path) -> Result<Assembled> {
    let sizes: Vec<LayerSize> = parts
        .layers
        .iter()
        .map(|(role, layer)| LayerSize { role: *role, bytes: layer.total_bytes, guid: layer.guid })
        .collect();
    let layout = Layout::plan(parts.seed, parts.version, &sizes)?;
    let mut image = AtomicFile::create(target)?;
    if parts.secrets.is_some() {
        image.keep_private()?;
    }
    let context = || format!("writing {}", target.display());
    image.file().set_len(layout.total_bytes).with_context(context)?;
    gpt::write(&layout, image.file())?;
    if let Some(esp) = layout.find(Role::Esp) {
        let guid = digest::guid(parts.seed, "fat");
        let serial = u32::from_be_bytes([guid[0], guid[1], guid[2], guid[3]]);
        let options = FatOptions { serial, time: parts.time };
        fat::write(image.temporary_path(), esp, parts.esp, (options, tools))?;
    }
    for (role, layer) in parts.layers {
        interrupt::check()?;
        let partition = layout.find(*role).with_context(|| format!("the layout has no {}", role.word()))?;
        let mut source =
            File::open(&layer.path).with_context(|| format!("opening {}", layer.path.display()))?;
        image.file().seek(SeekFrom::Start(partition.start)).with_context(context)?;
        let copied = io::copy(&mut source, image.file()).with_context(context)?;
        if copied != layer.total_bytes {
            bail!("{} has {copied} bytes and not {}", layer.path.display(), layer.total_bytes);
        }
    }
    if let (Some(bundle), Some(partition)) = (parts.secrets, layout.find(Role::Secrets)) {
        if bundle.len() as u64 > partition.length {
            bail!("the secrets need {} bytes, and their partition has {}", bundle.len(), partition.length);
        }
        image.file().seek(SeekFrom::Start(partition.start)).with_context(context)?;
        image.write_all(bundle).with_context(context)?;
    }
    let written_bytes = image.file().metadata().with_context(context)?.blocks() * 512;
    let path = image.temporary_path().to_owned();
    let (file, image) = (image, DiskImage { path, layout, written_bytes });
    Ok(Assembled { image, file, target: target.to_owned() })
}

/// Reads the partitions of the image at `path`.
///
/// # Errors
/// If it cannot be opened or is no image of ours.
pub fn read(path: &Path) -> Result<DiskImage> {
    let context = || format!("reading {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let layout = gpt::read(&mut file).with_context(context)?;
    let written_bytes = file.metadata().with_context(context)?.blocks() * 512;
    Ok(DiskImage { path: path.to_owned(), layout, written_bytes })
}
