//! The name that someone probably meant.

/// Which of `names` is close enough to `written` to be what was meant; the closest, then the first.
///
/// Close enough is a third of the letters wrong at most, at least one; or the same word but for case and separators.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace(['_', ' ', '.'], "-");
    let wanted = plain(written);
    let allowed = (wanted.chars().count().min(60) / 3).max(1);
    let mut best: Option<(usize, &'a str)> = None;
    for name in names {
        if wanted.len() > 4 * name.len() + 4 {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&wanted, &plain(name));
        let joined = plain(name).replace('-', "") == wanted.replace('-', "");
        let distance = if joined { 0 } else { distance };
        // Two short words with nothing in common are one substitution away from anything.
        let related = distance < name.chars().count();
        if distance <= allowed && related && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized_and_other_words_are_not() {
        let keys =
            ["name", "domain", "timezone", "lan", "at", "for", "port_forwarding", "uptime-kuma", "sonarr"];
        let table = [
            ("nmae", Some("name")),
            ("Domain", Some("domain")),
            ("time-zone", Some("timezone")),
            ("time_zone", Some("timezone")),
            ("uptimekuma", Some("uptime-kuma")),
            ("sonar", Some("sonarr")),
            ("wan", Some("lan")),
            ("frobnicate", None),
            ("", None),
            ("x", None),
        ];
        for (written, expected) in table {
            assert_eq!(nearest(written, keys), expected, "{written}");
        }
    }
}
