//! An image's tag → a regular expression for the tags of its own version and of newer ones. It is for programs that can only
//! match: Go's expressions and POSIX's extended ones, which both have no way to compare numbers.

/// What a tag is made of.
enum Piece {
    /// Letters or a mark, which stay.
    Text(char),
    /// A number of the version.
    Number(String),
    /// A digest: every version has another.
    Digest,
}

/// A regular expression for the tags that differ from `tag` in their numbers and digests only, and whose numbers are, one after
/// the other, the same or larger.
pub(super) fn pattern(tag: &str) -> String {
    format!("^{}$", from_here(&pieces(tag)))
}

fn pieces(tag: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for word in tag.split_inclusive(['.', '-', '_', '+']) {
        let (word, mark) = match word.char_indices().last() {
            Some((at, c)) if ".-_+".contains(c) => (&word[..at], Some(c)),
            _ => (word, None),
        };
        let hex = word.len() >= 7 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hex && !word.bytes().all(|byte| byte.is_ascii_digit()) {
            pieces.push(Piece::Digest);
        } else {
            let mut rest = word;
            while let Some(c) = rest.chars().next() {
                let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                pieces.push(if digits > 0 {
                    Piece::Number(rest[..digits].to_owned())
                } else {
                    Piece::Text(c)
                });
                rest = &rest[digits.max(c.len_utf8())..];
            }
        }
        pieces.extend(mark.map(Piece::Text));
    }
    pieces
}

/// What may follow while everything before was the same: the first number that is another decides.
fn from_here(pieces: &[Piece]) -> String {
    match pieces {
        [] => String::new(),
        [Piece::Number(number), rest @ ..] => {
            let (zeros, digits) = significant(number);
            let larger = larger(digits);
            format!("{zeros}({digits}{}|{larger}{})", from_here(rest), any(rest))
        }
        [same, rest @ ..] => any(std::slice::from_ref(same)) + &from_here(rest),
    }
}

/// The same words with any numbers.
fn any(pieces: &[Piece]) -> String {
    let one = |piece: &Piece| match piece {
        Piece::Text(c) if c.is_ascii_alphanumeric() => c.to_string(),
        Piece::Text(c) => format!("[{c}]"),
        Piece::Number(_) => "[0-9]+".to_owned(),
        Piece::Digest => "[0-9a-f]+".to_owned(),
    };
    pieces.iter().map(one).collect()
}

/// An expression for the zeros that a number may begin with, and its other digits.
fn significant(number: &str) -> (&'static str, &str) {
    let digits = number.trim_start_matches('0');
    if digits.len() == number.len() {
        ("", number)
    } else {
        ("0*", if digits.is_empty() { "0" } else { digits })
    }
}

/// Every number above the one of `digits`: more of them, or as many of which the first that differs is larger.
fn larger(digits: &str) -> String {
    let mut ways = vec![format!("[1-9][0-9]{{{},}}", digits.len())];
    for (at, digit) in digits.char_indices().filter(|(_, digit)| *digit != '9') {
        let next = u32::from(digit) - u32::from('0') + 1;
        ways.push(format!("{}[{next}-9][0-9]{{{}}}", &digits[..at], digits.len() - at - 1));
    }
    format!("({})", ways.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Tool;

    /// Whether grep takes `other` for a newer version of `tag`, or the same.
    fn told(tag: &str, other: &str) -> bool {
        let matches = ["-c", "printf '%s\\n' \"$1\" | grep -Eq -- \"$2\"", "sh", other, &pattern(tag)];
        Tool::new("sh").args(matches).env("PATH", "/usr/bin:/bin").run().is_ok()
    }

    #[test]
    fn a_version_is_told_where_it_is_not_older() {
        for (tag, newer, older_or_another) in [
            (
                "18.1-alpine",
                "18.1-alpine 18.2-alpine 18.10-alpine 19.0-alpine",
                "18.0-alpine 17.9-alpine 18.2-bookworm 19beta1-alpine",
            ),
            (
                "4.0.19.2979-ls321",
                "4.0.19.2979-ls322 4.0.19.3000-ls1 4.0.20.1-ls1 5.0.0.0-ls9",
                "4.0.19.2979-ls320 4.0.9.9999-ls999 4.0.19.2979 develop",
            ),
            ("v3.9.9", "v3.9.9 v3.9.10 v3.10.0 v4.0.0 v10.0.0", "v3.9.8 v2.10.10 3.9.10 v3.10 v3.10.0-rc1"),
            (
                "1.43.4.10903-e5521bd8c",
                "1.43.4.10903-0123456 1.43.5.1-abcdef012",
                "1.43.4.10902-e5521bd8c 1.9.99.99999-e5521bd8c 1.43.5.1-beta",
            ),
            (
                "14-vectorchord0.4.3-pgvectors0.2.0",
                "14-vectorchord0.4.3-pgvectors0.3.0 14-vectorchord0.5.0-pgvectors0.1.0 15-vectorchord0.3.0-pgvectors0.2.0",
                "14-vectorchord0.4.2-pgvectors0.9.0 14-pgvectors0.3.0",
            ),
            ("2026.08.1", "2026.08.1 2026.10.0 2026.8.2 2027.01.0", "2026.07.9 2025.12.9"),
            ("10.0.0", "10.0.1 10.1.0 11.0.0", "9.99.99 1.0.0 10x0.1"),
        ] {
            for other in newer.split(' ') {
                assert!(told(tag, other), "{other} after {tag}");
            }
            for other in older_or_another.split(' ') {
                assert!(!told(tag, other), "{other} after {tag}");
            }
        }
    }
}
