//! Choices on small indexes; the comparison with apt on the real archive is `tests/apt.rs`.

use super::*;
use crate::digest::Sha256;

/// An index from lines of `name version; Field: value; …`.
fn index(lines: &[&str]) -> Index {
    let mut text = String::new();
    for line in lines {
        let (head, fields) = line.split_once(';').unwrap_or((line, ""));
        let (name, version) = head.trim().split_once(' ').unwrap_or((head, "1"));
        text += &format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}\nSize: 1\nSHA256: {}\n",
            Sha256::of_bytes(name.as_bytes())
        );
        for field in fields.split(';').map(str::trim).filter(|field| !field.is_empty()) {
            text += &format!("{field}\n");
        }
        text += "\n";
    }
    let mut index = Index::new();
    index.add(text.as_bytes(), "amd64", 0).unwrap();
    index
}

fn choose(lines: &[&str], wanted: &[&str]) -> Result<Vec<String>, Conflict> {
    choose_without(lines, wanted, &[])
}

fn choose_without(
    lines: &[&str],
    wanted: &[&str],
    excluded: &[(&str, &str)],
) -> Result<Vec<String>, Conflict> {
    let index = index(lines);
    let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    let excluded = excluded.iter().map(|(name, reason)| ((*name).to_owned(), (*reason).to_owned())).collect();
    let request =
        Request { wanted: &wanted, excluded: &excluded, assumed: &[], system: true, held: &BTreeMap::new() };
    solve(&index, &request).map(|chosen| chosen.iter().map(|candidate| candidate.name.clone()).collect())
}

#[test]
fn what_is_needed_is_chosen_and_nothing_else() {
    let lines = [
        "a; Depends: b (>= 2), c; Recommends: z",
        "b 2; Pre-Depends: d",
        "c; Suggests: z",
        "d",
        "essential; Essential: yes",
        "required; Priority: required",
        "z",
    ];
    assert_eq!(choose(&lines, &["a"]).unwrap(), ["a", "b", "c", "d", "essential", "required"]);
}

#[test]
fn the_first_alternative_goes_first_unless_another_is_there_anyway() {
    let lines = ["a; Depends: x | y", "b; Depends: y", "x", "y"];
    assert_eq!(choose(&lines, &["a"]).unwrap(), ["a", "x"]);
    assert_eq!(choose(&lines, &["a", "b"]).unwrap(), ["a", "b", "y"]);
}

#[test]
fn virtual_packages_are_provided() {
    let lines = [
        "a; Depends: awk",
        "gawk; Provides: awk",
        "mawk; Provides: awk; Priority: required",
        "v; Depends: lib (>= 2)",
        "lib-old; Provides: lib (= 1)",
        "lib-bare; Provides: lib",
        "lib-new; Provides: lib (= 2)",
    ];
    assert_eq!(choose(&lines, &["a"]).unwrap(), ["a", "mawk"]);
    assert_eq!(choose(&lines, &["v"]).unwrap(), ["lib-new", "mawk", "v"]);
}

#[test]
fn conflicts_are_obeyed_but_not_with_oneself() {
    let lines = [
        "a; Depends: x | y",
        "b; Conflicts: x",
        "x",
        "y",
        "mta; Provides: mail; Conflicts: mail",
        "other-mta; Provides: mail",
        "new 2; Breaks: old (<< 2)",
        "old 2",
    ];
    assert_eq!(choose(&lines, &["a", "b"]).unwrap(), ["a", "b", "y"]);
    assert_eq!(choose(&lines, &["mta"]).unwrap(), ["mta"]);
    assert_eq!(choose(&lines, &["new", "old"]).unwrap(), ["new", "old"]);
    let error = choose(&lines, &["mta", "other-mta"]).unwrap_err().to_string();
    assert!(error.contains("mta") && error.contains("other-mta"), "{error}");
}

#[test]
fn a_chain_that_leads_nowhere_is_named() {
    let lines = ["a; Depends: b", "b 3; Depends: c (>= 5)", "c 4"];
    let error = choose(&lines, &["a"]).unwrap_err().to_string();
    for part in ["a 1", "b 3", "c", "(>= 5)"] {
        assert!(error.contains(part), "`{part}` is not in\n{error}");
    }
    let error = choose(&["a; Depends: nothing | (x"], &["a"]).unwrap_err().to_string();
    assert!(error.contains("malformed"), "{error}");
}

#[test]
fn unknown_packages_are_named_with_similar_ones() {
    let error = choose(&["smartmontools", "sudo"], &["smartmontool", "qqq"]).unwrap_err().to_string();
    assert!(error.contains("`smartmontool` (did you mean `smartmontools`?)"), "{error}");
    assert!(error.contains("no package `qqq`\n"), "{error}");
}

#[test]
fn an_excluded_package_is_avoided_or_the_reason_is_given() {
    let lines = ["a; Depends: x | y", "x", "y", "b; Depends: x"];
    let excluded = [("x", "it rewrites the boot partition")];
    assert_eq!(choose_without(&lines, &["a"], &excluded).unwrap(), ["a", "y"]);
    let error = choose_without(&lines, &["b"], &excluded).unwrap_err().to_string();
    assert!(error.contains("it rewrites the boot partition"), "{error}");
}

#[test]
fn what_is_assumed_is_neither_chosen_nor_followed() {
    let index = index(&["a; Depends: b, c | d", "b; Depends: x", "c; Depends: missing", "x"]);
    let assumed = ["b".to_owned(), "c".to_owned()];
    let request = Request {
        wanted: &["a".to_owned()],
        excluded: &BTreeMap::new(),
        assumed: &assumed,
        system: false,
        held: &BTreeMap::new(),
    };
    let chosen = solve(&index, &request).unwrap();
    assert_eq!(chosen.iter().map(|candidate| candidate.name.as_str()).collect::<Vec<_>>(), ["a"]);
}
