//! Debian package versions and their order (deb-version(7)).
//!
//! Text goes in, an ordering comes out.

use std::cmp::Ordering;

/// Orders two versions as `dpkg --compare-versions` does: epoch, then upstream version, then revision.
///
/// Any two texts have an order; an epoch that is no number counts as part of the version.
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Parts::of(left), Parts::of(right));
    left.epoch
        .cmp(&right.epoch)
        .then_with(|| compare_part(left.upstream, right.upstream))
        .then_with(|| compare_part(left.revision, right.revision))
}

/// A version, cut where deb-version(7) cuts it.
struct Parts<'a> {
    epoch: u64,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (epoch, rest) = match text.split_once(':') {
            Some((digits, rest)) => match digits.parse() {
                Ok(epoch) => (epoch, rest),
                Err(_) => (0, text),
            },
            None => (0, text),
        };
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch, upstream, revision }
    }
}

/// Compares by turns a stretch without digits and a number.
fn compare_part(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        let order = compare_text(&mut left, &mut right).then_with(|| compare_number(&mut left, &mut right));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn compare_text(left: &mut &[u8], right: &mut &[u8]) -> Ordering {
    loop {
        let (a, b) = (weight(left), weight(right));
        if a != b {
            return a.cmp(&b);
        }
        if a == 0 {
            // Both are at a digit or at their end: `~` and all else weigh something.
            return Ordering::Equal;
        }
        *left = &left[1..];
        *right = &right[1..];
    }
}

/// `~` sorts before the end, the end (and a digit) before letters, letters before all else.
fn weight(text: &[u8]) -> i32 {
    match text.first() {
        None | Some(b'0'..=b'9') => 0,
        Some(b'~') => -1,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    }
}

fn compare_number(left: &mut &[u8], right: &mut &[u8]) -> Ordering {
    let (a, b) = (take_number(left), take_number(right));
    // Without leading zeros the longer one is the larger one, however many digits there are.
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_is_dpkgs() {
        // deb-version(7) and the cases of dpkg's own test suite (lib/dpkg/t/t-version.c), by meaning.
        let ascending = [
            ("1.0~~", "1.0~~a"),
            ("1.0~~a", "1.0~"),
            ("1.0~", "1.0"),
            ("1.0", "1.0a"),
            ("1.0a", "1.0+"),
            ("1.0-1", "1.0-1.1"),
            ("1.0-1~bpo1", "1.0-1"),
            ("1.0-9", "1.0-10"),
            ("9.99", "1:0.1"),
            ("1:1.0", "2:0"),
            ("1.2.3", "1.2.10"),
            ("0.9", "0.10"),
            ("1.0-0", "1.0-0.1"),
            ("2.41-12", "2.41-12+deb13u1"),
            ("1.0.0", "1.0.0-1"),
            ("1a", "1aa"),
            ("1Z", "1a"),
            ("1.18.36", "1.19"),
            ("6.12.9-1", "6.12.57-1"),
            ("99999999999999999999998", "99999999999999999999999"),
            ("1:1.2-3-4", "1:1.2-3-5"),
        ];
        for (lower, higher) in ascending {
            assert_eq!(compare(lower, higher), Ordering::Less, "{lower} < {higher}");
            assert_eq!(compare(higher, lower), Ordering::Greater, "{higher} > {lower}");
        }
        for (left, right) in
            [("0:1.0", "1.0"), ("1.0-0", "1.0"), ("1.01", "1.1"), ("1.0-00", "1.0-0"), ("", "0")]
        {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} = {right}");
        }
    }

    proptest! {
        #[test]
        fn order_is_total(a in "[0-9a-b~+.:-]{0,8}", b in "[0-9a-b~+.:-]{0,8}", c in "[0-9a-b~+.:-]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                prop_assert_ne!(compare(&a, &c), Ordering::Greater);
            }
        }

        #[test]
        fn any_text_is_taken(a in ".*", b in ".*") {
            compare(&a, &b);
        }
    }
}
