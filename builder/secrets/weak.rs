//! Values that can be guessed.
//!
//! In: a value and what it is for. Out: why it is weak, and what to write instead. Only what people invent is judged by its
//! length; what a provider hands out is what it is, unless it is plainly no secret.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::file::SHORTEST_SOUGHT;
use super::needs::Need;
use super::shape::Shape;

/// The fewest characters of what someone invents, and anyone who has the ciphertext can try without asking.
const SHORTEST_INVENTED: usize = 16;

/// How the passwords begin that are tried first anywhere.
const COMMON: [&str; 20] = [
    "password",
    "passw0rd",
    "123456",
    "1234",
    "qwerty",
    "qwertz",
    "azerty",
    "letmein",
    "admin",
    "welcome",
    "iloveyou",
    "secret",
    "changeme",
    "default",
    "raspberry",
    "monkey",
    "dragon",
    "abc123",
    "asdf",
    "homeserver",
];

/// Keys as they lie beside each other, and the alphabets.
const ROWS: [&str; 5] = [
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "9876543210",
];

/// Why a value is weak, in the middle of a sentence, and what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weakness {
    pub why: &'static str,
    pub help: &'static str,
}

const INVENT: &str = "write the output of `openssl rand -base64 24`";
const FETCH: &str = "get a new one where it comes from";

/// Why `value` is weak for `need` on a box whose own names are `names`.
pub(super) fn weakness(need: &Need, value: &str, names: &[&str]) -> Option<Weakness> {
    if need.public {
        return None;
    }
    let found = |why, help| Some(Weakness { why, help });
    match &need.shape {
        Shape::Invented if is_guessable(value, names) => {
            found("is among the first that anyone would try", INVENT)
        }
        Shape::Invented if value.chars().count() < SHORTEST_INVENTED => found(
            "is shorter than 16 characters: who has what it protects can try all of that length",
            INVENT,
        ),
        Shape::Text if value.len() < SHORTEST_SOUGHT => found(
            "is so short that it can be guessed, and that the build cannot look for it",
            "make it longer",
        ),
        Shape::Text if is_guessable(value, names) => {
            found("is among the first that anyone would try", "change it")
        }
        Shape::HexKey | Shape::WireguardKey if is_monotonous(&bytes(value)) => {
            found("is a pattern, not a key", FETCH)
        }
        Shape::Tunnel(_) if is_monotonous(&tunnel_secret(value)) => found("is a pattern, not a key", FETCH),
        _ => None,
    }
}

/// The bytes that `value` is the text of.
fn bytes(value: &str) -> Vec<u8> {
    hex::decode(value).or_else(|_| STANDARD.decode(value)).unwrap_or_default()
}

fn tunnel_secret(value: &str) -> Vec<u8> {
    let json = serde_json::from_str::<serde_json::Value>(value).unwrap_or_default();
    bytes(json["TunnelSecret"].as_str().unwrap_or_default())
}

/// Whether a key of this kind comes from nobody's random numbers: chance makes one of fewer than six different bytes less
/// than once in 10^20.
fn is_monotonous(bytes: &[u8]) -> bool {
    bytes.len() >= 16 && bytes.iter().collect::<BTreeSet<_>>().len() < 6
}

fn is_guessable(value: &str, names: &[&str]) -> bool {
    let lower = value.to_lowercase();
    // What people add to please a form: digits and marks at both ends.
    let core = lower.trim_matches(|c: char| !c.is_alphabetic());
    let letters: BTreeSet<char> = lower.chars().collect();
    let common = COMMON.iter().any(|word| {
        lower == *word || core == *word || (lower.starts_with(word) && lower.len() < word.len() + 5)
    });
    let row =
        lower.len() >= 4 && ROWS.iter().any(|row| row.contains(&lower) || row.repeat(3).contains(&lower));
    let named = names.iter().any(|name| name.len() >= 3 && (lower == *name || core == *name));
    common || row || named || letters.len() < 4
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::secrets::Id;

    fn need(shape: Shape) -> Need {
        let (id, users) = (Id::new("box", "x"), BTreeMap::new());
        Need { id, about: String::new(), obtain: None, shape, public: false, users, apply: BTreeMap::new() }
    }

    #[test]
    fn what_people_take_first_is_weak() {
        let why =
            |shape: &Shape, value: &str| weakness(&need(shape.clone()), value, &["attic", "example.com"]);
        for value in [
            "password",
            "Password1!",
            "Passw0rd2026",
            "123456789",
            "qwertyuiop",
            "abcdefghijklmnop",
            "attic",
            "Attic2026!",
            "example.com",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababab",
            "12345678901234567890",
        ] {
            let found = why(&Shape::Invented, value).map(|weakness| weakness.why);
            assert_eq!(found, Some("is among the first that anyone would try"), "{value}");
        }
        for value in ["k3!xQ", "tr0ub4dor&3"] {
            assert!(why(&Shape::Invented, value).unwrap().why.contains("16 characters"), "{value}");
        }
        for value in
            ["Zm9vYmFyIGJhemJhciBxdXV4", "correct horse battery staple", "passwords-are-no-fun-at-all"]
        {
            assert_eq!(why(&Shape::Invented, value), None, "{value}");
        }
        assert!(why(&Shape::Text, "k3!xQ").unwrap().why.contains("so short"));
        assert_eq!(why(&Shape::Text, "tr0ub4dor&3"), None, "a provider may allow no more");
        assert!(why(&Shape::Text, "letmein1").is_some());
    }

    #[test]
    fn a_key_that_is_a_pattern_is_weak() {
        let zeroes = STANDARD.encode([0; 32]);
        let real = STANDARD.encode((50..82).collect::<Vec<u8>>());
        let tunnel = |secret: &str| format!(r#"{{"TunnelSecret":"{secret}"}}"#);
        let weak = |shape, value: &str| weakness(&need(shape), value, &[]).is_some();
        assert!(weak(Shape::WireguardKey, &zeroes) && !weak(Shape::WireguardKey, &real));
        assert!(
            weak(Shape::HexKey, &"0".repeat(32)) && !weak(Shape::HexKey, "0123456789abcdef0123456789abcdef")
        );
        assert!(weak(Shape::Tunnel(None), &tunnel(&zeroes)) && !weak(Shape::Tunnel(None), &tunnel(&real)));
    }

    #[test]
    fn a_name_is_not_judged() {
        let public = Need { public: true, ..need(Shape::Text) };
        assert_eq!(weakness(&public, "admin", &[]), None);
    }
}
