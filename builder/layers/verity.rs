//! dm-verity hash trees: a filesystem image goes in; superblock, tree and root hash come out.
//!
//! The format is version 1 of the kernel's Documentation/admin-guide/device-mapper/verity.rst with the superblock that
//! cryptsetup's veritysetup(8) writes and expects. Salt and UUID are constants: they protect nothing here, and equal
//! images have to have equal trees.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256 as Hash};

use crate::debian::unpack::in_parallel;
use crate::digest::Sha256;
use crate::interrupt;

/// Bytes in a block, of data and of hashes.
const BLOCK: u64 = 4096;

/// Data blocks that one thread hashes at a time.
const CHUNK: u64 = 4096;

/// Goes into every digest before the data.
const SALT: [u8; 32] = *b"boxwright/verity/salt/version/01";

/// The identity of the hash tree, which nothing looks at.
const UUID: [u8; 16] = *b"boxwright/verity";

/// Where the tree of a filesystem of `bytes` begins, from the begin of the layer: it is padded to whole blocks.
pub fn begin(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

/// The hash tree of the bytes `place` of `image`, whose number is a multiple of [`BLOCK`]: superblock and all levels, the one
/// of the fewest blocks first; and the root hash.
pub(super) fn tree(image: &File, place: Range<u64>, jobs: usize) -> Result<(Vec<u8>, Sha256)> {
    let data = place.end.saturating_sub(place.start);
    ensure!(
        data > 0 && data.is_multiple_of(BLOCK),
        "the image has {data} bytes, which is no number of blocks"
    );
    let blocks = data / BLOCK;
    let starts: Vec<u64> = (0..blocks).step_by(CHUNK as usize).collect();
    let hashes = in_parallel(&starts, jobs, |start| {
        interrupt::check()?;
        let count = CHUNK.min(blocks - start);
        let mut chunk = vec![0; (count * BLOCK) as usize];
        image.read_exact_at(&mut chunk, place.start + start * BLOCK).context("reading the image")?;
        Ok(digests(&chunk))
    })?;
    let hashes = hashes.concat();
    let mut bytes = superblock(blocks);
    if blocks == 1 {
        // Without anything to combine there are no levels.
        return Ok((bytes, hex::encode(hashes).parse()?));
    }
    let mut levels = vec![padded(hashes)];
    while let Some(lower) = levels.last().filter(|lower| lower.len() as u64 > BLOCK) {
        levels.push(padded(digests(lower)));
    }
    let root = levels.last().map(|top| digest(top)).unwrap_or_default();
    levels.iter().rev().for_each(|level| bytes.extend(level));
    Ok((bytes, hex::encode(root).parse()?))
}

/// The digests of the blocks of `bytes`, one after the other.
fn digests(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(BLOCK as usize).flat_map(digest).collect()
}

fn digest(block: &[u8]) -> [u8; 32] {
    Hash::new().chain_update(SALT).chain_update(block).finalize().into()
}

/// `hashes`, filled up with zeros to whole blocks.
fn padded(mut hashes: Vec<u8>) -> Vec<u8> {
    hashes.resize(hashes.len().next_multiple_of(BLOCK as usize), 0);
    hashes
}

/// One block that tells how the tree was made; numbers are little-endian.
fn superblock(data_blocks: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(b"verity\0\0");
    // Version of the superblock; type of the hashes (1: salt first, digests unpadded).
    bytes.extend([1_u32, 1].map(u32::to_le_bytes).as_flattened());
    bytes.extend(UUID);
    let mut algorithm = [0; 32];
    algorithm[..6].copy_from_slice(b"sha256");
    bytes.extend(algorithm);
    bytes.extend([BLOCK as u32, BLOCK as u32].map(u32::to_le_bytes).as_flattened());
    bytes.extend(data_blocks.to_le_bytes());
    bytes.extend((SALT.len() as u16).to_le_bytes());
    bytes.extend([0; 6]);
    bytes.extend(SALT);
    padded(bytes)
}

/// How many bytes superblock and tree of `data` bytes take.
#[cfg(test)]
fn length(data: u64) -> u64 {
    let (mut level, mut total) = (data / BLOCK, 1);
    while level > 1 {
        level = level.div_ceil(BLOCK / 32);
        total += level;
    }
    total * BLOCK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_have_the_size_of_their_levels() {
        for blocks in [1, 2, 128, 129, 128 * 128 + 1] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(blocks * BLOCK).unwrap();
            let (tree, root) = tree(&file, 0..blocks * BLOCK, 2).unwrap();
            assert_eq!(tree.len() as u64, length(blocks * BLOCK), "{blocks} blocks");
            assert_eq!(root, self::tree(&file, 0..blocks * BLOCK, 1).unwrap().1);
        }
        assert!(tree(&tempfile::tempfile().unwrap(), 0..0, 1).is_err());
    }
}
