//! A private SSH key: what `ssh-keygen` writes → the one line that the box gets.
//!
//! The line is the base64 between the armour's two, which is all of the key. That it is one line keeps every file with secrets in
//! lines as it is, and lets the search for leaks find the key however it was wrapped. The format is OpenSSH's PROTOCOL.key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::shape::{Wrong, wrong};
use super::value::Value;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The kinds of keys that need nothing but themselves: others are on a stick that somebody touches.
const KINDS: [&str; 5] =
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];

const BROKEN: &str = "copy the whole file, from its line BEGIN to its line END, between ''' and '''; or name it: \
                      { file = \"backup_ed25519\" }";

/// The key in `text`, with its armour or without.
///
/// # Errors
/// If it is none that the box could use.
pub(super) fn read(text: &str) -> Result<Value, Wrong> {
    let begins = |start: &&str| text.starts_with(start);
    if KINDS.iter().chain(&["sk-", "---- BEGIN SSH2 PUBLIC KEY"]).any(begins) {
        return wrong(
            "is a public SSH key",
            "the private key is in the file beside it whose name does not end in .pub",
        );
    }
    let armoured = text.strip_prefix(BEGIN).map(|rest| rest.trim_end().strip_suffix(END));
    let foreign = text.contains("PRIVATE KEY") || text.starts_with("PuTTY-User-Key-File");
    if armoured.is_none() && foreign {
        let help = "`ssh-keygen -p -N '' -f FILE` writes it so; PuTTYgen has `Export OpenSSH key (force new file format)`";
        return wrong("is a private key, but not in OpenSSH's own format", help);
    }
    let Some(body) = armoured.unwrap_or(Some(text)) else {
        return wrong("is a private SSH key without its end", BROKEN);
    };
    let mut line = Zeroizing::new(String::with_capacity(body.len()));
    line.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let bytes = Zeroizing::new(STANDARD.decode(line.as_bytes()).unwrap_or_default());
    let Some(content) = bytes.strip_prefix(MAGIC) else {
        return wrong("is not a private SSH key", BROKEN);
    };
    match Key::of(content) {
        None => wrong("is a private SSH key that is not whole", BROKEN),
        Some(key) if key.cipher != b"none" => {
            let help = "the box starts where nobody types: `ssh-keygen -p -N '' -f FILE` takes it off";
            wrong("is a private SSH key with a passphrase", help)
        }
        Some(key) if !KINDS.iter().any(|kind| kind.as_bytes() == key.kind) => {
            let help = "make one that is a file alone: `ssh-keygen -t ed25519 -N '' -f backup_ed25519`";
            wrong("is a private SSH key of a kind that the box cannot use", help)
        }
        Some(key) if !key.is_whole() => wrong("is a private SSH key that is damaged", BROKEN),
        Some(_) => Ok(Value::new(line.as_str())),
    }
}

/// What is told apart of a key.
struct Key<'a> {
    cipher: &'a [u8],
    kind: &'a [u8],
    private: &'a [u8],
}

impl<'a> Key<'a> {
    /// The fields after the magic; none unless there is exactly one key, and nothing behind it.
    fn of(content: &'a [u8]) -> Option<Self> {
        let (cipher, rest) = field(content)?;
        let (_derivation, rest) = field(rest)?;
        let (_options, rest) = field(rest)?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let (public, rest) = field(rest)?;
        let (private, rest) = field(rest)?;
        let (kind, _) = field(public)?;
        (u32::from_be_bytes(*count) == 1 && rest.is_empty()).then_some(Self { cipher, kind, private })
    }

    /// Whether the private part begins with a number that is there twice, by which OpenSSH knows a right passphrase, and goes
    /// on as the public part says.
    fn is_whole(&self) -> bool {
        let Some((checks, rest)) = self.private.split_first_chunk::<8>() else { return false };
        checks[..4] == checks[4..] && field(rest).is_some_and(|(kind, _)| kind == self.kind)
    }
}

/// A length and so many bytes (RFC 4251, 5: string), and what follows.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests;
