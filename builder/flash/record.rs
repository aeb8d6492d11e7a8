//! What a disk says while it is being flashed over a box's state: where that state is.
//!
//! It has no partition table then, so that nothing starts from it. If the writing breaks, the next one finds the state by this
//! record in the first MiB, which the last step overwrites. It is no partition table to anything else.

use gptman::GPTPartitionEntry;
use serde::{Deserialize, Serialize};

use super::contents::State;
use crate::digest::Sha256;

/// Where it is in the first MiB: no table and no boot sector is there.
const AT: usize = 512 << 10;
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

/// The state that the record in `head` is about, if there is a whole one.
pub fn read(head: &[u8]) -> Option<State> {
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
    Some(State { owner: record.box_name, entries: entries.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_unless_damaged() {
        let entry = GPTPartitionEntry {
            partition_type_guid: [1; 16],
            unique_partition_guid: [2; 16],
            starting_lba: 4096,
            ending_lba: 8191,
            attribute_bits: 3,
            partition_name: "system".into(),
        };
        let state = State { owner: Some("attic".into()), entries: vec![(8, entry)] };
        let mut head = vec![0; 1 << 20];
        assert!(read(&head).is_none());
        write(&mut head, &state);
        assert_eq!(read(&head).unwrap(), state);
        head[PAYLOAD + 3] ^= 1;
        assert!(read(&head).is_none());
    }
}
