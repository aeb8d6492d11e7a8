//! Whether the text of a lock is the one that this program writes: a merge may have left it out of order, or twice in it.
//!
//! The text of a lock and the lock go in, sentences for a person come out. Nothing is changed here.

use std::collections::BTreeMap;

use super::format::{Lock, Package};
use super::render::render;
use crate::digest::Sha256;

/// What is wrong with `text`, which is that of `lock`: names that are in it twice, and the first line that is not as it would be
/// written. Nothing if the text is exactly what [`super::save`] writes.
pub fn faults(text: &str, lock: &Lock) -> Vec<String> {
    let packages = |list: &[Package]| -> Vec<(String, String)> {
        list.iter().map(|package| (package.name.clone(), package.version.clone())).collect()
    };
    let images = lock.images.iter().map(|image| {
        (image.reference.clone(), image.digest.clone().unwrap_or_else(|| "without a digest".to_owned()))
    });
    let keys = lock.keys.iter().map(|key| (key.fingerprint.clone(), key.file.clone()));
    let sources = lock.sources.iter().map(|source| (source.name.clone(), short(&source.sha256)));
    let lists = [
        ("keys", keys.collect()),
        ("sources", sources.collect()),
        ("packages", packages(&lock.packages)),
        ("tools", packages(&lock.tools)),
        ("machine", packages(&lock.machine)),
        ("images", images.collect()),
    ];
    let mut faults: Vec<String> = lists.into_iter().flat_map(|(list, names)| twice(list, names)).collect();
    faults.extend(out_of_order(text, &render(lock)));
    faults
}

/// Enough of a digest to tell two lines apart.
fn short(digest: &Sha256) -> String {
    digest.to_string().chars().take(12).collect()
}

fn twice(list: &str, names: Vec<(String, String)>) -> Vec<String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version) in names {
        found.entry(name).or_default().push(version);
    }
    found
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| {
            format!("{name} is in `{list}` twice ({}): leave one of the lines", versions.join(", "))
        })
        .collect()
}

fn out_of_order(text: &str, canonical: &str) -> Option<String> {
    if text == canonical {
        return None;
    }
    let same = text.lines().zip(canonical.lines()).take_while(|(is, should)| is == should).count();
    Some(format!(
        "line {} is not as `boxwright lock` writes it (sorted, one thing a line): `boxwright lock` without `--update` \
         writes it so, and moves nothing",
        same + 1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::format::parse;

    const LOCK: &str = include_str!("../../tests/diff/old.lock");

    #[test]
    fn a_lock_as_it_is_written_has_no_faults() {
        assert_eq!(faults(LOCK, &parse(LOCK).unwrap()), [""; 0]);
    }

    #[test]
    fn lines_out_of_order_and_twice_are_found() {
        let line = LOCK.lines().find(|line| line.contains("openssl")).unwrap();
        let later = line.replace("3.5.1-1", "3.5.9-1");
        let merged = LOCK.replace(line, &format!("{line}\n{later}"));
        let found = faults(&merged, &parse(&merged).unwrap());
        assert_eq!(found, ["openssl is in `packages` twice (3.5.1-1, 3.5.9-1): leave one of the lines"]);

        let at = LOCK.lines().position(|other| other == line).unwrap() + 1;
        let mut lines: Vec<&str> = LOCK.lines().collect();
        lines.swap(at - 1, at - 2);
        let text = lines.join("\n") + "\n";
        let found = faults(&text, &parse(&text).unwrap());
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with(&format!("line {} is not", at - 1)), "{found:?}");
    }

    #[test]
    fn comments_and_line_ends_are_not_the_programs() {
        for text in [LOCK.replace('\n', "\r\n"), format!("{LOCK}# mine\n"), LOCK.trim_end().to_owned()] {
            assert_eq!(faults(&text, &parse(&text).unwrap()).len(), 1);
        }
    }
}
