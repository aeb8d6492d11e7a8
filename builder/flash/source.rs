//! The image: opened, unpacked where it is compressed, and held to the digest of its manifest before any disk is touched.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use gptman::GPTPartitionEntry;
use zeroize::Zeroizing;

use super::frames::Frames;
use super::ranges;
use crate::build::manifest::Manifest;
use crate::diag::InputError;
use crate::digest::Sha256;
use crate::disk::gpt;
use crate::disk::layout::{MIB, SECRETS_BYTES};
use crate::disk::{Layout, Role, content};
use crate::interrupt;
use crate::secrets::bundle;
use crate::ui::{Ui, human_bytes};

/// An image that is what its manifest says, or of which nobody can say.
#[derive(Debug)]
pub struct Source {
    /// The image, unpacked, with its holes.
    pub file: File,
    /// What the user called it.
    pub path: PathBuf,
    /// Its partitions.
    pub layout: Layout,
    /// The entries of its table.
    pub entries: Vec<(u32, GPTPartitionEntry)>,
    /// Where it holds data.
    pub mapped: Vec<Range<u64>>,
    /// Its manifest, if it has one.
    pub manifest: Option<Manifest>,
    /// Whether nobody has to say that it is whole.
    unverified: bool,
    /// The digest of its content, if that was compared.
    pub digest: Option<Sha256>,
}

/// How an image may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Zstd,
    Gzip,
}

impl Source {
    /// Opens the image at `path`. A compressed one is unpacked into a nameless file in `scratch`. An image without a manifest
    /// is refused unless `unverified`.
    ///
    /// # Errors
    /// [`InputError`] if it is no image of ours, or not what its manifest says.
    pub fn open(path: &Path, scratch: &Path, unverified: bool, ui: &Ui) -> Result<Self> {
        if !path.is_file() {
            bail!(InputError(format!(
                "{} is no file; `boxwright build PROFILE` prints the path of an image",
                path.display()
            )));
        }
        let manifest = Manifest::load(&unpacked_name(path));
        if let Some(missing) = missing_manifest(path).filter(|_| !unverified) {
            bail!(InputError(missing));
        }
        let file = match packing(path)? {
            Packing::Plain => File::open(path).with_context(|| format!("opening {}", path.display()))?,
            packing => unpack(path, packing, scratch, (manifest.as_ref(), ui))?,
        };
        let damaged = |error: anyhow::Error| {
            InputError(format!("{}: {error:#}; it is no image of Boxwright's, or damaged", path.display()))
        };
        let layout = gpt::read(&mut &file).map_err(damaged)?;
        if layout.find(Role::Secrets).is_some_and(|partition| partition.length > SECRETS_BYTES) {
            // All of it is held in memory.
            return Err(damaged(anyhow!("its secrets partition is larger than any")).into());
        }
        let table = gpt::read_table(&mut &file).map_err(damaged)?;
        let used = table.iter().filter(|(_, entry)| entry.is_used());
        let entries = used.map(|(number, entry)| (number, entry.clone())).collect();
        let mapped = content::mapped(&file).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { file, path: path.to_owned(), layout, entries, mapped, manifest, unverified, digest: None })
    }

    /// Compares all of it with its manifest, unless that was waived.
    ///
    /// # Errors
    /// [`InputError`] if it is something else.
    pub fn check(&mut self, ui: &Ui) -> Result<()> {
        let Some(manifest) = self.manifest.as_ref().filter(|_| !self.unverified) else { return Ok(()) };
        let advice = "get it again together with its manifest, or build it again";
        let Some(wanted) = manifest.content else {
            let path = self.path.display();
            bail!(InputError(format!(
                "the manifest of {path} is of an older program and has no digest: build the image again"
            )));
        };
        let step = ui.step("checking the image");
        step.total_bytes(self.mapped.iter().map(|range| range.end - range.start).sum());
        let read = content::read(&self.file, &|bytes| step.advance(bytes))
            .with_context(|| format!("reading {}", self.path.display()))?;
        let found = read.digest;
        if found != wanted {
            bail!(InputError(format!(
                "{} is not what its manifest says: it is damaged, or was changed after it was built (digest {found}, and {wanted} in the manifest); {advice}",
                self.path.display()
            )));
        }
        step.done(format!("it is what its manifest says, {}", &found.to_string()[..16]));
        self.digest = Some(found);
        // A copy that has lost its holes is not written as if it were full.
        self.mapped = ranges::common(&self.mapped, &read.filled);
        Ok(())
    }

    /// Where its manifest is.
    pub fn manifest_path(&self) -> PathBuf {
        Manifest::path(&unpacked_name(&self.path))
    }

    /// Where the partitions end.
    pub fn end(&self) -> u64 {
        let ends = self.layout.partitions.iter().map(|partition| partition.start + partition.length);
        ends.max().unwrap_or(MIB)
    }

    /// Whether it has a bundle, as one of `build --secrets`.
    pub fn has_secrets(&self) -> bool {
        self.bundle().is_none_or(|bytes| bundle::examine(&bytes) != bundle::Contents::Empty)
    }

    /// What that bundle tells its box apart by: the same for every disk that is written from this image.
    pub fn incarnation(&self) -> Option<u64> {
        bundle::incarnation(&self.bundle()?)
    }

    /// The secrets partition; `None` if it cannot be read.
    fn bundle(&self) -> Option<Zeroizing<Vec<u8>>> {
        let Some(partition) = self.layout.find(Role::Secrets) else { return Some(Zeroizing::default()) };
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(partition.length).unwrap_or_default()]);
        self.file.read_exact_at(&mut bytes, partition.start).ok()?;
        Some(bytes)
    }
}

/// What is wrong if the image at `path` has no manifest beside it.
pub fn missing_manifest(path: &Path) -> Option<String> {
    let unpacked = unpacked_name(path);
    if !path.is_file() || Manifest::load(&unpacked).is_some() {
        return None;
    }
    Some(format!(
        "{} is missing or of another program, so nobody can say whether {} is whole: put it beside the image",
        Manifest::path(&unpacked).display(),
        path.display()
    ))
}

/// The name that an image has when it is unpacked: its manifest is named after that.
fn unpacked_name(path: &Path) -> PathBuf {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst" | "gz") => path.with_extension(""),
        _ => path.to_owned(),
    }
}

/// How `path` is packed, by its first bytes: names may be wrong.
fn packing(path: &Path) -> Result<Packing> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut magic = [0; 4];
    let read = file.read_at(&mut magic, 0).with_context(|| format!("reading {}", path.display()))?;
    Ok(match &magic[..read] {
        // A frame with content, or one to skip.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Packing::Zstd,
        [0x1f, 0x8b, ..] => Packing::Gzip,
        _ => Packing::Plain,
    })
}

/// Unpacks `path` into a file without a name, which is gone when it is closed; zeroes become holes.
fn unpack(path: &Path, packing: Packing, scratch: &Path, with: (Option<&Manifest>, &Ui)) -> Result<File> {
    let (manifest, ui) = with;
    std::fs::create_dir_all(scratch).with_context(|| format!("creating {}", scratch.display()))?;
    let target = tempfile::tempfile_in(scratch)
        .with_context(|| format!("unpacking the image into {}", scratch.display()))?;
    let step = ui.step("unpacking the image");
    let most = manifest.map_or(u64::MAX, |manifest| manifest.size);
    if let Some(manifest) = manifest {
        step.total_bytes(manifest.size);
    }
    let packed = BufReader::with_capacity(
        1 << 20,
        OpenOptions::new().read(true).open(path).with_context(|| format!("opening {}", path.display()))?,
    );
    let damaged =
        |what: String| InputError(format!("{} cannot be unpacked: {what}; get it again", path.display()));
    let mut reader: Box<dyn Read> = match packing {
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        _ => Box::new(Frames::new(packed)),
    };
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        interrupt::check()?;
        let filled = fill(&mut reader, &mut buffer).map_err(|error| damaged(error.to_string()))?;
        if filled == 0 {
            break;
        }
        if !content::is_zero(&buffer[..filled]) {
            target
                .write_all_at(&buffer[..filled], size)
                .with_context(|| format!("unpacking the image into {}", scratch.display()))?;
        }
        size += filled as u64;
        if size > most {
            bail!(damaged(format!("it is larger than the {most} bytes that its manifest says")));
        }
        step.advance(filled as u64);
    }
    target.set_len(size).with_context(|| format!("unpacking the image into {}", scratch.display()))?;
    step.done(human_bytes(size));
    Ok(target)
}

/// Reads until `buffer` is full or there is no more.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn packed_files_come_out_as_they_were_with_holes() {
        let folder = tempfile::tempdir().unwrap();
        let mut plain = vec![0; 3 << 20];
        plain[(2 << 20)..(2 << 20) + 5].copy_from_slice(b"image");
        let gz = folder.path().join("a.img.gz");
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&gz).unwrap(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap();
        let zst = folder.path().join("a.img.zst");
        let frames = plain.chunks(2 << 20).flat_map(|part| {
            ruzstd::encoding::compress_to_vec(part, ruzstd::encoding::CompressionLevel::Fastest)
        });
        let skipped = [0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'x', b'y', b'z'];
        let first: Vec<u8> = skipped.into_iter().chain(frames).chain(skipped).collect();
        std::fs::write(&zst, first).unwrap();
        for path in [gz, zst] {
            let packing = packing(&path).unwrap();
            assert_ne!(packing, Packing::Plain);
            let file = unpack(&path, packing, folder.path(), (None, &Ui::silent())).unwrap();
            let mut read = vec![0; plain.len()];
            file.read_exact_at(&mut read, 0).unwrap();
            assert!(read == plain && file.metadata().unwrap().len() == plain.len() as u64);
            assert_eq!(content::mapped(&file).unwrap().len(), 1);
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
            let error = unpack(&path, packing, folder.path(), (None, &Ui::silent())).unwrap_err();
            assert!(error.is::<InputError>(), "{error:#}");
        }
        assert_eq!(unpacked_name(Path::new("out/x.img.zst")), Path::new("out/x.img"));
    }
}
