//! What is taken for a private key, and what is refused without being repeated.

use proptest::prelude::*;

use super::*;

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length, bytes].concat()
}

/// The bytes of a key file as `ssh-keygen` writes them, with the secret `canary…`.
fn bytes(cipher: &str, kind: &str, inner: &str) -> Vec<u8> {
    let public = [string(kind.as_bytes()), string(&[7; 32])].concat();
    let private =
        [b"1234", b"1234".as_slice(), &string(inner.as_bytes()), &string(b"canary-canary-canary-canary")]
            .concat();
    let head =
        [MAGIC, &string(cipher.as_bytes()), &string(b"none"), &string(b""), &1u32.to_be_bytes()].concat();
    [head, string(&public), string(&private)].concat()
}

fn armoured(bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let lines: Vec<&str> =
        body.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
}

#[test]
fn a_key_becomes_one_line_however_it_was_pasted() {
    for kind in KINDS {
        let bytes = bytes("none", kind, kind);
        let line = STANDARD.encode(&bytes);
        let file = armoured(&bytes);
        let indented = file.replace('\n', "\r\n    ");
        for text in [file.trim(), indented.trim(), &line] {
            assert_eq!(read(text).unwrap().reveal(), line, "{text}");
        }
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "it is said what was left out")]
fn what_ssh_keygen_writes_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, phrase, expected) in [
        ("ed25519", "", None),
        ("ecdsa", "", None),
        ("rsa", "", None),
        ("ed25519", "a phrase", Some("is a private SSH key with a passphrase")),
    ] {
        let path = folder.path().join(format!("{kind}{phrase}"));
        let make =
            crate::tool::Tool::new("ssh-keygen").args(["-q", "-t", kind, "-N", phrase, "-f"]).arg(&path);
        if let Err(error) = make.run() {
            eprintln!("SKIPPED: {error:#}");
            return;
        }
        let found = read(std::fs::read_to_string(&path).unwrap().trim());
        assert_eq!(found.err().map(|wrong| wrong.message).as_deref(), expected);
        let public = read(std::fs::read_to_string(path.with_extension("pub")).unwrap().trim());
        assert_eq!(public.unwrap_err().message, "is a public SSH key");
    }
}

#[test]
fn what_is_wrong_is_said_without_the_value() {
    let good = armoured(&bytes("none", "ssh-ed25519", "ssh-ed25519"));
    let cut = bytes("none", "ssh-ed25519", "ssh-ed25519");
    let two = [&cut[..], b"canary"].concat();
    let begin = "-----BEGIN RSA PRIVATE KEY-----\nY2FuYXJ5\n-----END RSA PRIVATE KEY-----";
    for (text, expected) in [
        ("ssh-ed25519 AAAAcanary me@laptop", "is a public SSH key"),
        ("sk-ssh-ed25519@openssh.com AAAAcanary", "is a public SSH key"),
        ("---- BEGIN SSH2 PUBLIC KEY ----\ncanary", "is a public SSH key"),
        (begin, "is a private key, but not in OpenSSH's own format"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\ncanary", "is a private key, but not in OpenSSH's own format"),
        (good.trim().strip_suffix(END).unwrap(), "is a private SSH key without its end"),
        ("canary", "is not a private SSH key"),
        ("", "is not a private SSH key"),
        (&armoured(&cut[..cut.len() - 9]), "is a private SSH key that is not whole"),
        (&armoured(&two), "is a private SSH key that is not whole"),
        (&armoured(&bytes("aes256-ctr", "ssh-ed25519", "?")), "is a private SSH key with a passphrase"),
        (
            &armoured(&bytes("none", "sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com")),
            "is a private SSH key of a kind that the box cannot use",
        ),
        (&armoured(&bytes("none", "ssh-ed25519", "ssh-rsa")), "is a private SSH key that is damaged"),
    ] {
        let wrong = read(text).unwrap_err();
        assert_eq!(wrong.message, expected);
        let said = format!("{wrong:?}");
        assert!(!said.contains("canary") && !said.contains("Y2Fu"), "{said}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(position in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
        let mut bytes = bytes("none", "ssh-ed25519", "ssh-ed25519");
        let position = position % bytes.len();
        bytes[position] = byte;
        bytes.truncate(MAGIC.len().max(cut));
        let _ = read(&armoured(&bytes));
    }
}
