//! What a disk holds before it is flashed: whether there is a box's state on it, whose, and where.

use std::io;

use anyhow::Result;
use gptman::{GPT, GPTPartitionEntry};

use super::ends::{Ends, TAIL};
use super::fat::Volume;
use super::medium::Medium;
use super::{ext4, luks, record};
use crate::disk::Role;
use crate::disk::gpt::{SECTOR, mixed};

/// What a disk holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The state of a box.
    pub state: Option<State>,
    /// The box whose image is on it, also where it has no state yet.
    pub image_of: Option<String>,
    /// Whether there is a partition table at all, or anything else in the first MiB.
    pub table: bool,
    /// Whether the first MiB is all zero.
    pub blank: bool,
}

/// The state of a box: what stays when the same box is flashed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The box; `None` if its name cannot be read.
    pub owner: Option<String>,
    /// The entries of the partitions that stay, with their numbers: system, state, and the second slots. None where the table
    /// that names them cannot be used.
    pub entries: Vec<(u32, GPTPartitionEntry)>,
}

impl State {
    /// Where the first of the partitions begins, in bytes.
    pub fn start(&self) -> u64 {
        self.entries
            .iter()
            .map(|(_, entry)| entry.starting_lba.saturating_mul(SECTOR))
            .min()
            .unwrap_or(u64::MAX)
    }
}

impl Contents {
    /// Looks at `medium`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(medium: &(impl Medium + ?Sized)) -> Result<Self> {
        let Some(ends) = Ends::read_from(medium)? else { return Ok(Self { blank: true, ..Self::default() }) };
        let (primary, backup) = (ends.primary(), ends.backup());
        let image_of = primary.as_ref().or(backup.as_ref()).and_then(|table| flashed_box(table, medium));
        // An image that was copied to the disk by other means leaves the old table at the end.
        let tables = [primary.as_ref(), backup.as_ref()].into_iter().flatten();
        let mut state = tables.map(kept).find(|entries| !entries.is_empty()).map(|entries| {
            let owner = owner(&entries, medium, image_of.as_deref()).or_else(|| image_of.clone());
            State { owner, entries }
        });
        if primary.is_none() && backup.is_none() {
            state = record::read(&ends.head, ends.size / SECTOR);
        }
        if state.is_none()
            && (primary.is_none() && names_state(&ends, true)
                || backup.is_none() && names_state(&ends, false))
        {
            state = Some(State { owner: None, entries: Vec::new() });
        }
        let table = primary.is_some() || backup.is_some() || ends.head[510..512] == [0x55, 0xaa];
        let blank = crate::disk::content::is_zero(&ends.head);
        Ok(Self { state, image_of, table, blank })
    }
}

/// The role of an entry.
pub fn role(entry: &GPTPartitionEntry) -> Option<Role> {
    Role::of_type(&mixed(&entry.partition_type_guid))
}

/// The entries of `table` that stay, if there is any state among them.
fn kept(table: &GPT) -> Vec<(u32, GPTPartitionEntry)> {
    let used = || table.iter().filter(|(_, entry)| entry.is_used());
    let is_state = |entry: &GPTPartitionEntry| matches!(role(entry), Some(Role::System | Role::State));
    if !used().any(|(_, entry)| is_state(entry)) {
        return Vec::new();
    }
    let first = |wanted: Role| {
        used().filter(|(_, entry)| role(entry) == Some(wanted)).map(|(_, entry)| entry.starting_lba).min()
    };
    let stays = |entry: &GPTPartitionEntry| match role(entry) {
        Some(Role::System | Role::State) => true,
        // The second slots: those behind the first of their kind.
        Some(kind @ (Role::Base | Role::Profile)) => first(kind).is_some_and(|one| entry.starting_lba > one),
        _ => false,
    };
    used().filter(|(_, entry)| stays(entry)).map(|(number, entry)| (number, entry.clone())).collect()
}

/// Whether the table at the front or at the end of a disk, which cannot be used, names the state of a box: the disk may be a copy
/// that is too small for it.
fn names_state(ends: &Ends, front: bool) -> bool {
    let array = usize::try_from(TAIL - SECTOR).unwrap_or_default();
    let sector = usize::try_from(SECTOR).unwrap_or_default();
    let (header, entries) = if front {
        (&ends.head[sector..], &ends.head[2 * sector..][..array])
    } else {
        (&ends.tail[array..], &ends.tail[..array])
    };
    let kinds = [Role::System, Role::State].map(|role| mixed(&role.type_guid()));
    header.starts_with(b"EFI PART")
        && entries.chunks(128).any(|entry| kinds.iter().any(|kind| entry.starts_with(kind)))
}

/// Reads at an offset of the partition of `entry`.
fn within<'a>(
    entry: &GPTPartitionEntry,
    medium: &'a (impl Medium + ?Sized),
) -> impl Fn(u64, &mut [u8]) -> io::Result<()> + 'a {
    let (start, end) = (entry.starting_lba.saturating_mul(SECTOR), entry.ending_lba.saturating_mul(SECTOR));
    move |at, bytes| {
        let from = start.checked_add(at).filter(|from| *from <= end).ok_or(io::ErrorKind::UnexpectedEof)?;
        medium.read(from, bytes)
    }
}

/// The name that the system partition says it belongs to; if it has room for a part of it only, the name `image_of` that goes
/// on from there.
fn owner(
    entries: &[(u32, GPTPartitionEntry)],
    medium: &(impl Medium + ?Sized),
    image_of: Option<&str>,
) -> Option<String> {
    let (_, system) = entries.iter().find(|(_, entry)| role(entry) == Some(Role::System))?;
    let read = within(system, medium);
    if let Some(owner) = luks::owner(&read) {
        return image_of
            .filter(|name| luks::is_owner(&owner, name))
            .map(str::to_owned)
            .or_else(|| name(&owner));
    }
    let text = ext4::root_file(&read, "box")?;
    name(std::str::from_utf8(&text).ok()?)
}

/// The box of which the boot entries of the ESP are.
fn flashed_box(table: &GPT, medium: &(impl Medium + ?Sized)) -> Option<String> {
    let (_, esp) = table.iter().find(|(_, entry)| entry.is_used() && role(entry) == Some(Role::Esp))?;
    let read = within(esp, medium);
    let files = Volume::open(&read).ok()?.files(&["LOADER", "ENTRIES"]).ok()??;
    files.iter().find_map(|file| {
        let text = std::str::from_utf8(file).ok()?;
        text.split_whitespace().find_map(|word| name(word.strip_prefix("boxwright.box=")?))
    })
}

/// `text` as a box's name: what comes from a disk may be anything, and is shown.
pub fn name(text: &str) -> Option<String> {
    let name = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!name.is_empty() && name.len() <= 64 && name.chars().all(plain)).then(|| name.to_owned())
}
