//! A block map: which blocks of an image hold something, with a digest of each range, as `bmaptool copy` reads it (version 2.0
//! of its XML format, which its source BmapCreate.py describes).
//!
//! Blocks that are not in it are not written by bmaptool, and keep what the disk had. So it also has the blocks of which zeroes
//! mean something: both partition tables, the tables of the ESP, and the secrets partition.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use crate::atomic;
use crate::digest::Sha256;
use crate::disk::layout::MIB;
use crate::disk::{Role, gpt};
use crate::flash::fat::Volume;
use crate::flash::ranges;

/// The size of a block in bytes.
const BLOCK: u64 = 4096;

/// Where the file's own digest stands while that is made.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes the block map of the image `file` to `target`. `filled` are the parts of it that are not all zero.
///
/// # Errors
/// If a file cannot be read or written, or it is no image of ours.
pub fn write(file: &File, filled: &[Range<u64>], target: &Path) -> Result<()> {
    let mut parts = filled.to_vec();
    parts.extend(meant(file)?);
    atomic::write(target, text(file, parts)?.as_bytes())
}

/// The parts of an image in which zeroes mean something.
fn meant(mut file: &File) -> Result<Vec<Range<u64>>> {
    let size = file.metadata().context("measuring the image")?.len();
    let layout = gpt::read(&mut file)?;
    let mut parts = vec![0..MIB.min(size), size.saturating_sub(MIB)..size];
    if let Some(esp) = layout.find(Role::Esp) {
        let read = |at: u64, bytes: &mut [u8]| file.read_exact_at(bytes, esp.start + at);
        let head = Volume::open(&read).context("looking into the ESP of the image")?.head_bytes();
        parts.push(esp.start..esp.start + head);
    }
    parts.extend(layout.find(Role::Secrets).map(|part| part.start..part.start + part.length));
    Ok(parts)
}

/// The block map of `file` with these `parts`.
fn text(file: &File, parts: Vec<Range<u64>>) -> Result<String> {
    let size = file.metadata().context("measuring the image")?.len();
    let mapped = ranges::joined(parts, BLOCK, 0);
    let one = |range: &Range<u64>| -> Result<Sha256> {
        let end = range.end.min(size);
        Sha256::of_reader(Part { file, range: range.start..end }).context("reading the image")
    };
    let digests: Vec<Sha256> = mapped.par_iter().map(one).collect::<Result<_>>()?;
    let blocks: u64 = mapped.iter().map(|range| (range.end - range.start) / BLOCK).sum();
    let mut text = format!(
        "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> {size} </ImageSize>\n    \
         <BlockSize> {BLOCK} </BlockSize>\n    <BlocksCount> {} </BlocksCount>\n    \
         <MappedBlocksCount> {blocks} </MappedBlocksCount>\n    <ChecksumType> sha256 </ChecksumType>\n    \
         <BmapFileChecksum> {NO_DIGEST} </BmapFileChecksum>\n    <BlockMap>\n",
        size.div_ceil(BLOCK),
    );
    for (range, digest) in mapped.iter().zip(&digests) {
        let (first, last) = (range.start / BLOCK, range.end / BLOCK - 1);
        let blocks = if first == last { first.to_string() } else { format!("{first}-{last}") };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "        <Range chksum=\"{digest}\"> {blocks} </Range>");
    }
    text.push_str("    </BlockMap>\n</bmap>\n");
    // The digest is that of the file with zeroes in the digest's place.
    let digest = Sha256::of_bytes(text.as_bytes()).to_string();
    Ok(text.replacen(NO_DIGEST, &digest, 1))
}

/// A part of a file, read from its beginning to its end.
struct Part<'a> {
    file: &'a File,
    range: Range<u64>,
}

impl Read for Part<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        let length = bytes.len().min(left);
        let count = self.file.read_at(&mut bytes[..length], self.range.start)?;
        self.range.start += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_counted_and_digested() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.img");
        let mut bytes = vec![0; 10 * 4096];
        bytes[4096 * 2] = 1;
        bytes[4096 * 9 + 5] = 2;
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        let text = text(&file, vec![9 * 4096..10 * 4096, 4096..3 * 4096, 2 * 4096..4 * 4096]).unwrap();
        let digest = |part: Range<usize>| Sha256::of_bytes(&bytes[part.start * 4096..part.end * 4096]);
        for wanted in [
            "<ImageSize> 40960 </ImageSize>".to_owned(),
            "<BlocksCount> 10 </BlocksCount>".to_owned(),
            "<MappedBlocksCount> 4 </MappedBlocksCount>".to_owned(),
            format!("<Range chksum=\"{}\"> 1-3 </Range>", digest(1..4)),
            format!("<Range chksum=\"{}\"> 9 </Range>", digest(9..10)),
        ] {
            assert_eq!(text.matches(&wanted).count(), 1, "{wanted} in {text}");
        }
        let (front, back) = text.split_once("<BmapFileChecksum> ").unwrap();
        let (own, back) = back.split_once(" </BmapFileChecksum>").unwrap();
        let blank = format!("{front}<BmapFileChecksum> {NO_DIGEST} </BmapFileChecksum>{back}");
        assert_eq!(own, Sha256::of_bytes(blank.as_bytes()).to_string());
    }
}
