//! A copy of `secrets.toml` that can be shown: same lines, same columns, no values.
//!
//! In: the text. Out: a text of the same length in bytes, in which every word is blotted out that is not known to be a
//! section's or a secret's name. It has to hold for a text that is not TOML at all, since that is when it is shown.

use std::collections::BTreeSet;

/// `text` with every word blotted out that is neither in `known` nor, as a whole, one of the `names`' byte ranges.
pub(super) fn redact(text: &str, known: &BTreeSet<&str>, names: &[std::ops::Range<usize>]) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        redact_line(line, shown.len(), (known, names), &mut shown);
    }
    shown
}

/// Only a known name at the beginning of a line, in a section's brackets or before `=`, is shown: the same word further
/// on may be a value.
fn redact_line(
    line: &str,
    start: usize,
    (known, names): (&BTreeSet<&str>, &[std::ops::Range<usize>]),
    shown: &mut String,
) {
    let head_length = line.len() - line.trim_start_matches([' ', '\t', '[', '"', '\'']).len();
    let rest = &line[head_length..];
    let word = rest.find(|c: char| !is_word(c)).map_or(rest, |end| &rest[..end]);
    let visible = if known.contains(word) { head_length..head_length + word.len() } else { 0..0 };
    for (position, c) in line.char_indices() {
        let at = start + position;
        let named = names.iter().any(|range| range.contains(&at));
        if visible.contains(&position) || named || c == '\n' || c == '\r' || "[]={}\"'#, \t".contains(c) {
            shown.push(c);
        } else {
            (0..c.len_utf8()).for_each(|_| shown.push('*'));
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_stay_and_values_go() {
        let known = BTreeSet::from(["ssh", "tunnel"]);
        let text = "# old: abc\n[ssh]\ntunnel = 'tünnel' # tunnel\neyJhIjo=\n  \"tunnel\" = \"\"\"\nssh-key\ntypo = 1\n";
        let typo = text.find("typo").unwrap();
        let names = typo..typo + 4;
        let shown = redact(text, &known, std::slice::from_ref(&names));
        let expected = "# **** ***\n[ssh]\ntunnel = '*******' # ******\n*******=\n  \"tunnel\" = \"\"\"\n*******\ntypo = *\n";
        assert_eq!(shown, expected);
        assert_eq!(shown.len(), text.len());
    }

    proptest! {
        #[test]
        fn no_word_of_any_text_survives(text in "\\PC{0,40}", word in "[a-zA-Z0-9+/]{8,20}") {
            let text = format!("{text}{word}{text}");
            let shown = redact(&text, &BTreeSet::from(["ssh"]), &[]);
            prop_assert_eq!(shown.len(), text.len());
            prop_assert!(!shown.contains(&word));
        }
    }
}
