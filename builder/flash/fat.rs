//! As much of FAT32 as flashing needs: reading files by their short names, and adding one small file to the root folder.
//!
//! Nothing is written here: an addition is a list of [`Patch`]es, which are planned, written and read back like all other
//! bytes. The format is that of Microsoft's specification (fatgen103); what does not follow it is an error, never a guess.

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context as _, Result, bail, ensure};

use crate::diag::InputError;
use crate::ui::human_bytes;

/// Reads bytes at an offset of the partition.
pub type Read<'a> = &'a dyn Fn(u64, &mut [u8]) -> io::Result<()>;

/// Bytes and where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The offset.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

const ENTRY: usize = 32;
const FREE: u8 = 0xe5;
const FOLDER: u8 = 0x10;
const LONG_NAME: u8 = 0x0f;
/// Clusters from here on end a chain.
const END: u32 = 0x0fff_fff8;
/// The most that is read of one file or folder.
const LONGEST: usize = 1 << 20;
/// The most that is read of all files of a folder together. Entries may lead to the same clusters, so that the size of the
/// filesystem is no end.
const MOST: usize = 16 << 20;

/// A filesystem.
pub struct Volume<'a> {
    read: Read<'a>,
    sector: u64,
    cluster: u64,
    reserved: u64,
    fats: u64,
    fat_sectors: u64,
    root: u32,
    info: u64,
    /// The first copy of the table.
    table: Vec<u32>,
}

impl<'a> Volume<'a> {
    /// Reads the filesystem's head and its table.
    ///
    /// # Errors
    /// If it is no FAT32, or cannot be read.
    pub fn open(read: Read<'a>) -> Result<Self> {
        let mut boot = [0; 512];
        read(0, &mut boot).context("reading the head of the ESP")?;
        let word = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let long = |at: usize| u32::from_le_bytes([boot[at], boot[at + 1], boot[at + 2], boot[at + 3]]);
        let sector = word(11);
        ensure!(boot[510..] == [0x55, 0xaa] && &boot[82..87] == b"FAT32", "it is no FAT32");
        ensure!(matches!(sector, 512 | 1024 | 2048 | 4096), "its sectors have {sector} bytes");
        let cluster = u64::from(boot[13]) * sector;
        ensure!(cluster != 0 && cluster <= 1 << 17, "its clusters have {cluster} bytes");
        let (reserved, fats, fat_sectors) = (word(14), u64::from(boot[16]), u64::from(long(36)));
        let data = reserved + fats * fat_sectors;
        let clusters = u64::from(long(32)).saturating_sub(data) / u64::from(boot[13]);
        ensure!(fats != 0 && clusters + 2 <= fat_sectors * sector / 4, "its table is too short");
        ensure!(clusters < 1 << 24, "it is too large");
        let mut bytes = vec![0; usize::try_from((clusters + 2) * 4)?];
        read(reserved * sector, &mut bytes).context("reading the table of the ESP")?;
        let table = bytes.chunks_exact(4).map(number).map(|entry| entry & 0x0fff_ffff).collect();
        Ok(Self { read, sector, cluster, reserved, fats, fat_sectors, root: long(44), info: word(48), table })
    }

    /// How long the part is in front of the first cluster, in bytes: it counts also where it is zero.
    pub fn head_bytes(&self) -> u64 {
        (self.reserved + self.fats * self.fat_sectors) * self.sector
    }

    /// The contents of all files in the folder at `path`, given in short names; none if there is no such folder.
    ///
    /// # Errors
    /// [`InputError`] if there is more in it than boxes have; another error if the filesystem is damaged.
    pub fn files(&self, path: &[&str]) -> Result<Option<Vec<Vec<u8>>>> {
        let mut at = self.root;
        for name in path {
            let folder = self.chain_bytes(at)?;
            let found = entries(&folder).find(|entry| entry[11] & FOLDER != 0 && short_name(entry) == *name);
            let Some(found) = found else { return Ok(None) };
            at = first_cluster(found);
        }
        let folder = self.chain_bytes(at)?;
        let (mut files, mut total) = (Vec::new(), 0);
        for entry in entries(&folder).filter(|entry| entry[11] & (FOLDER | 0x08) == 0) {
            let length = usize::try_from(number(&entry[28..32]))?;
            let mut bytes = if length == 0 { Vec::new() } else { self.chain_bytes(first_cluster(entry))? };
            bytes.truncate(length);
            // What is kept of a short file is no larger than the file.
            bytes.shrink_to_fit();
            total += bytes.len();
            if total > MOST {
                bail!(InputError(format!(
                    "the files in /{} of the ESP have more than {}, which no box has: it is damaged, or somebody else's",
                    path.join("/"),
                    human_bytes(MOST as u64)
                )));
            }
            files.push(bytes);
        }
        Ok(Some(files))
    }

    /// What has to be written so that the root folder has the file `name` (eleven characters: eight and three, padded with
    /// blanks, in capitals) with these bytes. A former file of that name is replaced.
    ///
    /// # Errors
    /// If there is no room, or the filesystem is damaged.
    pub fn with_file(&self, name: &[u8; 11], bytes: &[u8], time: i64) -> Result<Vec<Patch>> {
        let root = self.chain(self.root)?;
        let folder = self.chain_bytes(self.root)?;
        let mut changed: BTreeMap<usize, u32> = BTreeMap::new();
        let named = folder.chunks_exact(ENTRY).take_while(|entry| entry[0] != 0);
        let former = named.clone().position(|entry| is_entry(entry) && entry[..11] == name[..]);
        if let Some(former) = former {
            let old = first_cluster(&folder[former * ENTRY..]);
            let old = if old == 0 { Vec::new() } else { self.chain(old)? };
            changed.extend(old.into_iter().map(|cluster| (cluster as usize, 0)));
        }
        let unused = folder.chunks_exact(ENTRY).position(|entry| matches!(entry[0], 0 | FREE));
        let slot = former.or(unused).context("the root folder of the ESP is full")?;
        let wanted = bytes.len().div_ceil(usize::try_from(self.cluster)?);
        let free = |cluster: &usize| changed.get(cluster).unwrap_or(&self.table[*cluster]) == &0;
        let taken: Vec<usize> = (2..self.table.len()).filter(free).take(wanted).collect();
        ensure!(taken.len() == wanted, "the ESP is full");
        for (index, cluster) in taken.iter().enumerate() {
            let next = taken.get(index + 1).map_or(0x0fff_ffff, |next| u32::try_from(*next).unwrap_or(END));
            changed.insert(*cluster, next);
        }
        let mut patches = Vec::new();
        for (part, cluster) in bytes.chunks(usize::try_from(self.cluster)?).zip(&taken) {
            let mut whole = part.to_vec();
            whole.resize(usize::try_from(self.cluster)?, 0);
            patches.push(Patch { at: self.place(u32::try_from(*cluster)?), bytes: whole });
        }
        let first = taken.first().map_or(Ok(0), |first| u32::try_from(*first))?;
        let at = slot as u64 * ENTRY as u64;
        let home = root.get(usize::try_from(at / self.cluster)?).context("the root folder has no end")?;
        patches.push(Patch {
            at: self.place(*home) + at % self.cluster,
            bytes: entry(name, first, bytes.len(), time)?.to_vec(),
        });
        patches.extend(self.table_patches(&changed));
        patches.extend(self.info_patch(&changed)?);
        Ok(patches)
    }

    /// The changed entries in every copy of the table. Their upper four bits belong to nobody and are zero.
    fn table_patches(&self, changed: &BTreeMap<usize, u32>) -> Vec<Patch> {
        let one = |copy: u64, cluster: &usize, value: &u32| Patch {
            at: (self.reserved + copy * self.fat_sectors) * self.sector + *cluster as u64 * 4,
            bytes: value.to_le_bytes().to_vec(),
        };
        (0..self.fats)
            .flat_map(|copy| changed.iter().map(move |(cluster, value)| one(copy, cluster, value)))
            .collect()
    }

    /// The number of free clusters, where it is recorded.
    fn info_patch(&self, changed: &BTreeMap<usize, u32>) -> Result<Option<Patch>> {
        if self.info == 0 || self.info >= self.reserved {
            return Ok(None);
        }
        let mut bytes = [0; 512];
        (self.read)(self.info * self.sector, &mut bytes).context("reading the ESP")?;
        let free = number(&bytes[488..492]);
        if &bytes[484..488] != b"rrAa" || free == u32::MAX {
            return Ok(None);
        }
        let mut count = i64::from(free);
        for (cluster, value) in changed {
            count += i64::from(*value == 0) - i64::from(self.table[*cluster] == 0);
        }
        let count = u32::try_from(count).context("the ESP miscounts its free clusters")?;
        Ok(Some(Patch { at: self.info * self.sector + 488, bytes: count.to_le_bytes().to_vec() }))
    }

    fn place(&self, cluster: u32) -> u64 {
        self.head_bytes() + u64::from(cluster - 2) * self.cluster
    }

    /// The clusters of the chain that begins at `first`.
    fn chain(&self, first: u32) -> Result<Vec<u32>> {
        let mut chain = Vec::new();
        let mut cluster = first;
        while cluster < END {
            let next = self.table.get(cluster as usize).filter(|_| cluster >= 2);
            let next = next.with_context(|| format!("the ESP has no cluster {cluster}"))?;
            chain.push(cluster);
            if chain.len() as u64 * self.cluster > LONGEST as u64 {
                bail!("a file of the ESP is too long, or has no end");
            }
            cluster = *next;
        }
        Ok(chain)
    }

    fn chain_bytes(&self, first: u32) -> Result<Vec<u8>> {
        let length = usize::try_from(self.cluster)?;
        let mut bytes = Vec::new();
        for cluster in self.chain(first)? {
            let end = bytes.len();
            bytes.resize(end + length, 0);
            (self.read)(self.place(cluster), &mut bytes[end..]).context("reading the ESP")?;
        }
        Ok(bytes)
    }
}

/// The entries of a folder that are neither free nor parts of long names.
fn entries(folder: &[u8]) -> impl Iterator<Item = &[u8]> {
    folder.chunks_exact(ENTRY).take_while(|entry| entry[0] != 0).filter(|entry| is_entry(entry))
}

fn is_entry(entry: &[u8]) -> bool {
    entry[0] != FREE && entry[11] & 0x3f != LONG_NAME
}

fn short_name(entry: &[u8]) -> String {
    String::from_utf8_lossy(&entry[..11]).trim_end().to_owned()
}

fn first_cluster(entry: &[u8]) -> u32 {
    let high = u32::from(u16::from_le_bytes([entry[20], entry[21]]));
    (high << 16 | u32::from(u16::from_le_bytes([entry[26], entry[27]]))) & 0x0fff_ffff
}

fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

/// The entry of a file, whose name is shown in small letters.
fn entry(name: &[u8; 11], first: u32, length: usize, time: i64) -> Result<[u8; ENTRY]> {
    let mut entry = [0; ENTRY];
    entry[..11].copy_from_slice(name);
    entry[11] = 0x20;
    entry[12] = 0x18;
    let (year, month, day) = super::receipt::civil(time);
    let date = u16::try_from(((year - 1980).clamp(0, 127) << 9) | (month << 5) | day)?;
    let second = time.rem_euclid(86400);
    let clock = u16::try_from((second / 3600) << 11 | (second / 60 % 60) << 5 | ((second % 60) / 2))?;
    for (at, value) in [(14, clock), (16, date), (18, date), (22, clock), (24, date)] {
        entry[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    let [low, high] = [first & 0xffff, first >> 16].map(|half| u16::try_from(half).unwrap_or_default());
    entry[20..22].copy_from_slice(&high.to_le_bytes());
    entry[26..28].copy_from_slice(&low.to_le_bytes());
    entry[28..].copy_from_slice(&u32::try_from(length)?.to_le_bytes());
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A filesystem as mkfs.vfat makes it: 4 KiB clusters, two tables, an empty root folder in cluster 2.
    fn made() -> Vec<u8> {
        let mut disk = vec![0; 2 << 20];
        disk[11..13].copy_from_slice(&512_u16.to_le_bytes());
        disk[13] = 8;
        disk[14] = 32;
        disk[16] = 2;
        disk[32..36].copy_from_slice(&4096_u32.to_le_bytes());
        disk[36..40].copy_from_slice(&4_u32.to_le_bytes());
        disk[44] = 2;
        disk[48] = 1;
        disk[82..87].copy_from_slice(b"FAT32");
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk[512 + 484..512 + 488].copy_from_slice(b"rrAa");
        disk[512 + 488..512 + 492].copy_from_slice(&500_u32.to_le_bytes());
        for copy in [32 * 512, 36 * 512] {
            for (at, value) in [0x0fff_fff8_u32, 0x0fff_ffff, 0x0fff_ffff].iter().enumerate() {
                disk[copy + at * 4..copy + at * 4 + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        disk
    }

    fn reader(disk: &[u8]) -> impl Fn(u64, &mut [u8]) -> io::Result<()> {
        |at, bytes| {
            let at = at as usize;
            let from = disk.get(at..at + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(from);
            Ok(())
        }
    }

    fn add(disk: &mut [u8], bytes: &[u8]) {
        let patches = {
            let read = reader(disk);
            Volume::open(&read).unwrap().with_file(b"FLASHED TXT", bytes, 1_790_000_000).unwrap()
        };
        for patch in patches {
            disk[patch.at as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
    }

    #[test]
    fn a_file_is_added_and_replaced() {
        let mut disk = made();
        add(&mut disk, &[1; 10_000]);
        add(&mut disk, b"short");
        let read = reader(&disk);
        let volume = Volume::open(&read).unwrap();
        assert_eq!(volume.files(&[]).unwrap().unwrap(), [b"short"]);
        assert_eq!(volume.table[2..6], [0x0fff_ffff, 0x0fff_ffff, 0, 0]);
        assert_eq!(number(&disk[512 + 488..512 + 492]), 499);
        assert_eq!(disk[32 * 512..36 * 512], disk[36 * 512..40 * 512]);
        assert_eq!(volume.files(&["LOADER"]).unwrap(), None);
    }

    /// Entries that lead to one file cost nothing on the disk, and would cost as much memory as somebody likes.
    #[test]
    fn what_many_entries_share_is_read_up_to_a_limit() {
        let mut disk = made();
        add(&mut disk, &[1; LONGEST]);
        let root = 40 * 512;
        let entry = disk[root..root + ENTRY].to_vec();
        let mut with = |count: usize| {
            for index in 0..count {
                disk[root + index * ENTRY..][..ENTRY].copy_from_slice(&entry);
            }
            let read = reader(&disk);
            Volume::open(&read).unwrap().files(&[])
        };
        assert_eq!(with(MOST / LONGEST).unwrap().unwrap().len(), 16);
        let error = with(MOST / LONGEST + 1).unwrap_err();
        assert!(error.is::<InputError>() && error.to_string().contains("more than 16"), "{error}");
    }

    proptest! {
        #[test]
        fn any_damage_is_read_without_harm(position in 0_usize..25_000, bytes in proptest::collection::vec(any::<u8>(), 1..64)) {
            let mut disk = made();
            add(&mut disk, &[1; 10_000]);
            disk[position..position + bytes.len()].copy_from_slice(&bytes);
            let read = reader(&disk);
            if let Ok(volume) = Volume::open(&read) {
                let _ = volume.files(&[]);
                let _ = volume.with_file(b"FLASHED TXT", b"x", 0);
            }
        }
    }
}
