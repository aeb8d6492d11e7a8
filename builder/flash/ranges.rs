//! Lists of ranges of bytes: sorted, and never touching each other.

use std::ops::Range;

/// `ranges` sorted, widened to multiples of `step`, and joined where less than `gap` bytes lie between them.
pub fn joined(mut ranges: Vec<Range<u64>>, step: u64, gap: u64) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        let wide = range.start / step * step..range.end.next_multiple_of(step);
        match joined.last_mut() {
            Some(last) if wide.start <= last.end.saturating_add(gap) => last.end = last.end.max(wide.end),
            _ => joined.push(wide),
        }
    }
    joined
}

/// What of `all` is in none of `ranges`.
pub fn between(all: Range<u64>, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut start = all.start;
    let mut found = Vec::new();
    for range in ranges {
        found.push(start..range.start.min(all.end));
        start = start.max(range.end);
    }
    found.push(start..all.end);
    found.retain(|range| range.start < range.end);
    found
}

/// What is in both lists.
pub fn common(one: &[Range<u64>], other: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    for a in one {
        for b in &other[other.partition_point(|b| b.end <= a.start)..] {
            if b.start >= a.end {
                break;
            }
            found.push(a.start.max(b.start)..a.end.min(b.end));
        }
    }
    joined(found, 1, 0)
}

/// The bytes in all of them.
pub fn length(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// `ranges` in pieces of at most `most` bytes.
pub fn pieces(ranges: &[Range<u64>], most: usize) -> impl Iterator<Item = (u64, usize)> + '_ {
    ranges.iter().flat_map(move |range| {
        let end = range.end;
        let length = move |at: u64| usize::try_from(end - at).unwrap_or(most).min(most);
        range.clone().step_by(most).map(move |at| (at, length(at)))
    })
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "lists of ranges are meant")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_joined_and_cut() {
        let joined = joined(vec![9..10, 1..2, 3..4, 20..20], 1, 1);
        assert_eq!(joined, [1..4, 9..10]);
        assert_eq!(super::joined(vec![5000..5001], 4096, 0), [4096..8192]);
        assert_eq!(between(0..12, &joined), [0..1, 4..9, 10..12]);
        assert_eq!(between(2..9, &joined), [4..9]);
        let whole = [0..7];
        assert_eq!(pieces(&whole, 3).collect::<Vec<_>>(), [(0, 3), (3, 3), (6, 1)]);
    }

    proptest! {
        #[test]
        fn every_byte_is_in_one_of_both(list in proptest::collection::vec((0_u64..200, 0_u64..20), 0..12), end in 1_u64..250) {
            let plain: Vec<_> = list.iter().map(|(start, length)| *start..start + length).collect();
            let taken = joined(plain.clone(), 1, 0);
            let free = between(0..end, &taken);
            let other: Vec<_> = plain.iter().step_by(2).cloned().collect();
            let both = common(&taken, &joined(other.clone(), 1, 0));
            for byte in 0..end {
                let of = |ranges: &[Range<u64>]| ranges.iter().filter(|range| range.contains(&byte)).count();
                prop_assert_eq!(of(&taken), usize::from(of(&plain) > 0));
                prop_assert_eq!(of(&free), 1 - of(&taken));
                prop_assert_eq!(of(&both), usize::from(of(&other) > 0));
            }
        }
    }
}
