//! What is outside of partitions: both copies of the partition table, and the gaps.

use std::io::BufReader;

use anyhow::{Context as _, Result};
use gptman::GPT;

use super::bytes::{self, Region};
use super::image::Image;
use super::{Found, presence};
use crate::digest::guid_text;
use crate::disk::gpt::{self, SECTOR, mixed};

/// How much a copy of the table takes with its header, in bytes: 128 entries of 128 bytes, and one sector.
const COPY: u64 = 128 * 128 + SECTOR;

/// Compares what is outside of partitions.
///
/// # Errors
/// If one of the images cannot be read.
pub(super) fn compare(first: &Image, second: &Image, mut found: Found<'_>) -> Result<()> {
    let sizes = [first, second].map(|image| image.layout.total_bytes);
    if sizes[0] != sizes[1] {
        found.partition = "image".into();
        found.add(None, "size", sizes.map(|size| format!("{size} bytes")));
        found.partition = "partition table".into();
    }
    let tables = [read(first)?, read(second)?];
    let before = found.list.len();
    entries(&tables, &mut found);
    // Where the same partitions lie elsewhere, what lies between them has no counterpart.
    if found.list.len() > before || sizes[0] != sizes[1] {
        return Ok(());
    }
    for (start, end) in gaps(first) {
        let regions = [first, second].map(|image| Region { image, start, length: end - start });
        let Some(mut spot) = bytes::first_difference(regions)? else { continue };
        spot.offset += start;
        let (name, what) = match spot.offset {
            at if at < SECTOR => ("partition table", "protective MBR, from the beginning of the image,"),
            at if at < SECTOR + COPY => ("partition table", "first copy, from the beginning of the image,"),
            at if at >= sizes[0].saturating_sub(COPY) => {
                ("partition table", "second copy, from the beginning of the image,")
            }
            _ => ("between partitions", "bytes, from the beginning of the image,"),
        };
        found.partition = name.into();
        found.add_spot(what, &spot);
    }
    Ok(())
}

fn read(image: &Image) -> Result<GPT> {
    gpt::read_table(&mut BufReader::new(&image.file))
        .with_context(|| format!("reading the partition table of {}", image.path.display()))
}

/// Compares what the tables say.
fn entries(tables: &[GPT; 2], found: &mut Found<'_>) {
    let guids = tables.each_ref().map(|table| guid_text(&mixed(&table.header.disk_guid)));
    if guids[0] != guids[1] {
        found.add(None, "GUID of the disk", guids);
    }
    let most = tables.iter().map(|table| table.header.number_of_partition_entries).max().unwrap_or(0);
    for number in 1..=most {
        let pair = tables.each_ref().map(|table| {
            table
                .iter()
                .find(|(index, _)| *index == number)
                .map(|(_, entry)| entry)
                .filter(|entry| entry.is_used())
        });
        let name = pair.into_iter().flatten().next().map(gpt::name);
        let [Some(one), Some(other)] = pair else {
            if let Some(name) = name {
                found.add(Some(&name), "missing", pair.map(presence));
            }
            continue;
        };
        let facts: [(&'static str, [String; 2]); 5] = [
            ("name", [one, other].map(gpt::name)),
            ("type", [one, other].map(|entry| guid_text(&mixed(&entry.partition_type_guid)))),
            ("GUID", [one, other].map(|entry| guid_text(&mixed(&entry.unique_partition_guid)))),
            (
                "place",
                [one, other].map(|entry| format!("sectors {} to {}", entry.starting_lba, entry.ending_lba)),
            ),
            ("attributes", [one, other].map(|entry| format!("{:016x}", entry.attribute_bits))),
        ];
        for (what, both) in facts {
            if both[0] != both[1] {
                found.add(name.as_deref(), what, both);
            }
        }
    }
}

/// The ranges of the image that are in no partition.
fn gaps(image: &Image) -> Vec<(u64, u64)> {
    let mut taken: Vec<(u64, u64)> = image
        .layout
        .partitions
        .iter()
        .map(|part| (part.start, part.start.saturating_add(part.length)))
        .collect();
    taken.sort_unstable();
    let (mut gaps, mut end) = (Vec::new(), 0);
    for (start, next) in taken.into_iter().chain([(image.layout.total_bytes, image.layout.total_bytes)]) {
        // Each copy of the table for itself, so that a difference in one does not hide one behind it.
        let cuts = [SECTOR, SECTOR + COPY, image.layout.total_bytes.saturating_sub(COPY)];
        let mut from = end;
        for cut in cuts.into_iter().filter(|cut| (end + 1..start).contains(cut)).chain([start]) {
            if from < cut {
                gaps.push((from, cut));
            }
            from = cut;
        }
        end = end.max(next);
    }
    gaps
}
