//! A file compressed so that any part of it can be read alone: zstd's seekable format 0.1.0, which is frames of equal content
//! length and a table of them in a frame that every zstd program skips
//! (<https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md>).
//!
//! The layers of an image are compressed already and the rest is mostly empty: the fastest level is all that it takes.

use std::fs::File;
use std::io::{Read as _, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::atomic::AtomicFile;
use crate::interrupt;

/// How much of the file is in one frame, in bytes. Two images of equal content are packed alike: never by the machine.
pub const FRAME_BYTES: u64 = 2 << 20;

/// How many frames are in memory at once.
const AT_ONCE: u64 = 32;

/// The magic number of the skippable frame with the table.
const SKIPPABLE: u32 = 0x184d_2a5e;
/// The magic number at the end of the table.
const SEEKABLE: u32 = 0x8f92_eab1;

/// Compresses `file` to `target`. `filled` are the parts of it that are not all zero. `progress` is told how many bytes of the
/// file are done. Returns the size of the result in bytes. Who may not read `file` may not read the result.
///
/// # Errors
/// If a file cannot be read or written, or the user asks to stop; `target` is untouched then.
pub fn write(file: &File, filled: &[Range<u64>], target: &Path, progress: &dyn Fn(u64)) -> Result<u64> {
    let metadata = file.metadata().context("measuring the image")?;
    let size = metadata.len();
    let context = || format!("writing {}", target.display());
    let mut packed = AtomicFile::create(target)?;
    if metadata.mode() & 0o004 == 0 {
        packed.keep_private()?;
    }
    let mut table = Vec::new();
    let mut written = 0;
    let frames = size.div_ceil(FRAME_BYTES);
    let empty = frame(&vec![0; usize::try_from(FRAME_BYTES)?])?;
    for first in (0..frames).step_by(usize::try_from(AT_ONCE)?) {
        interrupt::check()?;
        let batch: Vec<u64> = (first..frames.min(first + AT_ONCE)).collect();
        let made: Vec<(Vec<u8>, u64)> = batch
            .into_par_iter()
            .map(|number| {
                let start = number * FRAME_BYTES;
                let length = FRAME_BYTES.min(size - start);
                if length == FRAME_BYTES && !touches(filled, start..start + length) {
                    return Ok((empty.clone(), length));
                }
                let mut bytes = vec![0; usize::try_from(length)?];
                file.read_exact_at(&mut bytes, start).context("reading the image")?;
                Ok((frame(&bytes)?, length))
            })
            .collect::<Result<_>>()?;
        for (bytes, length) in made {
            packed.write_all(&bytes).with_context(context)?;
            table.extend_from_slice(&u32::try_from(bytes.len())?.to_le_bytes());
            table.extend_from_slice(&u32::try_from(length)?.to_le_bytes());
            written += bytes.len() as u64;
            progress(length);
        }
    }
    let table = seek_table(&table, u32::try_from(frames)?)?;
    packed.write_all(&table).with_context(context)?;
    packed.commit_unsynced()?;
    Ok(written + table.len() as u64)
}

/// The skippable frame with the table: `entries` are pairs of compressed and plain length, without checksums.
fn seek_table(entries: &[u8], frames: u32) -> Result<Vec<u8>> {
    let mut table = Vec::with_capacity(entries.len() + 17);
    table.extend_from_slice(&SKIPPABLE.to_le_bytes());
    table.extend_from_slice(&u32::try_from(entries.len() + 9)?.to_le_bytes());
    table.extend_from_slice(entries);
    table.extend_from_slice(&frames.to_le_bytes());
    table.push(0);
    table.extend_from_slice(&SEEKABLE.to_le_bytes());
    Ok(table)
}

fn touches(filled: &[Range<u64>], part: Range<u64>) -> bool {
    let first = filled.partition_point(|range| range.end <= part.start);
    filled.get(first).is_some_and(|range| range.start < part.end)
}

/// One frame. What does not come back as it was is stored as it is: an image must not depend on a compressor.
fn frame(bytes: &[u8]) -> Result<Vec<u8>> {
    for level in [CompressionLevel::Fastest, CompressionLevel::Uncompressed] {
        let packed = compress_to_vec(bytes, level);
        if comes_back(&packed, bytes) {
            return Ok(packed);
        }
    }
    bail!("a part of it does not come back as it was; build without --compress, and pack the image with zstd")
}

fn comes_back(packed: &[u8], bytes: &[u8]) -> bool {
    let mut back = Vec::with_capacity(bytes.len());
    StreamingDecoder::new(packed).is_ok_and(|mut frame| frame.read_to_end(&mut back).is_ok()) && back == bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::content;

    /// 5 MiB and a bit: text, noise, and nothing.
    fn plain() -> Vec<u8> {
        let mut bytes = vec![0; (5 << 20) + 77];
        let mut state = 1_u32;
        for byte in &mut bytes[100..1 << 20] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        for (index, byte) in bytes[(4 << 20)..].iter_mut().enumerate() {
            *byte = b"a boxwright image "[index % 18];
        }
        bytes
    }

    fn packed(folder: &Path, holes: bool) -> Vec<u8> {
        let (source, target) = (folder.join("a.img"), folder.join("a.img.zst"));
        let bytes = plain();
        let file = File::create(&source).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(&bytes[..1 << 20], 0).unwrap();
        let rest = if holes { 4 << 20 } else { 1 << 20 };
        file.write_all_at(&bytes[rest..], rest as u64).unwrap();
        let file = File::open(&source).unwrap();
        let filled = content::read(&file, &|_| ()).unwrap().filled;
        let size = write(&file, &filled, &target, &|_| ()).unwrap();
        let packed = std::fs::read(&target).unwrap();
        assert_eq!(packed.len() as u64, size);
        packed
    }

    fn number(bytes: &[u8]) -> usize {
        u32::from_le_bytes(bytes.try_into().unwrap()) as usize
    }

    #[test]
    fn every_frame_of_the_table_can_be_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let packed = packed(folder.path(), true);
        let plain = plain();
        let footer = &packed[packed.len() - 9..];
        assert_eq!((number(&footer[..4]), footer[4], number(&footer[5..])), (3, 0, SEEKABLE as usize));
        let table = &packed[packed.len() - 9 - 3 * 8 - 8..];
        assert_eq!((number(&table[..4]), number(&table[4..8])), (SKIPPABLE as usize, 3 * 8 + 9));
        let (mut from, mut at) = (0, 0);
        for entry in table[8..8 + 3 * 8].chunks(8) {
            let (short, long) = (number(&entry[..4]), number(&entry[4..]));
            let mut back = Vec::new();
            StreamingDecoder::new(&packed[from..from + short]).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == plain[at..at + long], "the frame at {at}");
            (from, at) = (from + short, at + long);
        }
        assert_eq!((from, at), (packed.len() - table.len(), plain.len()));
    }

    #[test]
    fn the_copy_of_a_private_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        for given in [0o600, 0o644] {
            let target = folder.path().join("a.img.zst");
            let file = File::create(folder.path().join("a.img")).unwrap();
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(given)).unwrap();
            let file = File::open(folder.path().join("a.img")).unwrap();
            write(&file, &[], &target, &|_| ()).unwrap();
            assert_eq!(mode(&target), given);
        }
    }

    #[test]
    fn holes_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(packed(folder.path(), true), packed(folder.path(), false));
    }
}
