//! What one secret looks like in an output: the bytes to look for.
//!
//! In: a value. Out: byte strings, each with how it was made: as it is, escaped for JSON, XML or an address, in base64, in
//! hexadecimal digits, in UTF-16, in halves, and what is left of it without the characters between which it may be split. Whatever is shorter than eight bytes is left out, since
//! chance would find it in any image.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::file::SHORTEST_SOUGHT;
use super::scan::Encoding;

/// A line of a longer value counts by itself from this length on: someone may have indented it.
const LINE: usize = 16;

/// Decoded forms are looked for from this many bytes on.
const DECODED: usize = 16;

/// Half of a value counts by itself from this length on, and so does a value that was split over lines.
const PART: usize = 16;

/// Bytes to look for.
pub(super) struct Pattern {
    /// At least eight bytes.
    pub bytes: Zeroizing<Vec<u8>>,
    /// How they follow from the value.
    pub encoding: Encoding,
}

/// Which bytes may stand between the parts of a value that was split: over lines, or into quoted pieces.
pub(super) const SEPARATORS: [bool; 256] = {
    let mut table = [false; 256];
    let separators = b" \t\n\r\x0c\"'\\,+";
    let mut position = 0;
    while position < separators.len() {
        table[separators[position] as usize] = true;
        position += 1;
    }
    table
};

/// What to look for where separating bytes are passed over: each is longer than chance would make.
pub(super) fn split_patterns(patterns: &[Pattern]) -> Vec<Pattern> {
    let mut found: Vec<Pattern> = Vec::new();
    for pattern in patterns.iter().filter(|one| one.encoding <= Encoding::Hex) {
        let bytes: Vec<u8> =
            pattern.bytes.iter().copied().filter(|byte| !SEPARATORS[usize::from(*byte)]).collect();
        let bytes = Zeroizing::new(bytes);
        if bytes.len() >= PART && found.iter().all(|known| known.bytes != bytes) {
            found.push(Pattern { bytes, encoding: Encoding::Split });
        }
    }
    found
}

/// Everything that gives `value` away.
pub(super) fn patterns(value: &str) -> Vec<Pattern> {
    let mut found: Vec<Pattern> = Vec::new();
    for raw in forms(value) {
        let distinct = raw.iter().collect::<std::collections::BTreeSet<_>>().len();
        if raw.len() < SHORTEST_SOUGHT || distinct < 3 {
            continue;
        }
        let mut add = |bytes: Vec<u8>, encoding| {
            let bytes = Zeroizing::new(bytes);
            if bytes.len() >= SHORTEST_SOUGHT && found.iter().all(|known| known.bytes != bytes) {
                found.push(Pattern { bytes, encoding });
            }
        };
        add(raw.to_vec(), Encoding::Plain);
        for shift in 0..3 {
            let text = shifted(&raw, shift);
            let url_safe = text.replace('+', "-").replace('/', "_");
            add(text.into_bytes(), Encoding::Base64);
            add(url_safe.into_bytes(), Encoding::Base64);
        }
        add(hex::encode(&*raw).into_bytes(), Encoding::Hex);
        add(hex::encode_upper(&*raw).into_bytes(), Encoding::Hex);
        add(raw.iter().flat_map(|byte| [*byte, 0]).collect(), Encoding::Utf16);
    }
    for text in escaped(value) {
        if text.len() >= SHORTEST_SOUGHT && found.iter().all(|known| *known.bytes != text.as_bytes()) {
            found.push(Pattern {
                bytes: Zeroizing::new(text.as_bytes().to_vec()),
                encoding: Encoding::Escaped,
            });
        }
    }
    for half in halves(value) {
        found.push(Pattern { bytes: Zeroizing::new(half.as_bytes().to_vec()), encoding: Encoding::Half });
    }
    found
}

/// `value` as it stands in an address, in XML, and in JSON that escapes slashes, where that is something else.
fn escaped(value: &str) -> Vec<Zeroizing<String>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let address = |upper: bool, also: &[u8]| {
        let mut text = Zeroizing::new(String::with_capacity(3 * value.len()));
        for byte in value.bytes() {
            match (plain(byte) || also.contains(&byte), upper) {
                (true, _) => text.push(char::from(byte)),
                (false, true) => text.push_str(&format!("%{byte:02X}")),
                (false, false) => text.push_str(&format!("%{byte:02x}")),
            }
        }
        text
    };
    let xml = |quote: &str| {
        let text =
            value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        Zeroizing::new(text.replace('\'', quote))
    };
    let slashes = Zeroizing::new(value.replace('\\', "\\\\").replace('"', "\\\"").replace('/', "\\/"));
    let all =
        [address(true, b""), address(false, b""), address(true, b"/"), xml("&#39;"), xml("&apos;"), slashes];
    all.into_iter().filter(|text| text.as_str() != value).collect()
}

/// Both halves of a value that is one random word. Half an address or half a sentence may well be anywhere.
fn halves(value: &str) -> Vec<&str> {
    let random = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-.".contains(&byte);
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    if value.len() < 2 * PART || digits < 2 || !value.bytes().all(random) || value.contains("//") {
        return Vec::new();
    }
    let (first, second) = value.split_at(value.len() / 2);
    vec![first, second]
}

/// The value, and what is just as secret: its parts, its escaped form, and what it is the text of.
fn forms(value: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let mut texts: Vec<Zeroizing<String>> = vec![Zeroizing::new(value.to_owned())];
    if let Ok(escaped) = serde_json::to_string(value) {
        texts.push(Zeroizing::new(escaped[1..escaped.len() - 1].to_owned()));
    }
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= LINE && !line.starts_with("-----"));
    texts.extend(lines.map(|line| Zeroizing::new(line.to_owned())));
    // Account and tunnel id of a tunnel's credential are no secrets: the profile has them.
    if let Ok(serde_json::Value::Object(json)) = serde_json::from_str(value)
        && let Some(secret) = json.get("TunnelSecret").and_then(serde_json::Value::as_str)
    {
        texts.push(Zeroizing::new(secret.to_owned()));
    }
    let mut forms: Vec<Zeroizing<Vec<u8>>> = Vec::new();
    for text in &texts {
        let decoded = STANDARD.decode(text.as_bytes()).ok().or_else(|| hex::decode(text.as_bytes()).ok());
        forms.push(Zeroizing::new(text.as_bytes().to_vec()));
        forms.extend(decoded.filter(|bytes| bytes.len() >= DECODED).map(Zeroizing::new));
    }
    forms
}

/// The characters of base64 that `raw` alone decides, where `shift` bytes of something else come before it in its
/// group of three.
fn shifted(raw: &[u8], shift: usize) -> String {
    let mut bytes = Zeroizing::new(vec![0; shift]);
    bytes.extend_from_slice(raw);
    let text = Zeroizing::new(STANDARD_NO_PAD.encode(&*bytes));
    // Characters that hold a bit of what comes before, and the last one if it holds a bit of what comes after.
    let first = (shift * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    text[first..last].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn base64_of_any_text_around_a_value_shows_it(
            before in proptest::collection::vec(any::<u8>(), 0..7),
            value in "[!-~]{8,40}",
            after in proptest::collection::vec(any::<u8>(), 0..7),
        ) {
            let whole = [&before[..], value.as_bytes(), &after[..]].concat();
            let text = STANDARD.encode(whole);
            let inside = shifted(value.as_bytes(), before.len() % 3);
            prop_assert!(text.contains(&inside));
            prop_assert!(inside.len() >= value.len() * 8 / 6 - 2);
        }
    }

    #[test]
    fn chance_is_not_looked_for() {
        for value in ["", "short", "aaaaaaaaaaaaaaaa", "abababababab"] {
            assert!(patterns(value).is_empty(), "{value}");
        }
    }

    #[test]
    fn parts_are_looked_for_as_well() {
        let key = STANDARD.encode((100..132).collect::<Vec<u8>>());
        let json =
            format!(r#"{{"AccountTag":"0123456789abcdef","TunnelSecret":"{key}","TunnelID":"6ff42ae2"}}"#);
        let found = patterns(&json);
        let has = |bytes: &[u8]| found.iter().any(|pattern| *pattern.bytes == bytes);
        assert!(has(key.as_bytes()) && has(&(100..132).collect::<Vec<u8>>()));
        assert!(!has(b"0123456789abcdef") && !has(b"6ff42ae2"));
        let pem = "-----BEGIN KEY-----\nfirst line of a key, long\n-----END KEY-----";
        assert!(patterns(pem).iter().any(|pattern| *pattern.bytes == b"first line of a key, long"));
    }
}
