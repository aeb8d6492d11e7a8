//! New secrets for a box that runs: a file that one of its admins has signed.
//!
//! | bytes | content |
//! |---|---|
//! | 0–15 | [`MAGIC`] |
//! | 16–19 | version, 1, little-endian |
//! | 20–23 | length of the signature in bytes, little-endian |
//! | 24–31 | length of the payload in bytes, little-endian |
//! | 32– | the payload: JSON, `{"box": "servarr", "serial": 1790000000, "secrets": {"box/ssh-tunnel": "…"}}` |
//! | behind it | the signature over the payload, as `ssh-keygen -Y sign` makes it, in the namespace [`NAMESPACE`] |
//!
//! The serial is the time of making, in seconds since 1970: a box takes none that is not larger than the last one. The box
//! reads the file with `/usr/lib/boxwright/rotate`, which looks at no byte of the payload before the signature was verified.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use zeroize::Zeroizing;

use super::Secrets;
use super::needs::Id;
use crate::diag::InputError;

/// The first bytes of the file.
pub const MAGIC: &[u8; 16] = b"BOXWRIGHTSIGNED\n";

/// What a signature is for: one that an admin made for something else is worth nothing here.
pub const NAMESPACE: &str = "boxwright-secrets";

/// The most bytes that a box reads of such a file.
pub const LARGEST: usize = 1 << 20;

const VERSION: u32 = 1;
const PAYLOAD: usize = 32;

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "box")]
    box_name: &'a str,
    serial: i64,
    secrets: BTreeMap<String, &'a str>,
}

impl Secrets {
    /// The payload with these secrets, or with those of them that `only` names, made at `serial`.
    ///
    /// # Errors
    /// If `only` names one that is not among them.
    pub fn payload(&self, serial: i64, only: &[String]) -> Result<Zeroizing<Vec<u8>>> {
        let known: BTreeSet<String> = self.values.keys().map(Id::to_string).collect();
        if let Some(other) = only.iter().find(|name| !known.contains(*name)) {
            let known: Vec<String> = known.into_iter().collect();
            bail!(InputError(format!(
                "the file has no value for the secret `{other}`; it has: {}",
                known.join(", ")
            )));
        }
        let meant = |name: &String| only.is_empty() || only.contains(name);
        let secrets: BTreeMap<String, &str> =
            self.values.iter().map(|(id, value)| (id.to_string(), value.reveal())).collect();
        let secrets: BTreeMap<String, &str> = secrets.into_iter().filter(|(name, _)| meant(name)).collect();
        if secrets.is_empty() {
            bail!(InputError("the file has no value for any secret of this box".to_owned()));
        }
        // A buffer that grows would leave copies behind; escaping makes six bytes of one at most.
        let room: usize = secrets.iter().map(|(id, value)| id.len() + 6 * value.len() + 8).sum();
        let mut payload = Zeroizing::new(Vec::with_capacity(room + 6 * self.box_name.len() + 96));
        let content = Payload { box_name: &self.box_name, serial, secrets };
        serde_json::to_writer(&mut *payload, &content).context("writing the new secrets")?;
        Ok(payload)
    }
}

/// The file of a payload and the signature over it.
///
/// # Errors
/// If it is larger than a box reads.
pub fn join(payload: &[u8], signature: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let total = PAYLOAD + payload.len() + signature.len();
    if total > LARGEST {
        bail!(InputError(format!(
            "the new secrets have {total} bytes, and a box takes at most {LARGEST} at once: hand over a part of them with --only"
        )));
    }
    let mut file = Zeroizing::new(Vec::with_capacity(total));
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&u32::try_from(signature.len())?.to_le_bytes());
    file.extend_from_slice(&u64::try_from(payload.len())?.to_le_bytes());
    file.extend_from_slice(payload);
    file.extend_from_slice(signature);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::value::Value;

    fn secrets() -> Secrets {
        let pair = |section: &str, name: &str, value: &str| (Id::new(section, name), Value::new(value));
        Secrets {
            box_name: "servarr".into(),
            values: BTreeMap::from([pair("ssh", "tunnel", "a\"b\u{1}é"), pair("box", "pushbullet", "o.x")]),
            public: Vec::new(),
            findings: crate::diag::Findings::new(),
        }
    }

    #[test]
    fn the_payload_has_all_secrets_or_those_that_are_named() {
        let text = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            secrets().payload(1_790_000_000, &only).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        };
        let all = r#"{"box":"servarr","serial":1790000000,"secrets":{"box/pushbullet":"o.x","ssh/tunnel":"a\"b\u0001é"}}"#;
        assert_eq!(text(&[]).unwrap(), all);
        let one = r#"{"box":"servarr","serial":1790000000,"secrets":{"box/pushbullet":"o.x"}}"#;
        assert_eq!(text(&["box/pushbullet"]).unwrap(), one);
        let error = text(&["box/pushbullet", "box/heartbeat"]).unwrap_err().to_string();
        assert!(error.contains("`box/heartbeat`; it has: box/pushbullet, ssh/tunnel"), "{error}");
    }

    #[test]
    fn the_file_is_what_boxes_in_the_field_read() {
        let file = join(b"{}", b"signature").unwrap();
        let head = [&MAGIC[..], &[1, 0, 0, 0], &[9, 0, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(&file[..], &[&head[..], b"{}signature"].concat()[..]);
        let error = join(&vec![0; LARGEST], b"").unwrap_err().to_string();
        assert!(error.contains("at most 1048576"), "{error}");
    }
}
