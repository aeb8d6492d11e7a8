//! What makes builds differ, planted into one: `verify --twice` names every file that has it, and no other.

use std::collections::BTreeSet;

use crate::tiny::Tiny;

/// The folder of what [`crate::tiny`]'s package plants, and how many files are in it but the one whose name differs too.
const PLANTED: &str = "/usr/share/planted/";
const COUNT: usize = 21;

/// The names that the script gives to what it plants.
fn planted() -> BTreeSet<&'static str> {
    let script = include_str!("planting.sh");
    let (_, part) = script.split_once("cd /usr/share/planted\n").unwrap();
    let (part, _) = part.split_once("cd /usr/share/steady\n").unwrap();
    let lines = part
        .lines()
        .filter(|line| !line.is_empty() && !line.contains("/dev/null") && !line.ends_with("/tmp/fresh"));
    let target = |line: &'static str| {
        let (_, redirected) = line.rsplit_once(" >").unwrap_or_default();
        line.split_once("-cf ").map_or(redirected, |(_, rest)| rest.split_once(' ').unwrap().0)
    };
    lines.map(target).collect()
}

#[test]
fn every_planted_difference_is_named_by_file() {
    let Some(tiny) = Tiny::new() else { return };
    tiny.add_package("planting");
    tiny.project.run(&["lock", "box"]).fine();
    let run = tiny.project.run(&["--json", "verify", "--twice", "box"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let mut files = BTreeSet::new();
    let mut by_chance = 0;
    for difference in said["differences"].as_array().unwrap() {
        let Some(file) = difference["file"].as_str() else { continue };
        if difference["stage"] != "base" || file.starts_with("/boxwright/") {
            continue;
        }
        match file.strip_prefix(PLANTED) {
            Some(name) if name.starts_with("named-by-chance.") => by_chance += 1,
            name => _ = files.insert(name.unwrap_or(file).to_owned()),
        }
    }
    let mut planted = planted();
    assert_eq!(planted.len(), COUNT, "{planted:?}");
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root builds as another user");
        planted.remove("user-of-the-build");
    }
    assert_eq!(files.iter().map(String::as_str).collect::<BTreeSet<_>>(), planted);
    assert_eq!(by_chance, 2, "one name each: {said:#}");
}
