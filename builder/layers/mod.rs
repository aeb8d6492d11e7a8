//! Sealed layers: a tar stream goes in; a squashfs image with its dm-verity hash tree behind it comes out. [`read()`] goes the
//! way back, to a tree.
//!
//! Equal streams give equal bytes, whatever the number of processors. Nothing here knows what a layer is for.

mod read;
pub mod squashfs;
pub mod verity;

pub use read::{Place, read};

use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::atomic::AtomicFile;
use crate::context::Context;
use crate::digest::Sha256;
use crate::tool::Tool;
use crate::tools::Tools;

/// How hard zstd tries. Of one root filesystem, level 6 made 374 MB in 7.1 s of a processor's time, 9 made 372 MB in 11.5 s,
/// and 4 made 385 MB in 3.4 s.
const LEVEL: &str = "6";

/// The size of what is compressed at once. Of one root filesystem, 128 KiB made 417 MB, 512 KiB 402 MB, 1 MiB 393 MB.
const BLOCK: &str = "1M";

/// The memory for mksquashfs's queues, which does not change the image.
const MEMORY: &str = "256M";

/// A read-only filesystem image followed by its hash tree, in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The file.
    pub path: PathBuf,
    /// The size of the filesystem in bytes, a multiple of 4096; the verity superblock begins there.
    pub data_bytes: u64,
    /// The size of the file in bytes.
    pub total_bytes: u64,
    /// dm-verity's root hash.
    pub root_hash: Sha256,
    /// The GUID of the partition that holds it: the first 128 bits of the root hash, in text order.
    pub guid: [u8; 16],
}

/// Where a layer is to be made, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Sealing<'a> {
    /// The file to make or to replace.
    pub target: &'a Path,
    /// The time of the filesystem itself, seconds since 1970.
    pub time: i64,
    /// The tools; `mksquashfs` is taken from them.
    pub tools: &'a Tools,
    /// Number of threads, and the terminal.
    pub context: &'a Context,
}

/// Makes a layer from the tar stream that `source` writes. `target` appears only when the layer is complete. The root
/// folder is root's with mode 0755, whatever the stream says of it.
///
/// # Errors
/// Whatever `source` returns, or if the tool fails or the disk is full.
pub fn seal(source: impl FnOnce(&mut dyn Write) -> Result<()>, sealing: Sealing<'_>) -> Result<Layer> {
    let mut file = AtomicFile::create(sealing.target)?;
    pack(source, file.temporary_path(), sealing)
        .with_context(|| format!("packing {}", sealing.target.display()))?;
    let context = || format!("sealing {}", sealing.target.display());
    let image = file.file();
    let length = image.seek(SeekFrom::End(0)).with_context(context)?;
    let data_bytes = verity::begin(length);
    image.set_len(data_bytes).with_context(context)?;
    let (tree, root_hash) = verity::tree(image, 0..data_bytes, sealing.context.jobs).with_context(context)?;
    image.seek(SeekFrom::Start(data_bytes)).and_then(|_| image.write_all(&tree)).with_context(context)?;
    file.commit()?;
    let total_bytes = data_bytes + tree.len() as u64;
    let guid = guid(&root_hash);
    Ok(Layer { path: sealing.target.to_owned(), data_bytes, total_bytes, root_hash, guid })
}

/// The GUID of the partition with the layer that has this root hash.
fn guid(root_hash: &Sha256) -> [u8; 16] {
    let mut guid = [0; 16];
    guid.copy_from_slice(&root_hash.bytes()[..16]);
    guid
}

/// Makes a squashfs image at `image` from what `source` writes.
fn pack(source: impl FnOnce(&mut dyn Write) -> Result<()>, image: &Path, sealing: Sealing<'_>) -> Result<()> {
    let mut running = mksquashfs(image, sealing)?.spawn()?;
    let pipe = running.stdin.take().context("mksquashfs has no standard input")?;
    let mut pipe = BufWriter::with_capacity(1 << 20, pipe);
    let written = source(&mut pipe).and_then(|()| pipe.flush().context("writing to mksquashfs"));
    drop(pipe.into_parts());
    let broken = |error: &anyhow::Error| {
        error.chain().any(|cause| {
            let cause = cause.downcast_ref::<io::Error>();
            cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
        })
    };
    match written {
        Ok(()) => running.wait(),
        // mksquashfs has stopped reading and knows why.
        Err(error) if broken(&error) => running.wait().and(Err(error)),
        Err(error) => {
            running.kill()?;
            Err(error)
        }
    }
}

fn mksquashfs(image: &Path, sealing: Sealing<'_>) -> Result<Tool> {
    let time = sealing.time.to_string();
    let tool = sealing.tools.tool("mksquashfs")?.arg("-").arg(image);
    Ok(tool
        .args(["-tar", "-noappend", "-quiet", "-no-progress", "-exit-on-error", "-no-xattrs"])
        .args(["-comp", "zstd", "-Xcompression-level", LEVEL, "-b", BLOCK])
        .args(["-mkfs-time", &time, "-root-time", &time, "-root-mode", "0755"])
        .args(["-default-mode", "0755", "-default-uid", "0", "-default-gid", "0"])
        .args(["-processors", &sealing.context.jobs.to_string(), "-mem", MEMORY])
        .stdin_pipe()
        // Where the stream is still being made, that is what takes longest.
        .yielding())
}
