//! Who signed a Release file.
//!
//! An InRelease file and a distribution's keys go in, the signed text comes out, or the reason why it cannot be trusted.
//! rPGP checks signatures and leaves the rest to its caller; so this module demands that a key's fingerprint is pinned,
//! that it is neither revoked nor expired at the given moment, that a signing subkey is bound to it in both directions,
//! and that no weak digest is used anywhere. Nothing outside the signed text is ever returned.

use anyhow::{Context as _, bail, ensure};
use pgp::composed::{CleartextSignedMessage, Deserializable as _, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::KeyDetails;

/// An InRelease file may not be larger than this many bytes; Ubuntu's is 0.3 MB.
pub const LARGEST_RELEASE: u64 = 16 << 20;

/// The keys that may sign the releases of one distribution.
#[derive(Debug, Clone)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

impl Keyring {
    /// Reads certificates from armored files and keeps those whose fingerprints (of the primary key, in hexadecimal,
    /// spaces allowed) are pinned.
    ///
    /// # Errors
    /// If a file holds no certificate, or none is there for a pinned fingerprint.
    pub fn read(files: &[Vec<u8>], pinned: &[String]) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        for file in files {
            keys.extend(certificates(file)?);
        }
        let pinned: Vec<String> = pinned.iter().map(|text| text.replace(' ', "").to_lowercase()).collect();
        for wanted in &pinned {
            ensure!(keys.iter().any(|key| fingerprint(key) == *wanted), "no key file holds the key {wanted}");
        }
        keys.retain(|key| pinned.contains(&fingerprint(key)));
        Ok(Self { keys })
    }

    /// The text that one of the keys has signed, with `\n` line ends.
    ///
    /// `now` is in seconds since 1970.
    ///
    /// # Errors
    /// If the file is not a signed message, or no signature is good, by a pinned key, and valid now.
    pub fn verify(&self, in_release: &[u8], now: i64) -> anyhow::Result<String> {
        let text = std::str::from_utf8(in_release).context("the file is not text")?;
        ensure!(
            text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----"),
            "the file is not a signed message; is the address that of a package archive?"
        );
        let (message, _headers) =
            CleartextSignedMessage::from_string(text).context("the file is not a signed message")?;
        let signed = message.signed_text();
        let mut reasons = Vec::new();
        for signature in message.signatures() {
            match self.judge(signature, signed.as_bytes(), now) {
                Ok(()) => return Ok(signed.replace("\r\n", "\n")),
                Err(reason) => reasons.push(format!("{}: {reason:#}", issuer(signature))),
            }
        }
        bail!(
            "no signature can be trusted ({})",
            if reasons.is_empty() { "there is none".into() } else { reasons.join("; ") }
        )
    }

    /// Whether one of the keys made `signature` over `data`.
    fn judge(&self, signature: &Signature, data: &[u8], now: i64) -> anyhow::Result<()> {
        strong(signature)?;
        let typ = signature.typ();
        ensure!(
            matches!(typ, Some(SignatureType::Text | SignatureType::Binary)),
            "it is a signature of another kind"
        );
        alive(signature, now).context("the signature")?;
        let issuers = signature.issuer_fingerprint();
        let ids = signature.issuer_key_id();
        for key in &self.keys {
            let is_issuer = |part: &dyn KeyDetails| {
                issuers.contains(&&part.fingerprint()) || ids.contains(&&part.legacy_key_id())
            };
            if is_issuer(&key.primary_key) {
                usable(key, now)?;
                return verified(signature.verify(&key.primary_key, data));
            }
            if let Some(subkey) = key.public_subkeys.iter().find(|subkey| is_issuer(&subkey.key)) {
                usable(key, now)?;
                bound(key, subkey, now)?;
                return verified(signature.verify(&subkey.key, data));
            }
        }
        bail!("the key is not one of the distribution's")
    }
}

/// The fingerprints of the primary keys in an armored file, as gpg prints them: 40 digits in capitals.
///
/// # Errors
/// If the file holds no certificate.
pub fn fingerprints(file: &[u8]) -> anyhow::Result<Vec<String>> {
    Ok(certificates(file)?.iter().map(|key| fingerprint(key).to_uppercase()).collect())
}

fn certificates(file: &[u8]) -> anyhow::Result<Vec<SignedPublicKey>> {
    let (found, _headers) = SignedPublicKey::from_armor_many(file).context("reading a key file")?;
    found.map(|key| key.context("reading a key file")).collect()
}

fn fingerprint(key: &SignedPublicKey) -> String {
    hex::encode(key.primary_key.fingerprint().as_bytes())
}

/// What a check of a signature came to. The library's reason is about bytes and says nothing to anyone.
fn verified(result: pgp::errors::Result<()>) -> anyhow::Result<()> {
    ensure!(result.is_ok(), "the signature is broken");
    Ok(())
}

/// Whether the primary key is neither revoked nor expired.
fn usable(key: &SignedPublicKey, now: i64) -> anyhow::Result<()> {
    ensure!(key.details.revocation_signatures.is_empty(), "the key is revoked");
    let certified = |signature: &Signature, user: &pgp::types::SignedUser| {
        signature.verify_certification(&key.primary_key, pgp::types::Tag::UserId, &user.id).is_ok()
    };
    // The newest self-signature that verifies is the one that counts.
    let users = key.details.users.iter().flat_map(|user| {
        user.signatures
            .iter()
            .filter(move |signature| signature.is_certification() && certified(signature, user))
    });
    let direct = key
        .details
        .direct_signatures
        .iter()
        .filter(|signature| signature.verify_key(&key.primary_key).is_ok());
    let newest = users
        .chain(direct)
        .max_by_key(|signature| signature.created())
        .context("the key is not self-signed")?;
    strong(newest)?;
    alive(newest, now)?;
    unexpired(key.primary_key.created_at().as_secs(), newest, now)
}

/// Whether the subkey belongs to the key, may sign, and is neither revoked nor expired.
fn bound(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: i64) -> anyhow::Result<()> {
    let binds =
        |signature: &&Signature| signature.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok();
    let revoked =
        subkey.signatures.iter().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation));
    ensure!(!revoked, "the signing subkey is revoked");
    let newest = subkey
        .signatures
        .iter()
        .filter(|signature| signature.typ() == Some(SignatureType::SubkeyBinding))
        .filter(binds)
        .max_by_key(|signature| signature.created())
        .context("the subkey does not belong to the key")?;
    strong(newest)?;
    alive(newest, now)?;
    ensure!(newest.key_flags().sign(), "the subkey is not for signing");
    let back = newest.embedded_signature().context("the subkey has not agreed to its key")?;
    back.verify_primary_key_binding(&subkey.key, &key.primary_key)
        .context("the subkey has not agreed to its key")?;
    unexpired(subkey.key.created_at().as_secs(), newest, now)
}

/// Whether a key created at `created` is still in the time that its `binding` gives it.
fn unexpired(created: u32, binding: &Signature, now: i64) -> anyhow::Result<()> {
    let lifetime = binding.key_expiration_time().map_or(0, pgp::types::Duration::as_secs);
    ensure!(lifetime == 0 || now <= i64::from(created) + i64::from(lifetime), "the key has expired");
    Ok(())
}

/// Whether a signature has a date and has not expired by itself.
fn alive(signature: &Signature, now: i64) -> anyhow::Result<()> {
    let created = i64::from(signature.created().context("it has no date")?.as_secs());
    let lifetime = signature.signature_expiration_time().map_or(0, pgp::types::Duration::as_secs);
    ensure!(lifetime == 0 || now <= created + i64::from(lifetime), "it has expired");
    Ok(())
}

/// Whether the signature's digest is one that nobody can forge today.
fn strong(signature: &Signature) -> anyhow::Result<()> {
    let strong = matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    );
    ensure!(strong, "its digest is too weak");
    Ok(())
}

/// Who says to have made the signature.
fn issuer(signature: &Signature) -> String {
    match (signature.issuer_fingerprint().first(), signature.issuer_key_id().first()) {
        (Some(fingerprint), _) => hex::encode_upper(fingerprint.as_bytes()),
        (None, Some(id)) => hex::encode_upper(id.as_ref()),
        (None, None) => "an unnamed key".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2024-07-01, when all test keys are valid, and a day two years later. The keys are made by
    /// `tests/archive/signatures/make.sh`.
    const THEN: i64 = 1_719_792_000;
    const LATER: i64 = THEN + 2 * 365 * 86400;

    fn file(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/archive/signatures");
        std::fs::read(format!("{folder}/{name}")).unwrap()
    }

    fn keyring(key: &str) -> Keyring {
        let pinned = String::from_utf8(file(&format!("{key}.fingerprint"))).unwrap();
        Keyring::read(&[file(&format!("{key}.asc"))], &[pinned.trim().to_owned()]).unwrap()
    }

    #[test]
    fn a_signed_text_comes_back_without_its_wrapping() {
        let text = keyring("good").verify(&file("good.signed"), THEN).unwrap();
        assert_eq!(text.trim_end(), "Origin: Test\n- dashed");
        keyring("good").verify(&file("good.signed"), LATER).unwrap();
        keyring("expired").verify(&file("expired.signed"), THEN).unwrap();
        keyring("expired-subkey").verify(&file("expired-subkey.signed"), THEN).unwrap();
    }

    #[test]
    fn what_cannot_be_trusted_is_refused_with_a_reason() {
        let cases = [
            ("good", "foreign.signed", THEN, "not one of the distribution's"),
            ("expired", "expired.signed", LATER, "the key has expired"),
            ("expired-subkey", "expired-subkey.signed", LATER, "the key has expired"),
            ("revoked", "revoked.signed", THEN, "revoked"),
            ("weak", "weak.signed", THEN, "too weak"),
            ("good", "good.asc", THEN, "not a signed message"),
        ];
        for (key, signed, now, expected) in cases {
            let error = format!("{:#}", keyring(key).verify(&file(signed), now).unwrap_err());
            assert!(error.contains(expected), "{signed}: {error} does not say `{expected}`");
        }
    }

    #[test]
    fn nothing_beside_the_signed_text_is_taken() {
        let good = String::from_utf8(file("good.signed")).unwrap();
        let cases = [
            good.replace("Origin: Test", "Origin: Tent"),
            good.replace("Hash: SHA", "Origin: Evil\nHash: SHA"),
            format!("Origin: Evil\n\n{good}"),
            format!("{good}\nOrigin: Evil\n"),
            good.replace("-----BEGIN PGP SIGNATURE", "Origin: Evil\n-----BEGIN PGP SIGNATURE"),
        ];
        for text in cases {
            if let Ok(text) = keyring("good").verify(text.as_bytes(), THEN) {
                panic!("{text} was taken");
            }
        }
    }

    #[test]
    fn only_pinned_keys_count() {
        let error = Keyring::read(&[file("good.asc")], &["00".repeat(20)]).unwrap_err();
        assert!(error.to_string().contains("0000"), "{error}");
        let pinned = String::from_utf8(file("good.fingerprint")).unwrap();
        let keyring =
            Keyring::read(&[file("good.asc"), file("foreign.asc")], &[pinned.trim().to_owned()]).unwrap();
        assert!(keyring.verify(&file("foreign.signed"), THEN).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_taken(place in 0usize..400, byte in any::<u8>(), tail in prop::collection::vec(any::<u8>(), 0..50)) {
            let mut bytes = file("good.signed");
            if let Some(target) = bytes.get_mut(place) {
                *target = byte;
            }
            bytes.extend(tail);
            let _ = keyring("good").verify(&bytes, THEN);
        }
    }
}
