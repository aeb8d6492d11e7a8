//! What is written where: a pure value, made before anything is touched.
//!
//! The image goes to where it is in its file. In between, where it has holes, the disk is to read as zeroes. The receipt and
//! the secrets are patches of the image. Tables are made for the disk's real size, with GUIDs of its own.

use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, bail};
use gptman::GPTPartitionEntry;
use zeroize::Zeroize as _;

use super::contents::{Contents, State, role};
use super::ends::{Ends, HEAD};
use super::fat::{Patch, Volume};
use super::medium::ALIGNMENT;
use super::source::Source;
use super::{random, ranges, record};
use crate::disk::gpt::mixed;
use crate::disk::layout::{LEAST_BYTES, MIB, Role};
use crate::disk::{Layout, Partition};

/// Holes that are shorter than this are written: asking for them takes longer.
const SHORT: u64 = 64 << 10;

/// The name of the receipt on the ESP: `flashed.txt`.
pub const RECEIPT: &[u8; 11] = b"FLASHED TXT";

/// What a disk is to be told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guids {
    /// The disk's GUID, in text order.
    pub disk: [u8; 16],
    /// The ESP's GUID, in text order.
    pub esp: [u8; 16],
}

impl Guids {
    /// Those of a disk that is flashed now.
    ///
    /// # Errors
    /// If the kernel has no random numbers.
    pub fn random() -> Result<Self> {
        Ok(Self { disk: random::guid()?, esp: random::guid()? })
    }
}

/// What is wanted besides the image.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// What the secrets partition is to hold; otherwise what it has in the image.
    pub secrets: Option<&'a [u8]>,
    /// Whether the state on the disk, if any, goes.
    pub erase_state: bool,
    /// See [`Guids`].
    pub guids: Guids,
    /// What the receipt says, and its time in seconds since 1970.
    pub receipt: (&'a str, i64),
}

/// What is written where.
pub struct Plan {
    /// What is written from the image and the patches.
    pub copies: Vec<Range<u64>>,
    /// What has to read as zeroes.
    pub zeroes: Vec<Range<u64>>,
    /// What differs from the image.
    patches: Vec<Patch>,
    /// Where a former box's filesystems begin, which must not be found again.
    pub wipes: Vec<Range<u64>>,
    /// The first MiB until all else is written: no table.
    pub blank: Vec<u8>,
    /// Both ends when all else is written.
    pub ends: Ends,
    /// Where the secrets are to be.
    pub secrets: Option<Range<u64>>,
    /// The partitions, for messages.
    pub partitions: Vec<Partition>,
}

impl std::fmt::Debug for Plan {
    /// Without the patches: there are secrets among them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("copies", &self.copies)
            .field("zeroes", &self.zeroes)
            .finish_non_exhaustive()
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        for patch in &mut self.patches {
            patch.bytes.zeroize();
        }
    }
}

impl Plan {
    /// The plan for `source` on a disk of `size` bytes that holds `contents`, and that is not refused.
    ///
    /// # Errors
    /// If the image is damaged, or the parts do not fit.
    pub fn new(source: &Source, size: u64, contents: &Contents, wish: &Wish<'_>) -> Result<Self> {
        let kept = contents.state.as_ref().filter(|_| !wish.erase_state);
        let entries = entries(source, kept, &wish.guids)?;
        let ends = Ends::with_table(size, &wish.guids.disk, &entries)?;
        let mut blank = Ends::empty(size).head;
        if let Some(state) = kept {
            record::write(&mut blank, state);
        }
        let esp = source.layout.find(Role::Esp).context("the image has no ESP")?;
        let secrets = source.layout.find(Role::Secrets).map(|part| part.start..part.start + part.length);
        let (mut patches, head) = on_esp(source, esp, wish.receipt)?;
        // What zeroes mean something in is written in any case.
        let mut copies = source.mapped.clone();
        copies.push(esp.start..esp.start + head);
        copies.extend(secrets.clone());
        if let Some(bundle) = wish.secrets {
            let range = secrets.clone().context("the image has no secrets partition")?;
            let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
            let room =
                bytes.get_mut(..bundle.len()).context("the secrets do not fit into their partition")?;
            room.copy_from_slice(bundle);
            patches.push(Patch { at: range.start, bytes });
        }
        copies.extend(patches.iter().map(|patch| patch.at..patch.at + patch.bytes.len() as u64));
        let all = HEAD..source.end();
        let copies =
            ranges::common(&ranges::joined(copies, ALIGNMENT as u64, SHORT), std::slice::from_ref(&all));
        let zeroes = ranges::between(all, &copies);
        let wipes = match &contents.state {
            Some(state) if wish.erase_state => wipes(state, source, size),
            _ => Vec::new(),
        };
        let partitions = source.layout.partitions.clone();
        Ok(Self { copies, zeroes, patches, wipes, blank, ends, secrets, partitions })
    }

    /// Fills `bytes` with what belongs at `at`.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub fn fill(&self, source: &Source, at: u64, bytes: &mut [u8]) -> Result<()> {
        source
            .file
            .read_exact_at(bytes, at)
            .with_context(|| format!("reading {} at byte {at}", source.path.display()))?;
        let end = at + bytes.len() as u64;
        for patch in &self.patches {
            let to = patch.at + patch.bytes.len() as u64;
            let (first, last) = (patch.at.max(at), to.min(end));
            if first < last {
                let index = |place: u64, from: u64| usize::try_from(place - from).unwrap_or_default();
                bytes[index(first, at)..index(last, at)]
                    .copy_from_slice(&patch.bytes[index(first, patch.at)..index(last, patch.at)]);
            }
        }
        Ok(())
    }

    /// The partition that byte `at` of the disk is in, for messages.
    pub fn place(&self, at: u64) -> String {
        let inside = |part: &&Partition| (part.start..part.start + part.length).contains(&at);
        match self.partitions.iter().find(inside) {
            Some(part) => format!("byte {at} (byte {} of the partition {})", at - part.start, part.name),
            None => format!("byte {at}"),
        }
    }
}

/// The new table: the image's partitions, and those that stay.
fn entries(source: &Source, kept: Option<&State>, guids: &Guids) -> Result<Vec<(u32, GPTPartitionEntry)>> {
    let mut entries = source.entries.clone();
    for (_, entry) in &mut entries {
        if role(entry) == Some(Role::Esp) {
            entry.unique_partition_guid = mixed(&guids.esp);
        }
    }
    for (number, entry) in kept.iter().flat_map(|state| &state.entries) {
        let mut entry = entry.clone();
        // The layer is in the image as well, and the layer of an image is found by its GUID: this slot is free.
        if entries.iter().any(|(_, other)| other.unique_partition_guid == entry.unique_partition_guid) {
            entry.unique_partition_guid = mixed(&random::guid()?);
            entry.partition_name = "_empty".into();
        }
        let taken = |number: u32| entries.iter().any(|(other, _)| *other == number);
        let free = std::iter::once(*number).chain(1..=128).find(|number| !taken(*number));
        let Some(free) = free else { bail!("the partition table is full") };
        entries.push((free, entry));
    }
    Ok(entries)
}

/// The receipt on the ESP, and how long the part of the ESP is in which zeroes count.
fn on_esp(source: &Source, esp: &Partition, receipt: (&str, i64)) -> Result<(Vec<Patch>, u64)> {
    let read = |at: u64, bytes: &mut [u8]| source.file.read_exact_at(bytes, esp.start + at);
    let volume = Volume::open(&read).context("looking into the ESP of the image")?;
    let mut patches = volume.with_file(RECEIPT, receipt.0.as_bytes(), receipt.1)?;
    for patch in &mut patches {
        patch.at += esp.start;
    }
    Ok((patches, volume.head_bytes()))
}

/// How much a disk needs for `layout` and what the first start makes behind it, in bytes.
pub fn least_bytes(layout: &Layout) -> u64 {
    first_start(layout).saturating_add(LEAST_BYTES + MIB)
}

/// Where the first start makes the system partition: behind the second slots (`firmware/initrd/boxwright/partitions.sh`).
fn first_start(layout: &Layout) -> u64 {
    let ends = layout.partitions.iter().map(|part| part.start + part.length);
    let slot = |role| layout.find(role).map_or(0, |part| part.length);
    let end = ends.max().unwrap_or(MIB).next_multiple_of(MIB);
    end.saturating_add(slot(Role::Base)).saturating_add(slot(Role::Profile))
}

/// What of a partition is overwritten: both headers of LUKS2 and its key slots, as cryptsetup lays them out. Of a filesystem
/// the first MiB would do.
const BEGINNING: u64 = 16 * MIB;

/// The beginnings of the filesystems in `state`, and of what the first start would find in their place.
fn wipes(state: &State, source: &Source, size: u64) -> Vec<Range<u64>> {
    use crate::disk::gpt::SECTOR;
    let is_state = |entry: &GPTPartitionEntry| matches!(role(entry), Some(Role::System | Role::State));
    let mut starts: Vec<u64> = state
        .entries
        .iter()
        .filter(|(_, entry)| is_state(entry))
        .map(|(_, entry)| entry.starting_lba.saturating_mul(SECTOR))
        .collect();
    starts.push(first_start(&source.layout));
    let end =
        (size / SECTOR * SECTOR).saturating_sub(super::ends::TAIL) / ALIGNMENT as u64 * ALIGNMENT as u64;
    let begin = |start: u64| start.max(source.end())..start.saturating_add(BEGINNING).min(end);
    let found = starts.into_iter().map(begin).filter(|range| range.start < range.end);
    ranges::joined(found.collect(), ALIGNMENT as u64, 0)
}
