//! The whole rendered tree of every shipped profile, and of one with what those do not use, as `boxwright render` would write it, kept in tests/golden/.
//!
//! A file that an overlay has as it is on the box is not kept again: the list names it.
//!
//! `SNAPSHOTS=overwrite cargo test --test golden` writes it anew after a wanted change; `git diff` then shows what changed
//! on the boxes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "SNAPSHOTS is read from the environment")]

#[path = "support/profiles.rs"]
mod profiles;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use boxwright::tree::{Kind, Tree};
use snapbox::{Assert, Data};

/// The files of the overlays that are no templates: their bytes, and the first path with them.
fn verbatim() -> BTreeMap<Vec<u8>, String> {
    let overlays = profiles::project().join("overlays");
    let mut names = BTreeSet::new();
    files_below(&overlays, "overlays/", &mut names);
    let mut found = BTreeMap::new();
    for name in names.into_iter().filter(|name| !name.ends_with(".tera")) {
        // What a link leads to stands under its own name.
        if let Ok(bytes) = fs::read(profiles::project().join(&name)) {
            found.entry(bytes).or_insert(name);
        }
    }
    found
}

/// Path, mode, owner and kind of everything: what the files below root/ cannot tell.
fn listing(tree: &Tree, verbatim: &BTreeMap<Vec<u8>, String>) -> String {
    let mut text = String::new();
    for (path, entry) in tree.iter() {
        let kind = match &entry.kind {
            Kind::Dir => "/".to_owned(),
            Kind::File(bytes) => verbatim.get(bytes).map_or_else(String::new, |name| format!(" = {name}")),
            Kind::Symlink(target) => format!(" -> {target}"),
        };
        writeln!(text, "{:04o} {}:{} {path}{kind}", entry.mode, entry.uid, entry.gid).unwrap();
    }
    text
}

fn files_below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name);
        }
    }
}

/// Compares one profile's tree with what is kept; the differences, one text each.
fn compare(name: &str, tree: &Tree, verbatim: &BTreeMap<Vec<u8>, String>) -> Vec<String> {
    let folder = profiles::project().join("tests/golden").join(name);
    let overwrite = std::env::var("SNAPSHOTS").is_ok_and(|value| value == "overwrite");
    if overwrite {
        let _ = fs::remove_dir_all(&folder);
    }
    let mut expected: Vec<(String, PathBuf, String)> =
        vec![("listing.txt".to_owned(), folder.join("listing.txt"), listing(tree, verbatim))];
    let mut stale = BTreeSet::new();
    files_below(&folder.join("root"), "", &mut stale);
    for (path, entry) in tree.iter() {
        if let Kind::File(bytes) = &entry.kind
            && !verbatim.contains_key(bytes)
        {
            stale.remove(path);
            let text = String::from_utf8(bytes.clone()).expect("rendered files are text");
            expected.push((format!("/{path}"), folder.join("root").join(path), text));
        }
    }
    let assert = Assert::new().action_env("SNAPSHOTS");
    let mut wrong: Vec<String> = stale
        .iter()
        .map(|path| format!("{name}: /{path} is no longer rendered, or an overlay has it as it is"))
        .collect();
    for (what, path, text) in expected {
        if overwrite {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            continue;
        }
        let kept = Data::read_from(&path, Some(snapbox::data::DataFormat::Text)).raw();
        if let Err(error) = assert.try_eq(Some(&what), Data::text(text).raw(), kept) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    wrong
}

#[test]
fn profiles_render_to_what_is_kept() {
    let (mut wrong, verbatim) = (Vec::new(), verbatim());
    for name in profiles::shipped() {
        wrong.extend(compare(&name, &profiles::rendered(&name), &verbatim));
    }
    let ubuntu = profiles::project().join("tests/golden/ubuntu.toml");
    wrong.extend(compare("ubuntu", &profiles::rendered_at(&ubuntu), &verbatim));
    let advice = "run SNAPSHOTS=overwrite cargo test --test golden, and look at the difference with git diff";
    assert!(wrong.is_empty(), "{}\n{advice}", wrong.join("\n"));
}

#[test]
fn rendering_twice_gives_the_same() {
    for name in profiles::shipped() {
        assert_eq!(profiles::rendered(&name), profiles::rendered(&name), "{name}");
    }
}

/// What a shipped profile renders to with one text in it changed.
fn changed(name: &str, old: &str, new: &str) -> Tree {
    let text = fs::read_to_string(profiles::project().join("profiles").join(name)).unwrap();
    assert!(text.contains(old), "{name} has no {old}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text.replacen(old, new, 1)).unwrap();
    profiles::rendered_at(&path)
}

/// There is no tunnel whose failing could be waited for: SSH is not opened at home, and nobody is told each day that it is down.
#[test]
fn ssh_without_a_tunnel_is_not_opened_at_home() {
    let tree = changed("minimal.toml", "lan = \"always\"", "lan = \"rescue\"");
    for rules in ["etc/ufw/before.rules", "etc/ufw/before6.rules"] {
        let text = String::from_utf8_lossy(tree.file(rules).unwrap());
        assert!(!text.contains("--dport 22"), "{text}");
    }
    assert!(tree.iter().all(|(path, _)| !path.contains("ssh-rescue")));
    let text = String::from_utf8_lossy(tree.file("etc/boxwright/box.json").unwrap());
    assert!(text.contains("\"lan\": \"never\""), "{text}");
}

#[test]
fn a_port_for_home_and_the_edge_has_a_rule_for_each() {
    let both = "lan = [\"25565/tcp\"], edge = [\"25565/tcp\"]";
    let tree = changed("doom-server.toml", "edge = [\"25565/tcp\"]", both);
    let text = String::from_utf8_lossy(tree.file("etc/ufw/after.rules").unwrap());
    let rules: Vec<&str> = text.lines().filter(|line| line.contains("--ctorigdstport 25565 ")).collect();
    assert_eq!(rules.len(), 2, "{rules:?}");
    assert!(rules[0].ends_with("-j bw-edge") && rules[1].ends_with("-j bw-onlink"), "{rules:?}");
}
