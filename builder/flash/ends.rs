//! Both ends of a disk in memory: the first MiB, and the sectors of the second partition table at the very end.
//!
//! Tables are read from and made in here, so that a plan has their exact bytes before anything is written. To gptman it looks
//! like a disk of the real size that reads as zeroes in between.

use std::io::{self, Read, Seek, SeekFrom, Write};

use anyhow::{Context as _, Result};
use gptman::{GPT, GPTPartitionEntry};

use super::medium::Medium;
use crate::disk::gpt::{self, SECTOR, mixed};
use crate::disk::layout::MIB;

/// How long the first end is: everything before the first partition.
pub const HEAD: u64 = MIB;

/// How long the last end is: 32 sectors of entries and a header. A partition may begin right before them.
pub const TAIL: u64 = 33 * SECTOR;

/// Both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The size of the disk in bytes.
    pub size: u64,
    /// The first [`HEAD`] bytes.
    pub head: Vec<u8>,
    /// The last [`TAIL`] bytes.
    pub tail: Vec<u8>,
    position: u64,
}

impl Ends {
    /// The empty ends of a disk of `size` bytes, which has room for both.
    pub fn empty(size: u64) -> Self {
        let bytes = |length| vec![0; usize::try_from(length).unwrap_or_default()];
        Self { size, head: bytes(HEAD), tail: bytes(TAIL), position: 0 }
    }

    /// Those of `medium`; `None` if it has no room for both.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_from(medium: &(impl Medium + ?Sized)) -> Result<Option<Self>> {
        if medium.size() < HEAD + TAIL {
            return Ok(None);
        }
        let mut ends = Self::empty(medium.size());
        medium.read(0, &mut ends.head).context("reading the first MiB")?;
        medium.read(ends.tail_start(), &mut ends.tail).context("reading the last sectors")?;
        Ok(Some(ends))
    }

    /// Where the last end begins.
    pub fn tail_start(&self) -> u64 {
        // The header is in the last whole sector.
        self.size / SECTOR * SECTOR - TAIL
    }

    /// The table at the front alone.
    pub fn primary(&self) -> Option<GPT> {
        let mut alone = Self { tail: vec![0; self.tail.len()], ..self.clone() };
        gpt::read_table(&mut alone).ok()
    }

    /// The table at the end alone.
    pub fn backup(&self) -> Option<GPT> {
        let mut alone = Self { head: vec![0; self.head.len()], ..self.clone() };
        gpt::read_table(&mut alone).ok()
    }

    /// The ends of a disk of `size` with a table of these entries.
    ///
    /// # Errors
    /// If it is impossible: overlaps, equal GUIDs, a partition outside.
    pub fn with_table(size: u64, disk_guid: &[u8; 16], entries: &[(u32, GPTPartitionEntry)]) -> Result<Self> {
        let mut ends = Self::empty(size);
        let mut table =
            GPT::new_from(&mut ends, SECTOR, mixed(disk_guid)).context("making a partition table")?;
        for (number, entry) in entries {
            table[*number] = entry.clone();
        }
        GPT::write_protective_mbr_into(&mut ends, SECTOR).context("making the protective MBR")?;
        table.write_into(&mut ends).context("making the partition table")?;
        Ok(ends)
    }

    /// The slice of an end at the position, and how far it is to the next one.
    fn here(&mut self) -> (Option<&mut [u8]>, u64) {
        let (position, tail) = (self.position, self.tail_start());
        let within = |start: u64| usize::try_from(position - start).unwrap_or(usize::MAX);
        if position < HEAD {
            (self.head.get_mut(within(0)..), 0)
        } else if position >= tail {
            (self.tail.get_mut(within(tail)..), 0)
        } else {
            (None, tail - position)
        }
    }
}

impl Read for Ends {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = match self.here() {
            (Some(slice), _) => {
                let count = slice.len().min(bytes.len());
                bytes[..count].copy_from_slice(&slice[..count]);
                count
            }
            (None, gap) => {
                let count = bytes.len().min(usize::try_from(gap).unwrap_or(usize::MAX));
                bytes[..count].fill(0);
                count
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Ends {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match self.here() {
            (Some(slice), _) => {
                let count = slice.len().min(bytes.len());
                slice[..count].copy_from_slice(&bytes[..count]);
                count
            }
            (None, _) => return Err(io::Error::other("a table reaches into the partitions")),
        };
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Ends {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(first: u64, last: u64) -> GPTPartitionEntry {
        GPTPartitionEntry {
            partition_type_guid: [1; 16],
            unique_partition_guid: [2; 16],
            starting_lba: first,
            ending_lba: last,
            attribute_bits: 0,
            partition_name: "x".into(),
        }
    }

    #[test]
    fn both_tables_are_whole_and_each_is_enough() {
        for size in [64 * MIB, 64 * MIB + 512, 64 * MIB + 700] {
            let ends = Ends::with_table(size, &[7; 16], &[(3, entry(2048, 4095))]).unwrap();
            let last = size / SECTOR - 1;
            for table in [ends.primary().unwrap(), ends.backup().unwrap()] {
                assert_eq!(table[3].starting_lba, 2048);
                assert_eq!(table.header.last_usable_lba, last - 33);
            }
            assert_eq!(ends.primary().unwrap().header.backup_lba, last);
        }
        assert!(Ends::with_table(64 * MIB, &[7; 16], &[(1, entry(2048, 131_071))]).is_err());
        assert!(Ends::empty(64 * MIB).primary().is_none() && Ends::empty(64 * MIB).backup().is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(head in proptest::collection::vec(any::<u8>(), 92), at in 0_usize..600) {
            let mut ends = Ends::with_table(64 * MIB, &[7; 16], &[(1, entry(2048, 4095))]).unwrap();
            ends.head[512 + at..512 + at + head.len()].copy_from_slice(&head);
            let _ = ends.primary();
            let _ = ends.backup();
        }
    }
}
