//! Encrypted files: what opens them, and what does not.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const TEXT: &[u8] = b"[box]\nbackup-password = 'canary-canary-canary'\n";

fn phrase(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

fn knowing(text: &'static str) -> Opener {
    Opener { identities: Vec::new(), passphrases: Asking::new(move |_| Some(phrase(text))) }
}

fn for_key(key: &age::x25519::Identity) -> Recipients {
    Recipients::Keys(vec![recipient(&key.to_public().to_string()).unwrap()])
}

/// A file with `key`, and what opens with it.
fn with_key(key: &age::x25519::Identity) -> (tempfile::TempDir, Opener) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.txt");
    std::fs::write(&path, format!("# mine\n{}\n", key.to_string().expose_secret())).unwrap();
    (folder, Opener { identities: vec![path], ..Opener::nothing() })
}

#[test]
fn a_passphrase_opens_and_another_does_not() {
    let sealed = seal(TEXT, &Recipients::Passphrase(phrase("one two three"))).unwrap();
    assert!(is_sealed(&sealed) && !is_sealed(TEXT) && sealed.is_ascii());
    let name = Path::new("secrets.toml.age");
    assert_eq!(&*open(&sealed, name, &knowing("one two three")).unwrap(), TEXT);
    assert_eq!(open(&sealed, name, &knowing("another")).unwrap_err(), "the passphrase is wrong");
    let nobody = open(&sealed, name, &Opener::nothing()).unwrap_err();
    assert!(nobody.contains("--passphrase-file"), "{nobody}");
}

#[test]
fn a_key_opens_and_another_does_not() {
    let (mine, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
    let sealed = seal(TEXT, &for_key(&mine)).unwrap();
    let (_folder, opener) = with_key(&mine);
    assert_eq!(&*open(&sealed, Path::new("s"), &opener).unwrap(), TEXT);
    let (_folder, wrong) = with_key(&other);
    let error = open(&sealed, Path::new("s"), &wrong).unwrap_err();
    assert!(error.contains("encrypted for other keys") && error.contains("key.txt"), "{error}");
    let error = open(&sealed, Path::new("s"), &Opener::nothing()).unwrap_err();
    assert!(error.contains("no key was found"), "{error}");
}

#[test]
fn a_key_may_be_behind_a_passphrase_itself() {
    let key = age::x25519::Identity::generate();
    let sealed = seal(TEXT, &for_key(&key)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.age");
    let text = Zeroizing::new(key.to_string().expose_secret().to_owned());
    std::fs::write(&path, seal(text.as_bytes(), &Recipients::Passphrase(phrase("p"))).unwrap()).unwrap();
    let opener = Opener { identities: vec![path], ..knowing("p") };
    assert_eq!(&*open(&sealed, Path::new("s"), &opener).unwrap(), TEXT);
}

#[test]
fn what_nothing_can_be_encrypted_for_is_named() {
    for (text, expected) in [
        ("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA me", "of a kind"),
        ("sk-ssh-ed25519@openssh.com AAAA me", "of a kind"),
        ("age1qqqq", "not a whole key"),
        ("AGE-SECRET-KEY-1QQQ", "private key"),
    ] {
        let Err(error) = recipient(text) else { panic!("{text}") };
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(seal(TEXT, &Recipients::Keys(Vec::new())).unwrap_err().to_string().contains("nobody"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_change_to_a_file_goes_unnoticed(position in 0usize..10_000, bit in 0u8..7, cut in 1usize..200) {
        static CASE: LazyLock<(Vec<u8>, (tempfile::TempDir, Opener))> = LazyLock::new(|| {
            let key = age::x25519::Identity::generate();
            (seal(TEXT, &for_key(&key)).unwrap(), with_key(&key))
        });
        let (sealed, (_folder, opener)) = &*CASE;
        let mut changed = sealed.clone();
        let position = position % changed.len();
        changed[position] ^= 1 << bit;
        if let Ok(text) = open(&changed, Path::new("s"), opener) {
            // Only what armor allows in several ways, such as a space for a line's end.
            prop_assert_eq!(&text[..], TEXT);
        }
        let short = &sealed[..sealed.len() - cut % sealed.len()];
        if let Ok(text) = open(short, Path::new("s"), opener) {
            prop_assert_eq!(&text[..], TEXT);
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for beginning in BEGINNINGS {
            let bytes = [beginning, b"\n-> X25519 ", &bytes].concat();
            prop_assert!(open(&bytes, Path::new("s"), &Opener::nothing()).is_err());
        }
    }
}
