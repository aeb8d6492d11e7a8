//! What is removed from a small cache, and what stays.

use std::fs::File;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::usage::claim;

/// A name as entries have it.
fn name(number: u8) -> String {
    Sha256::of_bytes(&[number]).to_string()
}

fn dated(path: &Path, days: u64) {
    File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(days * 86400)).unwrap();
}

/// A result with a lock, a download, a part of one, a blob, and things that are no entries; dated day 1, 2, 3, 4.
fn cache() -> tempfile::TempDir {
    let cache = tempfile::tempdir().unwrap();
    let path = |text: String| cache.path().join(text);
    fs::create_dir_all(path(format!("base/{}", name(1)))).unwrap();
    fs::write(path(format!("base/{}/layer", name(1))), vec![1; 100_000]).unwrap();
    fs::write(path(format!("base/{}.lock", name(1))), "").unwrap();
    dated(&path(format!("base/{}", name(1))), 1);
    dated(&path(format!("base/{}.lock", name(1))), 1);
    for (folder, number) in
        [(format!("objects/{}", &name(2)[..2]), 2), ("partial".into(), 3), ("containers".into(), 4)]
    {
        fs::create_dir_all(path(folder.clone())).unwrap();
        let file = path(format!("{folder}/{}", name(number)));
        fs::write(&file, vec![1; 20_000]).unwrap();
        dated(&file, u64::from(number));
    }
    for text in ["base/README", "precious", "containers/.unfinished-left"] {
        fs::write(path(text.into()), vec![1; 5000]).unwrap();
        dated(&path(text.into()), 0);
    }
    cache
}

fn removed(pruned: &Pruned) -> Vec<(&str, &str)> {
    pruned.removed.iter().map(|entry| (entry.kind, entry.name.as_str())).collect()
}

#[test]
fn what_is_old_goes_and_nothing_else() {
    let cache = cache();
    let limit = Limit::UsedSince(3 * 86400);
    let dry = prune(cache.path(), limit, true).unwrap();
    assert_eq!(removed(&dry), [("base", name(1).as_str()), ("objects", name(2).as_str())]);
    assert!(cache.path().join("base").join(name(1)).exists());
    let pruned = prune(cache.path(), limit, false).unwrap();
    assert_eq!(removed(&pruned), removed(&dry));
    assert!(pruned.freed > dry.freed, "the leftover counts");
    let mut names: Vec<String> = Vec::new();
    for folder in ["base", &format!("objects/{}", &name(2)[..2]), "partial", "containers", "."] {
        let list = fs::read_dir(cache.path().join(folder)).unwrap();
        names.extend(list.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    }
    names.sort();
    let mut expected = vec!["README".to_owned(), name(3), name(4), "precious".into()];
    expected.extend(["base", "containers", "objects", "partial", "runs"].map(str::to_owned));
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn what_is_too_much_goes_the_least_recently_used_first() {
    let cache = cache();
    let all = prune(cache.path(), Limit::UsedSince(0), true).unwrap().kept;
    let pruned = prune(cache.path(), Limit::Bytes(all - 1), false).unwrap();
    assert_eq!(removed(&pruned), [("base", name(1).as_str())]);
    let pruned = prune(cache.path(), Limit::Bytes(0), false).unwrap();
    assert_eq!(pruned.removed.len(), 3);
    assert_eq!(pruned.kept, 0);
}

#[test]
fn what_a_run_uses_stays_however_old_it_is() {
    let cache = cache();
    claim(cache.path(), "base", &name(1)).unwrap();
    claim(cache.path(), "objects", &name(3)).unwrap();
    dated(&cache.path().join("base").join(name(1)), 1);
    let pruned = prune(cache.path(), Limit::Bytes(0), false).unwrap();
    assert_eq!(removed(&pruned), [("objects", name(2).as_str()), ("containers", name(4).as_str())]);
    assert_eq!(pruned.in_use, 2);
    assert!(cache.path().join("base").join(name(1)).join("layer").exists());
    assert!(cache.path().join("base").join(name(1)).with_extension("lock").exists());
}

#[test]
fn a_folder_of_another_cache_is_left_alone() {
    let [cache, other] = [cache(), tempfile::tempdir().unwrap()];
    std::os::unix::fs::symlink(cache.path().join("base"), other.path().join("base")).unwrap();
    assert_eq!(prune(other.path(), Limit::Bytes(0), false).unwrap().removed, []);
    assert!(cache.path().join("base").join(name(1)).exists());
}
