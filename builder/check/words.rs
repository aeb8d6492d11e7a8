//! What is wrong with a text that is a name of something: hosts, users, packages, keys. Pure functions; the answer is
//! none, or the reason as the end of a sentence.

use base64::Engine as _;

/// Why `text` cannot be one part of a host name (RFC 1123, in lower case).
pub(super) fn label(text: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() {
        Some("it is empty")
    } else if text.len() > 63 {
        Some("it is longer than 63 letters")
    } else if text.chars().any(|c| c.is_ascii_uppercase()) {
        Some("it has capital letters")
    } else if !text.chars().all(allowed) {
        Some("only letters from a to z, digits and hyphens can be in it")
    } else if text.starts_with('-') || text.ends_with('-') {
        Some("it begins or ends with a hyphen")
    } else {
        None
    }
}

/// What to write where `text` is nearly a part of a host name.
pub(super) fn as_label(text: &str) -> Option<String> {
    let nearly = text.trim().to_lowercase().replace(['_', ' '], "-");
    label(&nearly).is_none().then(|| format!("write \"{nearly}\""))
}

/// Why `text` cannot be a domain of one's own.
pub(super) fn domain(text: &str) -> Option<&'static str> {
    if text.contains("://") || text.contains('/') {
        return Some("it is an address of a page");
    }
    let parts: Vec<&str> = text.split('.').collect();
    if let Some(problem) = parts.iter().find_map(|part| label(part)) {
        return Some(problem);
    }
    let last = parts.last().copied().unwrap_or_default();
    if parts.len() < 2 {
        Some("it has no dot")
    } else if text.len() > 253 {
        Some("it is longer than 253 letters")
    } else if last.bytes().all(|byte| byte.is_ascii_digit()) {
        Some("it is an IP address")
    } else if ["local", "localhost", "internal", "lan", "home", "arpa"].contains(&last) {
        Some("no such domain exists on the internet")
    } else {
        None
    }
}

/// Why `text` cannot be a user's name (what Debian's useradd takes).
pub(super) fn user(text: &str) -> Option<&'static str> {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
    (!(first && rest && text.len() <= 32))
        .then_some("it is made of small letters, digits, _ and -, begins with a letter, and has 32 at most")
}

/// Why `text` cannot be a package's name (Debian Policy 5.6.1).
pub(super) fn package(text: &str) -> Option<&'static str> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    let right = text.len() >= 2
        && text.bytes().all(allowed)
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    (!right).then_some("a package's name is made of small letters, digits, +, - and .")
}

/// Why `text` is no public SSH key, with what to do.
pub(super) fn public_key(text: &str) -> Option<(&'static str, String)> {
    let ask = || "write the one line of a .pub file, such as \"ssh-ed25519 AAAA… you@laptop\"".to_owned();
    if is_private_key(text) {
        let help = "take it out and make a new key pair: this one is no longer a secret. ";
        return Some(("private-key", format!("{help}The public key is in the file that ends in .pub")));
    }
    let mut words = text.split_ascii_whitespace();
    let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
        return Some(("bad-key", ask()));
    };
    if kind == "ssh-dss" {
        return Some(("bad-key", "OpenSSH no longer takes DSA keys; use an Ed25519 key".into()));
    }
    if !KEY_TYPES.contains(&kind) {
        return Some(("bad-key", ask()));
    }
    let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(blob) else {
        return Some((
            "bad-key",
            "its second word is not base64: a part may be missing. Copy the whole line".into(),
        ));
    };
    key_blob(kind, &bytes).map(|problem| ("bad-key", problem))
}

/// The types of public keys that OpenSSH 9.x and later accept (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];

fn is_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY")
        || text.contains("b3BlbnNzaC1rZXktdjE")
        || text.starts_with("PuTTY-User-Key-File")
}

/// The contents of a key: fields of a length and so many bytes (RFC 4253, 6.6).
fn key_blob(kind: &str, bytes: &[u8]) -> Option<String> {
    let mut fields = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let field = rest.split_first_chunk::<4>().and_then(|(length, after)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            after.split_at_checked(length)
        });
        let Some((field, after)) = field else {
            return Some("the key is cut off: copy the whole line".into());
        };
        fields.push(field);
        rest = after;
    }
    if fields.first().is_none_or(|name| *name != kind.as_bytes()) || fields.len() < 2 {
        return Some("its two parts do not belong together: copy the whole line".into());
    }
    let short = |bits: usize| format!("the RSA key has {bits} bits, and sshd wants 2048: use an Ed25519 key");
    match (kind, fields.as_slice()) {
        ("ssh-ed25519", [_, key]) if key.len() != 32 => {
            Some("the key is cut off: copy the whole line".into())
        }
        ("ssh-rsa", [_, _, modulus]) => {
            let significant = modulus.iter().skip_while(|&&byte| byte == 0).count();
            (significant < 256).then(|| short(significant * 8))
        }
        ("ssh-rsa", _) => Some("the key is cut off: copy the whole line".into()),
        _ => None,
    }
}

/// The key of the shipped profiles; nobody has its private half.
pub(super) const EXAMPLE_KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIIJPRgh+AXm+rRH1Ydo+E3qd2R8JZnZyh3rnFXd25G5o";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_users_and_packages() {
        for (text, right) in [("kuma", true), ("a-1", true), ("", false), ("-a", false), ("Kuma", false)] {
            assert_eq!(label(text).is_none(), right, "label {text}");
        }
        let domains = [
            ("example.com", true),
            ("a.example.co.uk", true),
            ("example", false),
            ("https://example.com", false),
            ("nas.local", false),
            ("10.0.0.1", false),
            ("example..com", false),
        ];
        for (text, right) in domains {
            assert_eq!(domain(text).is_none(), right, "domain {text}");
        }
        for (text, right) in [("nathan", true), ("_a", true), ("1a", false), ("A", false), ("", false)] {
            assert_eq!(user(text).is_none(), right, "user {text}");
        }
        for (text, right) in
            [("htop", true), ("g++", true), ("lib32z1", true), ("Htop", false), ("x y", false)]
        {
            assert_eq!(package(text).is_none(), right, "package {text}");
        }
    }

    #[test]
    fn only_whole_public_keys_pass() {
        let good = format!("ssh-ed25519 {EXAMPLE_KEY} me@laptop");
        let table = [
            (good.clone(), None),
            (format!("ssh-ed25519 {EXAMPLE_KEY}"), None),
            (good.replace("ssh-ed25519", "ssh-rsa"), Some("bad-key")),
            (good.replace("G5o", ""), Some("bad-key")),
            (good.replace("AAAAC3", "AAAAC4"), Some("bad-key")),
            ("ssh-ed25519".into(), Some("bad-key")),
            ("ssh-dss AAAA".into(), Some("bad-key")),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".into(), Some("private-key")),
            ("b3BlbnNzaC1rZXktdjEAAAA".into(), Some("private-key")),
            ("ssh-rsa AAAAB3NzaC1yc2EAAAABAwAAAAEB".into(), Some("bad-key")),
        ];
        for (key, expected) in table {
            assert_eq!(public_key(&key).map(|(code, _)| code), expected, "{key}");
        }
    }
}
