//! A [`Layout`] as a GUID partition table, written to and read from a file.
//!
//! Equal layouts give equal bytes. Both copies of the table and the protective MBR are written; nothing else is touched.

use std::io::{Read, Seek, SeekFrom, Write};

use anyhow::{Context as _, Result, bail};
use gptman::{GPT, GPTHeader, GPTPartitionEntry};

use super::layout::{Layout, Partition, Role};
use crate::ui::printable;

/// The size of a sector. Disks with sectors of 4096 bytes that do not emulate this one are not supported.
pub const SECTOR: u64 = 512;

/// How many entries a table has at the most: those of ours, and of nearly everyone's, have as many.
pub const ENTRIES: u32 = 128;

/// The size of an entry in bytes.
const ENTRY_BYTES: u32 = 128;

/// Writes the table for `layout` to `file`, which has the layout's size already.
///
/// # Errors
/// If the file cannot be written, or the layout is impossible (overlaps, a name above 36 characters).
pub fn write(layout: &Layout, file: &mut (impl Read + Write + Seek)) -> Result<()> {
    let mut table =
        GPT::new_from(file, SECTOR, mixed(&layout.disk_guid)).context("making a partition table")?;
    for (number, partition) in (1..).zip(&layout.partitions) {
        if partition.name.encode_utf16().count() > 36 {
            bail!("the partition name `{}` is too long", partition.name);
        }
        if partition.length < SECTOR {
            bail!("the partition `{}` is empty", partition.name);
        }
        let first = partition.start / SECTOR;
        table[number] = GPTPartitionEntry {
            partition_type_guid: mixed(&partition.role.type_guid()),
            unique_partition_guid: mixed(&partition.guid),
            starting_lba: first,
            ending_lba: first + partition.length / SECTOR - 1,
            attribute_bits: 0,
            partition_name: partition.name.as_str().into(),
        };
    }
    GPT::write_protective_mbr_into(file, SECTOR).context("writing the protective MBR")?;
    table.write_into(file).context("writing the partition table")?;
    Ok(())
}

/// Reads the table of `file`: the partitions that have one of our roles, and the size of the file.
///
/// # Errors
/// If there is no valid table.
pub fn read(file: &mut (impl Read + Seek)) -> Result<Layout> {
    let table = read_table(file).context("reading the partition table")?;
    let total_bytes = file.seek(SeekFrom::End(0)).context("measuring the image")?;
    let mut partitions = Vec::new();
    for (_, entry) in table.iter().filter(|(_, entry)| entry.is_used()) {
        let Some(role) = Role::of_type(&mixed(&entry.partition_type_guid)) else { continue };
        let sectors = entry.size().context("reading a partition's size")?;
        // Within the file, as was just looked at.
        let (start, length) = (entry.starting_lba * SECTOR, sectors * SECTOR);
        let guid = mixed(&entry.unique_partition_guid);
        partitions.push(Partition { role, name: name(entry), guid, start, length });
    }
    Ok(Layout { disk_guid: mixed(&table.header.disk_guid), partitions, total_bytes })
}

/// Reads the whole table of `file`: the first copy, or the second where that is damaged.
///
/// A checksum shows damage, and no ill will: [`GPT::read_from`] believes everything that has the right one, and panics where that
/// makes no sense. So the copy that it will take is looked at here before.
///
/// # Errors
/// If there is none, or it cannot be used: entries of another size, too many of them, a partition outside.
pub fn read_table(file: &mut (impl Read + Seek)) -> Result<GPT> {
    let sectors = file.seek(SeekFrom::End(0))? / SECTOR;
    for place in [1, sectors.saturating_sub(1)] {
        file.seek(SeekFrom::Start(place * SECTOR))?;
        let Ok(header) = GPTHeader::read_from(file) else { continue };
        check_header(&header, sectors)?;
        let Ok(entries) = header.read_partitions(file, SECTOR) else { continue };
        entries.iter().filter(|entry| entry.is_used()).try_for_each(|entry| check_entry(entry, sectors))?;
        break;
    }
    Ok(GPT::read_from(file, SECTOR)?)
}

fn check_header(header: &GPTHeader, sectors: u64) -> Result<()> {
    let (count, bytes) = (header.number_of_partition_entries, header.size_of_partition_entry);
    if bytes != ENTRY_BYTES || !(1..=ENTRIES).contains(&count) {
        bail!("it has {count} entries of {bytes} bytes, and at most {ENTRIES} of {ENTRY_BYTES} can be read");
    }
    let length = u64::from(count * bytes).div_ceil(SECTOR);
    if header.partition_entry_lba.checked_add(length).is_none_or(|end| end > sectors) {
        bail!("its entries lie behind the end of the image");
    }
    Ok(())
}

/// Checks that the used `entry` lies within so many `sectors`.
///
/// # Errors
/// If it does not.
pub fn check_entry(entry: &GPTPartitionEntry, sectors: u64) -> Result<()> {
    if entry.starting_lba == 0 || entry.ending_lba < entry.starting_lba {
        bail!("the partition `{}` has no place that makes sense", name(entry));
    }
    if entry.ending_lba >= sectors {
        bail!("the partition `{}` ends behind the end of the image", name(entry));
    }
    Ok(())
}

/// The name of `entry`, fit to be shown.
pub fn name(entry: &GPTPartitionEntry) -> String {
    printable(entry.partition_name.as_str())
}

/// Swaps between text order and the order on the disk, where the first three fields are little-endian (UEFI, appendix A).
pub(crate) fn mixed(guid: &[u8; 16]) -> [u8; 16] {
    let mut swapped = *guid;
    swapped[..4].reverse();
    swapped[4..6].reverse();
    swapped[6..8].reverse();
    swapped
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::digest::Sha256;
    use crate::disk::layout::LayerSize;
    use proptest::prelude::*;

    fn example() -> Layout {
        let layers = [
            LayerSize { role: Role::Base, bytes: 1, guid: [1; 16] },
            LayerSize { role: Role::Profile, bytes: 1, guid: [2; 16] },
        ];
        let mut layout = Layout::plan(&Sha256::of_bytes(b"release"), 3, &layers).unwrap();
        // Small enough to be held in memory.
        let mut start = 1 << 20;
        for partition in &mut layout.partitions {
            (partition.start, partition.length) = (start, 1 << 20);
            start += 1 << 20;
        }
        layout.total_bytes = start + (1 << 20);
        layout
    }

    #[test]
    fn a_table_is_read_back_and_its_guids_are_on_disk_as_uefi_wants_them() {
        let layout = example();
        let mut file = Cursor::new(vec![0; layout.total_bytes as usize]);
        write(&layout, &mut file).unwrap();
        assert_eq!(read(&mut file).unwrap(), layout);
        let esp = &file.get_ref()[1024..1040];
        assert_eq!(hex::encode(esp), "28732ac11ff8d211ba4b00a0c93ec93b");
        // The second copy alone is enough.
        file.get_mut()[512..1024].fill(0);
        assert_eq!(read(&mut file).unwrap(), layout);
    }

    #[test]
    fn impossible_layouts_are_errors() {
        let mut layout = example();
        let mut file = Cursor::new(vec![0; layout.total_bytes as usize]);
        layout.partitions[1].name = "x".repeat(37);
        assert!(write(&layout, &mut file).is_err());
        let mut layout = example();
        layout.partitions[1].start = layout.partitions[0].start;
        assert!(write(&layout, &mut file).is_err());
    }

    /// Places in a header, and in the first entry.
    const ARRAY: usize = 72;
    const COUNT: usize = 80;
    const SIZE: usize = 84;
    const FIRST: usize = 32;
    const LAST: usize = 40;
    const NAME: usize = 56;

    /// A table in which both headers and the first entry were changed, and all checksums are right.
    fn forged(header: &[(usize, &[u8])], entry: &[(usize, &[u8])]) -> Cursor<Vec<u8>> {
        let layout = example();
        let mut file = Cursor::new(vec![0; layout.total_bytes as usize]);
        write(&layout, &mut file).unwrap();
        let bytes = file.get_mut();
        let sum = |bytes: &[u8]| {
            let mut crc = flate2::Crc::new();
            crc.update(bytes);
            crc.sum().to_le_bytes()
        };
        let end = bytes.len();
        for (head, array) in [(512, 1024), (end - 512, end - 33 * 512)] {
            for (at, value) in entry {
                bytes[array + at..array + at + value.len()].copy_from_slice(value);
            }
            let array_sum = sum(&bytes[array..array + 128 * 128]);
            bytes[head + 88..head + 92].copy_from_slice(&array_sum);
            for (at, value) in header {
                bytes[head + at..head + at + value.len()].copy_from_slice(value);
            }
            bytes[head + 16..head + 20].fill(0);
            let head_sum = sum(&bytes[head..head + 92]);
            bytes[head + 16..head + 20].copy_from_slice(&head_sum);
        }
        file
    }

    #[test]
    fn a_table_that_makes_no_sense_is_an_error_whatever_its_checksum() {
        assert!(read_table(&mut forged(&[], &[])).is_ok());
        let (none, most) = (0_u64.to_le_bytes(), u64::MAX.to_le_bytes());
        for (header, entry, words) in [
            (vec![(SIZE, &256_u32.to_le_bytes()[..])], vec![], "128 entries of 256 bytes"),
            (vec![(COUNT, &u32::MAX.to_le_bytes()[..])], vec![], "4294967295 entries"),
            (vec![(COUNT, &129_u32.to_le_bytes()[..])], vec![], "129 entries"),
            (vec![(COUNT, &0_u32.to_le_bytes()[..])], vec![], "has 0 entries"),
            (vec![(ARRAY, &(1_u64 << 63).to_le_bytes()[..])], vec![], "behind the end"),
            (vec![(ARRAY, &most[..])], vec![], "behind the end"),
            (vec![], vec![(FIRST, &none[..]), (LAST, &none[..])], "no place that makes sense"),
            (vec![], vec![(FIRST, &most[..])], "no place that makes sense"),
            (vec![], vec![(LAST, &most[..])], "ends behind the end"),
        ] {
            let mut file = forged(&header, &entry);
            for read in [read_table(&mut file).map(drop), read(&mut file).map(drop)] {
                let error = format!("{:#}", read.unwrap_err());
                assert!(error.contains(words), "{error}");
            }
        }
    }

    #[test]
    fn a_name_gives_a_terminal_no_orders() {
        let text: Vec<u8> = "\u{1b}[2J\u{9b}J\n\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let layout = read(&mut forged(&[], &[(NAME, &text)])).unwrap();
        assert_eq!(layout.partitions[0].name, " [2J J ");
    }

    proptest! {
        #[test]
        fn nothing_that_is_signed_by_a_checksum_makes_the_reader_panic(
            header in proptest::collection::vec(any::<u8>(), 1..20),
            entry in proptest::collection::vec(any::<u8>(), 1..48),
            (at, from) in (24_usize..72, 0_usize..128),
        ) {
            let from = from.min(128 - entry.len());
            let _ = read(&mut forged(&[(at, &header)], &[(from, &entry)]));
            let _ = read(&mut forged(&[(ARRAY, &header[..header.len().min(16)])], &[(from, &entry)]));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(position in 0_usize..20_000, bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            let layout = example();
            let mut file = Cursor::new(vec![0; layout.total_bytes as usize]);
            write(&layout, &mut file).unwrap();
            file.get_mut()[position..position + bytes.len()].copy_from_slice(&bytes);
            let _ = read(&mut file);
        }
    }
}
