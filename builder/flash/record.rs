//! What a disk says while it is being flashed over a box's state: where that state is.
//!
//! It has no partition table then, so that nothing starts from it. If the writing breaks, the next one finds the state by this
//! record in the first MiB, which the last step overwrites. It is no partition table to anything else.

use gptman::GPTPartitionEntry;
use serde::{Deserialize, Serialize};

use super::contents::{State, name};
use crate::digest::Sha256;
use crate::disk::gpt::{ENTRIES, check_entry};

/// Where it is in the first MiB: no table and no boot sector is there, or behind it.
pub const AT: usize = 512 << 10;
const MAGIC: &[u8; 18] = b"BOXWRIGHTFLASHING\n";
const PAYLOAD: usize = AT + 64;

#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(rename = "box")]
    box_name: Option<String>,
    kept: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    number: u32,
    kind: [u8; 16],
    guid: [u8; 16],
    first: u64,
    last: u64,
    attributes: u64,
    name: String,
}

/// Writes the record of `state` into the first MiB `head`.
pub fn write(head: &mut [u8], state: &State) {
    let kept = state.entries.iter().map(|(number, entry)| Entry {
        number: *number,
        kind: entry.partition_type_guid,
        guid: entry.unique_partition_guid,
        first: entry.starting_lba,
        last: entry.ending_lba,
        attributes: entry.attribute_bits,
        name: entry.partition_name.as_str().to_owned(),
    });
    let record = Record { box_name: state.owner.clone(), kept: kept.collect() };
    let Ok(payload) = serde_json::to_vec(&record) else { return };
    let Some(room) = head.get_mut(PAYLOAD..PAYLOAD + payload.len()) else { return };
    room.copy_from_slice(&payload);
    head[AT..AT + 18].copy_from_slice(MAGIC);
    head[AT + 24..AT + 32].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    head[AT + 32..AT + 64].copy_from_slice(Sha256::of_bytes(&payload).bytes());
}

/// The state that the record in `head` is about, if there is a whole one that fits onto a disk of so many `sectors`.
pub fn read(head: &[u8], sectors: u64) -> Option<State> {
    let start = head.get(AT..PAYLOAD).filter(|start| start.starts_with(MAGIC))?;
    let length = usize::try_from(u64::from_le_bytes(start[24..32].try_into().ok()?)).ok()?;
    let payload = head[PAYLOAD..].get(..length)?;
    if Sha256::of_bytes(payload).bytes()[..] != start[32..64] {
        return None;
    }
    let record: Record = serde_json::from_slice(payload).ok()?;
    let entries = record.kept.into_iter().map(|entry| {
        let made = GPTPartitionEntry {
            partition_type_guid: entry.kind,
            unique_partition_guid: entry.guid,
            starting_lba: entry.first,
            ending_lba: entry.last,
            attribute_bits: entry.attributes,
            partition_name: entry.name.as_str().into(),
        };
        (entry.number, made)
    });
    let entries: Vec<_> = entries.collect();
    let fits = |(number, entry): &(u32, GPTPartitionEntry)| {
        (1..=ENTRIES).contains(number) && check_entry(entry, sectors).is_ok()
    };
    let owner = record.box_name.and_then(|owner| name(&owner));
    entries.iter().all(fits).then_some(State { owner, entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTORS: u64 = 10_000;

    fn state(number: u32, first: u64, last: u64) -> State {
        let entry = GPTPartitionEntry {
            partition_type_guid: [1; 16],
            unique_partition_guid: [2; 16],
            starting_lba: first,
            ending_lba: last,
            attribute_bits: 3,
            partition_name: "system".into(),
        };
        State { owner: Some("attic".into()), entries: vec![(number, entry)] }
    }

    fn reread(state: &State) -> Option<State> {
        let mut head = vec![0; 1 << 20];
        write(&mut head, state);
        read(&head, SECTORS)
    }

    #[test]
    fn what_is_kept_is_read_back_unless_damaged() {
        let state = state(8, 4096, 8191);
        let mut head = vec![0; 1 << 20];
        assert!(read(&head, SECTORS).is_none());
        write(&mut head, &state);
        assert_eq!(read(&head, SECTORS).unwrap(), state);
        head[PAYLOAD + 3] ^= 1;
        assert!(read(&head, SECTORS).is_none());
    }

    #[test]
    fn a_record_that_no_disk_of_this_size_can_have_is_none() {
        for (number, first, last) in [(1, 1, 1), (128, 4096, SECTORS - 1)] {
            assert!(reread(&state(number, first, last)).is_some(), "{number}");
        }
        for (number, first, last) in [
            (0, 4096, 8191),
            (129, 4096, 8191),
            (500, 4096, 8191),
            (8, 0, 9),
            (8, 9, 8),
            (8, 9, SECTORS),
            (8, 9, u64::MAX),
        ] {
            assert_eq!(reread(&state(number, first, last)), None, "{number} {first} {last}");
        }
    }

    #[test]
    fn an_owner_that_is_no_name_is_not_shown() {
        let mut state = state(8, 4096, 8191);
        state.owner = Some("\u{1b}[2Jattic".into());
        assert_eq!(reread(&state).unwrap().owner, None);
    }
}
