//! The bundle: the owner's secrets as they lie in the secrets partition until the box has taken them.
//!
//! | bytes | content |
//! |---|---|
//! | 0–15 | [`MAGIC`] |
//! | 16–19 | version, 1, little-endian |
//! | 20–23 | zero |
//! | 24–31 | length of the payload in bytes, little-endian |
//! | 32–63 | SHA-256 of bytes 0–31 and the payload |
//! | 64– | the payload: JSON in UTF-8, `{"box": "servarr", "secrets": {"box/ssh-tunnel": "…"}}`, and what else there is to say |
//!
//! Beside `box` and `secrets` the payload may have `incarnation`, `restore` and `rehearsal`: [`Handover`] says what they mean.
//!
//! A published image has zeroes here. A bundle that was not written to its end has the wrong digest and is never taken.
//! The box reads it with `/usr/lib/boxwright/secrets`; when everything is stored durably, it writes [`WIPING`] over the
//! magic, then zeroes behind it, then zeroes over it, so that an overwriting that was cut short is gone on with.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::digest::{Hasher, Sha256};

use super::handover::Handover;
use super::needs::Id;
use super::value::Value;

/// The size of the secrets partition in bytes: the most that a bundle may have.
pub const PARTITION: usize = 8 << 20;

/// The first bytes of a bundle.
pub const MAGIC: &[u8; 16] = b"BOXWRIGHTSECRET\n";

/// The first bytes while the box overwrites a bundle that it has taken.
pub const WIPING: &[u8; 16] = b"BOXWRIGHTWIPING\n";

const VERSION: u32 = 1;
const DIGEST: usize = 32;
const PAYLOAD: usize = 64;

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "box")]
    box_name: &'a str,
    secrets: BTreeMap<String, &'a str>,
    #[serde(flatten)]
    handover: &'a Handover,
}

/// The bundle with `values` and `handover` for the box `box_name`.
pub(super) fn write(
    box_name: &str,
    values: &BTreeMap<Id, Value>,
    handover: &Handover,
) -> Result<Zeroizing<Vec<u8>>> {
    let secrets: BTreeMap<String, &str> =
        values.iter().map(|(id, value)| (id.to_string(), value.reveal())).collect();
    // A buffer that grows would leave copies behind; escaping makes six bytes of one at most.
    let room: usize = secrets.iter().map(|(id, value)| id.len() + 6 * value.len() + 8).sum();
    let mut bundle = Zeroizing::new(Vec::with_capacity(PAYLOAD + room + 6 * box_name.len() + 256));
    bundle.extend_from_slice(MAGIC);
    bundle.extend_from_slice(&VERSION.to_le_bytes());
    bundle.resize(PAYLOAD, 0);
    serde_json::to_writer(&mut *bundle, &Payload { box_name, secrets, handover })
        .context("writing the bundle of secrets")?;
    if bundle.len() > PARTITION {
        bail!("the secrets need {} bytes, and their partition has {PARTITION}: shorten them", bundle.len());
    }
    let length = (bundle.len() - PAYLOAD) as u64;
    bundle[24..DIGEST].copy_from_slice(&length.to_le_bytes());
    let digest = digest(&bundle[..DIGEST], &bundle[PAYLOAD..]);
    bundle[DIGEST..PAYLOAD].copy_from_slice(digest.bytes());
    Ok(bundle)
}

fn digest(header: &[u8], payload: &[u8]) -> Sha256 {
    use std::io::Write as _;
    let mut hasher = Hasher::new();
    // Writing to a hasher cannot fail.
    let _ = hasher.write_all(header);
    let _ = hasher.write_all(payload);
    hasher.finish()
}

/// What a secrets partition holds, without any value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// Nothing: the box has taken its secrets, or never got any.
    Empty,
    /// A whole bundle.
    Bundle {
        /// The box that it is for.
        box_name: String,
        /// The names of the secrets, as `section/name`.
        secrets: Vec<String>,
    },
    /// A bundle that the box has taken and is overwriting.
    Wiping,
    /// Something else, and what is wrong with it.
    Damaged(&'static str),
}

/// What is in `partition`: all of a secrets partition, or any beginning of it that holds a whole bundle.
pub fn examine(partition: &[u8]) -> Contents {
    if partition.iter().all(|byte| *byte == 0) {
        return Contents::Empty;
    }
    if partition.starts_with(WIPING) {
        return Contents::Wiping;
    }
    match payload(partition) {
        Ok(payload) => named(payload),
        Err(wrong) => Contents::Damaged(wrong),
    }
}

fn payload(partition: &[u8]) -> Result<&[u8], &'static str> {
    let header = partition.get(..PAYLOAD).filter(|header| header.starts_with(MAGIC));
    let header = header.ok_or("it does not begin like a bundle")?;
    if header[16..20] != VERSION.to_le_bytes() {
        return Err("it is a bundle of another version");
    }
    let length = header[24..DIGEST].try_into().map_or(u64::MAX, u64::from_le_bytes);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let payload = partition[PAYLOAD..].get(..length).ok_or("its length is wrong")?;
    if digest(&header[..DIGEST], payload).bytes()[..] != header[DIGEST..] {
        return Err("its digest is wrong: it was not written to its end");
    }
    Ok(payload)
}

fn named(payload: &[u8]) -> Contents {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(rename = "box")]
        box_name: String,
        secrets: BTreeMap<String, serde::de::IgnoredAny>,
    }
    match serde_json::from_slice::<Named>(payload) {
        Ok(named) => {
            Contents::Bundle { box_name: named.box_name, secrets: named.secrets.into_keys().collect() }
        }
        Err(_) => Contents::Damaged("its content cannot be read"),
    }
}

/// The moment that the bundle in `partition` tells the box apart by, where there is one: [`Handover::incarnation`].
pub fn incarnation(partition: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Told {
        incarnation: Option<u64>,
    }
    serde_json::from_slice::<Told>(payload(partition).ok()?).ok()?.incarnation
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secrets::Restore;

    fn values(pairs: &[(&str, &str, &str)]) -> BTreeMap<Id, Value> {
        pairs.iter().map(|(section, name, value)| (Id::new(*section, *name), Value::new(*value))).collect()
    }

    fn example() -> Zeroizing<Vec<u8>> {
        write(
            "servarr",
            &values(&[("ssh", "tunnel", "a\"b\u{1}é"), ("alerts", "pushbullet", "o.x")]),
            &Handover::default(),
        )
        .unwrap()
    }

    #[test]
    fn a_bundle_is_read_back() {
        let mut partition = example().to_vec();
        partition.resize(PARTITION, 0);
        let secrets = vec!["alerts/pushbullet".to_owned(), "ssh/tunnel".to_owned()];
        assert_eq!(examine(&partition), Contents::Bundle { box_name: "servarr".into(), secrets });
        assert_eq!(examine(&[0; 4096]), Contents::Empty);
        assert_eq!(examine(b"BOXWRIGHTWIPING\n.."), Contents::Wiping);
        let text = r#"{"box":"servarr","secrets":{"alerts/pushbullet":"o.x","ssh/tunnel":"a\"b\u0001é"}}"#;
        assert_eq!(payload(&partition), Ok(text.as_bytes()));
    }

    #[test]
    fn equal_secrets_give_equal_bytes() {
        assert_eq!(example(), example());
        // The format is what boxes in the field read: a change here needs another version.
        let digest = Sha256::of_bytes(&example()).to_string();
        assert_eq!(&digest[..16], "d9f902cee380568a");
    }

    #[test]
    fn what_goes_along_has_keys_of_its_own() {
        let handover =
            Handover { incarnation: Some(1_790_000_000), restore: Some(Restore::latest()), rehearsal: true };
        let bundle = write("nas", &values(&[("a", "b", "c")]), &handover).unwrap();
        let text = r#"{"box":"nas","secrets":{"a/b":"c"},"incarnation":1790000000,"restore":"latest","rehearsal":true}"#;
        assert_eq!(payload(&bundle), Ok(text.as_bytes()));
        assert_eq!((incarnation(&bundle), incarnation(&example())), (Some(1_790_000_000), None));
        assert_eq!((incarnation(&bundle[..70]), incarnation(&[0; 4096])), (None, None));
        assert_eq!(
            examine(&bundle),
            Contents::Bundle { box_name: "nas".into(), secrets: vec!["a/b".into()] }
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let large = "x".repeat(PARTITION);
        let error =
            write("nas", &values(&[("a", "b", &large)]), &Handover::default()).unwrap_err().to_string();
        assert!(error.contains("their partition has 8388608"), "{error}");
    }

    proptest! {
        #[test]
        fn any_damage_is_noticed(position in 0usize..200, bit in 0u8..8, cut in 0usize..200) {
            let whole = example();
            let mut damaged = whole.to_vec();
            let position = position % damaged.len();
            damaged[position] ^= 1 << bit;
            // The four bytes between version and length are covered by the digest as well.
            prop_assert!(matches!(examine(&damaged), Contents::Damaged(_)));
            let cut = 1 + cut % (whole.len() - 1);
            let mut torn = whole[..cut].to_vec();
            prop_assert!(matches!(examine(&torn), Contents::Damaged(_)));
            torn.resize(4096, 0);
            prop_assert!(matches!(examine(&torn), Contents::Damaged(_)));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut partition = MAGIC.to_vec();
            partition.extend([1, 0, 0, 0, 0, 0, 0, 0]);
            partition.extend(&bytes);
            examine(&partition);
            examine(&bytes);
        }

        #[test]
        fn any_value_comes_back(value in "\\PC{0,80}", name in "[a-z-]{1,12}") {
            let bundle = write("nas", &values(&[("section", &name, &value)]), &Handover::default()).unwrap();
            let json: serde_json::Value = serde_json::from_slice(payload(&bundle).unwrap()).unwrap();
            prop_assert_eq!(&json["secrets"][format!("section/{name}")], &value);
        }
    }
}
