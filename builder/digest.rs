//! SHA-256 digests and the GUIDs derived from them.
//!
//! Bytes go in, a [`Sha256`] comes out. Nothing here reads the clock or random numbers: equal input, equal output.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use anyhow::Context as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A SHA-256 digest; its text form is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of everything that `reader` yields.
    ///
    /// # Errors
    /// Any error of the reader.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = Hasher::new();
        io::copy(&mut reader, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// The digest of the content of the file at `path`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of_file(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
        Self::of_reader(io::BufReader::with_capacity(1 << 18, file))
            .with_context(|| format!("reading {}", path.display()))
    }

    /// The 32 bytes of the digest.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .with_context(|| format!("`{text}` is not a SHA-256 digest (64 hexadecimal digits)"))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Digests a stream, or a list of labelled fields.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one labelled field. Both parts are prefixed with their length, so that no two lists of fields look alike.
    pub fn field(&mut self, label: &str, bytes: &[u8]) -> &mut Self {
        for part in [label.as_bytes(), bytes] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// The digest of everything seen.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A GUID for the object `role` of whatever `seed` identifies, in the byte order of its text form.
///
/// Version 8 (RFC 9562, section 5.8): custom content with the version and variant bits set.
pub fn guid(seed: &Sha256, role: &str) -> [u8; 16] {
    let mut hasher = Hasher::new();
    hasher.field("seed", seed.bytes()).field("role", role.as_bytes());
    let digest = hasher.finish();
    let mut guid = [0; 16];
    guid.copy_from_slice(&digest.bytes()[..16]);
    guid[6] = (guid[6] & 0x0f) | 0x80;
    guid[8] = (guid[8] & 0x3f) | 0x80;
    guid
}

/// The text form of a GUID given in text order: `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
pub fn guid_text(guid: &[u8; 16]) -> String {
    let digits = hex::encode(guid);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_match_the_published_vector() {
        // FIPS 180-4, the example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of_bytes(b"abc").to_string(), expected);
        assert_eq!(expected.parse::<Sha256>().unwrap(), Sha256::of_bytes(b"abc"));
        assert!("ba78".parse::<Sha256>().is_err());
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let digest = |fields: &[(&str, &[u8])]| {
            let mut hasher = Hasher::new();
            for (label, bytes) in fields {
                hasher.field(label, bytes);
            }
            hasher.finish()
        };
        assert_ne!(digest(&[("a", b"bc")]), digest(&[("ab", b"c")]));
        assert_ne!(digest(&[("a", b""), ("b", b"")]), digest(&[("a", b"b")]));
    }

    #[test]
    fn guids_carry_version_and_variant() {
        let seed = Sha256::of_bytes(b"release");
        let text = guid_text(&guid(&seed, "esp"));
        assert_eq!(text.as_bytes()[14], b'8');
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(guid(&seed, "esp"), guid(&seed, "disk"));
    }
}
