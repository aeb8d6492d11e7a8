//! What is in an image file: where its data is, and the digest of all of it.
//!
//! Both treat a hole and written zeroes alike, so that a copy that lost its holes is still the same image.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use rustix::fs::{SeekFrom, seek};

use super::layout::MIB;
use crate::digest::{Hasher, Sha256};
use crate::interrupt;

/// As many zeroes as a chunk of the digest has bytes.
static ZEROES: [u8; MIB as usize] = [0; MIB as usize];

/// Whether `bytes`, a MiB at the most, are all zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes == &ZEROES[..bytes.len().min(ZEROES.len())]
}

/// Where `file` holds data, in order; what is in between are holes.
///
/// # Errors
/// Any error of the filesystem.
pub fn mapped(file: &File) -> io::Result<Vec<Range<u64>>> {
    let length = file.metadata()?.len();
    let mut found = Vec::new();
    let mut position = 0;
    while position < length {
        let start = match seek(file, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        position = seek(file, SeekFrom::Hole(start))?;
        found.push(start..position);
    }
    Ok(found)
}

/// What is in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Tells it from every other.
    pub digest: Sha256,
    /// Where it is not all zero, in whole MiB.
    pub filled: Vec<Range<u64>>,
}

/// The content of the image at `path`; see [`read`].
///
/// # Errors
/// As for [`read`].
pub fn of(path: &Path) -> Result<Content> {
    let context = || format!("reading {}", path.display());
    let file = File::open(path).with_context(context)?;
    read(&file, &|_| ()).with_context(context)
}

/// The digest of the file at `path`, byte for byte. Holes are not read.
///
/// # Errors
/// If it cannot be read, or the user asks to stop.
pub fn every_byte(path: &Path) -> Result<Sha256> {
    let context = || format!("reading {}", path.display());
    let file = File::open(path).with_context(context)?;
    let size = file.metadata().with_context(context)?.len();
    let (mut hasher, mut buffer, mut position) = (Hasher::new(), ZEROES.to_vec(), 0);
    for range in mapped(&file).with_context(context)?.into_iter().chain(std::iter::once(size..size)) {
        while position < range.end {
            interrupt::check()?;
            let hole = position < range.start;
            let length = MIB.min(if hole { range.start } else { range.end } - position);
            let chunk = &mut buffer[..usize::try_from(length).unwrap_or_default()];
            if hole {
                hasher.write_all(&ZEROES[..chunk.len()])?;
            } else {
                file.read_exact_at(chunk, position).with_context(context)?;
                hasher.write_all(chunk)?;
            }
            position += length;
        }
    }
    Ok(hasher.finish())
}

/// The content of `file`. Its digest is that of its size, and of each MiB that is not all zero, with its place. `progress` is
/// told how many bytes of data were read.
///
/// # Errors
/// If it cannot be read, or the user asks to stop.
pub fn read(file: &File, progress: &(dyn Fn(u64) + Sync)) -> Result<Content> {
    let size = file.metadata().context("measuring the image")?.len();
    let mut chunks: Vec<u64> = Vec::new();
    for range in mapped(file).context("finding the image's data")? {
        let first = chunks.last().map_or(0, |last| last + 1).max(range.start / MIB);
        chunks.extend(first..range.end.div_ceil(MIB));
    }
    let one = |buffer: &mut Vec<u8>, chunk: &u64| -> Result<Option<Sha256>> {
        interrupt::check()?;
        let start = chunk * MIB;
        let length = MIB.min(size.saturating_sub(start));
        let bytes = &mut buffer[..usize::try_from(length).unwrap_or_default()];
        file.read_exact_at(bytes, start).context("reading the image")?;
        progress(length);
        Ok((!is_zero(bytes)).then(|| Sha256::of_bytes(bytes)))
    };
    let digests: Vec<Option<Sha256>> =
        chunks.par_iter().map_init(|| ZEROES.to_vec(), one).collect::<Result<_>>()?;
    let mut hasher = Hasher::new();
    hasher.field("size", &size.to_le_bytes());
    let mut filled = Vec::new();
    for (chunk, digest) in chunks.iter().zip(&digests) {
        if let Some(digest) = digest {
            hasher.field("chunk", &chunk.to_le_bytes()).field("digest", digest.bytes());
            filled.push(chunk * MIB..(chunk + 1) * MIB);
        }
    }
    Ok(Content { digest: hasher.finish(), filled })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &std::path::Path, name: &str, data: &[(u64, &[u8])], holes: bool) -> File {
        let path = folder.join(name);
        if holes {
            File::create(&path).unwrap().set_len(5 << 20).unwrap();
        } else {
            std::fs::write(&path, vec![0; 5 << 20]).unwrap();
        }
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        for (at, bytes) in data {
            file.write_all_at(bytes, *at).unwrap();
        }
        file
    }

    #[test]
    fn the_digest_heeds_every_byte_and_no_hole() {
        let folder = tempfile::tempdir().unwrap();
        let data: &[(u64, &[u8])] = &[(10, b"one"), ((3 << 20) - 1, b"two")];
        let of = |name: &str, data: &[(u64, &[u8])], holes| {
            read(&made(folder.path(), name, data, holes), &|_| ()).unwrap().digest
        };
        let sparse = of("a", data, true);
        assert_eq!(sparse, of("b", data, false));
        assert_ne!(sparse, of("c", &[(10, b"one"), ((3 << 20) - 1, b"twp")], true));
        assert_ne!(sparse, of("d", &[(10 + MIB, b"one"), ((3 << 20) - 1, b"two")], true));
        let file = made(folder.path(), "e", data, true);
        file.set_len(6 << 20).unwrap();
        let grown = read(&file, &|_| ()).unwrap();
        assert_ne!(sparse, grown.digest);
        assert_eq!(grown.filled, [0..MIB, 2 * MIB..3 * MIB, 3 * MIB..4 * MIB]);
    }

    #[test]
    fn every_byte_counts_also_those_of_holes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let data: &[(u64, &[u8])] = &[(10, b"one"), (3 << 20, &[1; 5000])];
        made(folder.path(), "a", data, true).set_len((5 << 20) + 7).unwrap();
        made(folder.path(), "b", data, false).set_len((5 << 20) + 7).unwrap();
        let read = Sha256::of_bytes(&std::fs::read(path("a")).unwrap());
        assert_eq!(every_byte(&path("a")).unwrap(), read);
        assert_eq!(every_byte(&path("b")).unwrap(), read);
        std::fs::write(path("c"), []).unwrap();
        assert_eq!(every_byte(&path("c")).unwrap(), Sha256::of_bytes(&[]));
    }

    #[test]
    fn holes_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = made(folder.path(), "a", &[(MIB, &[1; 4096]), (3 * MIB, &[1; 8192])], true);
        assert_eq!(mapped(&file).unwrap(), [MIB..MIB + 4096, 3 * MIB..3 * MIB + 8192]);
    }
}
