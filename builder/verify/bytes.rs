//! Where two regions differ. What is a hole in both is not read.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result};

use super::image::Image;
use crate::disk::Partition;
use crate::interrupt;

/// How much is compared at once, in bytes.
const CHUNK: u64 = 1 << 20;
/// How many of the bytes that differ are shown.
const SHOWN: usize = 16;

/// A part of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region<'a> {
    pub(super) image: &'a Image,
    pub(super) start: u64,
    pub(super) length: u64,
}

impl<'a> Region<'a> {
    /// The region of `partition`.
    pub(super) fn of(image: &'a Image, partition: &Partition) -> Self {
        Self { image, start: partition.start, length: partition.length }
    }

    /// Reads at an offset of the region; behind its end there are zeroes.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        buffer.fill(0);
        let rest = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = rest.min(buffer.len());
        let (mut done, file): (usize, &File) = (0, &self.image.file);
        while let Some(part) = buffer.get_mut(done..length).filter(|part| !part.is_empty()) {
            let count = file.read_at(part, self.start + offset + done as u64);
            let count = count.with_context(|| format!("reading {}", self.image.path.display()))?;
            if count == 0 {
                break;
            }
            done += count;
        }
        Ok(())
    }

    /// The chunks of the region that are no holes, by their numbers.
    fn chunks(&self) -> impl Iterator<Item = u64> {
        let (start, end) = (self.start, self.start + self.length);
        let inside = self.image.mapped.iter().filter_map(move |data: &Range<u64>| {
            let range = data.start.max(start)..data.end.min(end);
            (range.start < range.end)
                .then(|| (range.start - start) / CHUNK..(range.end - start).div_ceil(CHUNK))
        });
        inside.flatten()
    }
}

/// The first place in which two regions differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    /// Bytes from the beginning.
    pub(super) offset: u64,
    /// The bytes from there on, of each.
    both: [Vec<u8>; 2],
}

impl Spot {
    /// Both in hexadecimal digits.
    pub(super) fn shown(&self) -> [String; 2] {
        self.both.each_ref().map(|bytes| shown(bytes))
    }
}

/// Bytes as they are shown to a person.
fn shown(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "ends there".to_owned();
    }
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = String::from_utf8_lossy(bytes).replace(|c: char| c.is_control() || c == '\u{fffd}', ".");
    format!("{} `{text}`", digits.join(" "))
}

/// The first difference of two regions; the shorter one is followed by zeroes.
pub(super) fn first_difference(regions: [Region<'_>; 2]) -> Result<Option<Spot>> {
    let mut chunks: Vec<u64> = regions.iter().flat_map(Region::chunks).collect();
    chunks.sort_unstable();
    chunks.dedup();
    let [mut one, mut other] = [vec![0; CHUNK as usize], vec![0; CHUNK as usize]];
    for chunk in chunks {
        interrupt::check()?;
        regions[0].read(chunk * CHUNK, &mut one)?;
        regions[1].read(chunk * CHUNK, &mut other)?;
        if let Some(at) = place(&one, &other) {
            let both = [&one, &other].map(|bytes| bytes.iter().skip(at).take(SHOWN).copied().collect());
            return Ok(Some(Spot { offset: chunk * CHUNK + at as u64, both }));
        }
    }
    Ok(None)
}

/// The first difference of two streams.
pub(super) fn of_streams(mut one: impl Read, mut other: impl Read) -> Result<Option<Spot>> {
    let mut offset = 0;
    loop {
        interrupt::check()?;
        let [mut left, mut right] = [Vec::new(), Vec::new()];
        (&mut one).take(CHUNK).read_to_end(&mut left).context("reading a file")?;
        (&mut other).take(CHUNK).read_to_end(&mut right).context("reading a file")?;
        let shorter = left.len().min(right.len());
        let at = place(&left, &right).or((left.len() != right.len()).then_some(shorter));
        if let Some(at) = at {
            let both = [left, right].map(|bytes| bytes.into_iter().skip(at).take(SHOWN).collect());
            return Ok(Some(Spot { offset: offset + at as u64, both }));
        }
        if left.is_empty() {
            return Ok(None);
        }
        offset += left.len() as u64;
    }
}

fn place(one: &[u8], other: &[u8]) -> Option<usize> {
    if one == other { None } else { one.iter().zip(other).position(|(one, other)| one != other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_where_a_byte_or_the_length_does() {
        let spot = |one: &[u8], other: &[u8]| of_streams(one, other).unwrap();
        assert_eq!(spot(b"same", b"same"), None);
        assert_eq!(spot(b"abcd", b"abXd").unwrap().offset, 2);
        let longer = spot(b"ab", b"abc\n").unwrap();
        assert_eq!((longer.offset, longer.shown()), (2, ["ends there".into(), "63 0a `c.`".into()]));
        let mut large = vec![7; 3 << 20];
        let copy = large.clone();
        large[(2 << 20) + 5] = 8;
        assert_eq!(spot(&copy, &large).unwrap().offset, (2 << 20) + 5);
    }
}
