//! A [`Layout`] as a GUID partition table, written to and read from a file.
//!
//! Equal layouts give equal bytes. Both copies of the table and the protective MBR are written; nothing else is touched.

use std::io::{Read, Seek, Write};

use anyhow::{Context as _, Result, bail};
use gptman::{GPT, GPTPartitionEntry};

use super::layout::{Layout, Partition, Role};

/// The size of a sector. Disks with sectors of 4096 bytes that do not emulate this one are not supported.
pub const SECTOR: u64 = 512;

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
    let table = GPT::read_from(file, SECTOR).context("reading the partition table")?;
    let total_bytes = file.seek(std::io::SeekFrom::End(0)).context("measuring the image")?;
    let mut partitions = Vec::new();
    for (_, entry) in table.iter().filter(|(_, entry)| entry.is_used()) {
        let Some(role) = Role::of_type(&mixed(&entry.partition_type_guid)) else { continue };
        let sectors = entry.size().context("reading a partition's size")?;
        let bytes = |sectors: u64| {
            sectors
                .checked_mul(SECTOR)
                .with_context(|| format!("{} ends nowhere", entry.partition_name.as_str()))
        };
        let (start, length) = (bytes(entry.starting_lba)?, bytes(sectors)?);
        if start.checked_add(length).is_none_or(|end| end > total_bytes) {
            bail!("the partition `{}` ends behind the end of the image", entry.partition_name.as_str());
        }
        let name = entry.partition_name.as_str().to_owned();
        partitions.push(Partition { role, name, guid: mixed(&entry.unique_partition_guid), start, length });
    }
    Ok(Layout { disk_guid: mixed(&table.header.disk_guid), partitions, total_bytes })
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

    proptest! {
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
