//! The password of a repository of backups, held against the repository's own header.
//!
//! The header, `kopia.repository`, is JSON: a salt, how the password becomes a key, and a sealed part that opens with the right
//! one alone. That is fetched and tried here, on this machine: running the program itself would take a container image, a
//! place for its keys, and a connection that writes a cache. What this does not know it says so, and nothing else depends on
//! it.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Outcome;
use super::bucket::Bucket;

/// The object that every repository has.
const HEADER: &str = "kopia.repository";
/// The bytes of a nonce in front of what is sealed.
const NONCE: usize = 12;

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "uniqueID")]
    salt: String,
    #[serde(rename = "keyAlgo")]
    derivation: String,
    #[serde(rename = "encryption")]
    encryption: String,
    #[serde(rename = "encryptedBlockFormat")]
    sealed: String,
}

/// Whether `password` opens the repository in `bucket`.
pub(super) fn tried(bucket: &Bucket<'_>, password: &str) -> Outcome {
    match bucket.object(HEADER) {
        Ok(answer) if answer.status == 200 => judge(&answer.body, password),
        Ok(answer) if answer.status == 404 => {
            Outcome::untried("there is no repository in the bucket yet; the box makes one with this password")
        }
        Ok(_) | Err(_) => Outcome::untried("the bucket does not give out the repository's header"),
    }
}

fn judge(header: &[u8], password: &str) -> Outcome {
    match opens(header, password) {
        Some(true) => Outcome::works("it opens the repository that is in the bucket"),
        Some(false) => Outcome::failed(
            "it does not open the repository that is in the bucket",
            "write the password with which that was made, or name another folder as `prefix` in [backup]",
        ),
        None => Outcome::untried("the repository in the bucket is of a kind that only the box can open"),
    }
}

/// Whether `password` opens the repository with this `header`; nothing if it is of a kind that is not known here.
pub fn opens(header: &[u8], password: &str) -> Option<bool> {
    let header: Header = serde_json::from_slice(header).ok()?;
    let decode = |text: &str| STANDARD.decode(text).ok();
    let (salt, sealed) = (decode(&header.salt)?, decode(&header.sealed)?);
    if header.derivation != "scrypt-65536-8-1" || header.encryption != "AES256_GCM" || sealed.len() <= NONCE {
        return None;
    }
    let mut master = Zeroizing::new([0; 32]);
    let parameters = scrypt::Params::new(16, 8, 1, 32).ok()?;
    scrypt::scrypt(password.as_bytes(), &salt, &parameters, &mut *master).ok()?;
    let derived = |purpose: &[u8]| {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(&salt), &*master).expand(purpose, &mut *key).ok()?;
        Some(key)
    };
    let (key, associated) = (derived(b"AES")?, derived(b"CHECKSUM")?);
    let (nonce, text) = sealed.split_at(NONCE);
    let cipher = Aes256Gcm::new_from_slice(&*key).ok()?;
    let payload = Payload { msg: text, aad: &*associated };
    Some(cipher.decrypt(Nonce::from_slice(nonce), payload).map(Zeroizing::new).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_header_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
            prop_assert_eq!(opens(&bytes, "x"), None);
            let header = serde_json::json!({
                "uniqueID": text, "keyAlgo": text, "encryption": "AES256_GCM", "encryptedBlockFormat": text,
            });
            prop_assert_eq!(opens(header.to_string().as_bytes(), "x"), None);
        }
    }
}
