//! One bad profile a row, with the exact findings about it: severity, code, and the text that they point at.

mod exposure;
mod machine;
mod services;
mod surroundings;

use std::path::Path;

use super::{World, check};
use crate::diag::{Findings, Severity};
use crate::profile::load;

/// A profile about which there is nothing to say.
const GOOD: &str = r#"schema = 1
[box]
name = "nas"
domain = "example.com"
admins = { me = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIJPRgh+AXm+rRH1Ydo+E3qd2R8JZnZyh3rnFXd25G5p me"] }
[ssh]
lan = "always"
[cloudflare]
tunnel = "6ff42ae2-765d-4adf-8112-31c55c1551ef"
team = "us"
admin = { aud = "a" }
[disks]
media = { label = "media" }
[services]
sonarr = { at = "sonarr", disk = "media" }
"#;

/// What is found about `text`: `error unknown-key "nmae"`, sorted by place.
fn findings(text: &str) -> Vec<String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/project");
    let path = Path::new("profiles/test.toml");
    let loaded = load::parse(path, text.as_bytes().to_vec());
    let mut findings: Findings = loaded.findings;
    if let Some(document) = loaded.document {
        let world = World::load(&project, &document.profile, &mut findings).unwrap();
        let (checked, all) = check(&document, world, findings);
        assert_eq!(checked.is_none(), all.has_errors());
        findings = all;
    }
    let severity = |severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let line = |finding: &crate::diag::Finding| {
        let place = finding.place.as_ref().expect("every finding has a place");
        format!("{} {} {}", severity(finding.severity), finding.code, &text[place.span.clone()])
    };
    findings.list.iter().map(line).collect()
}

/// Changes the good profile and compares. `change` is `old => new`, or text to add at the end.
fn row(change: &str, expected: &[&str]) {
    let text = match change.split_once(" => ") {
        Some((old, new)) => {
            assert!(GOOD.contains(old), "{old}");
            GOOD.replacen(old, new, 1)
        }
        None => format!("{GOOD}{change}\n"),
    };
    assert_eq!(findings(&text), expected, "{change}");
}

#[test]
fn the_good_profile_is_good() {
    assert_eq!(findings(GOOD), [""; 0]);
}

#[test]
fn what_the_shape_says_is_not_said_again() {
    let table: &[(&str, &[&str])] = &[
        ("nas\"\ndomain => nas\"\ndomian", &["error unknown-key domian"]),
        ("{ label = \"media\" } => { label = 5 }", &["error wrong-type 5"]),
        ("[ssh]\nlan = \"always\" => [ssh]\nlan = 3", &["error wrong-type 3"]),
        ("schema = 1 => schema = 1\ndomain = \"example.com\"", &["error unknown-key domain"]),
        ("plx = { gpu = 1 }", &["error unknown-service plx", "error wrong-type 1"]),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
    let moved = GOOD.replacen("domain = \"example.com\"\n", "", 1).replacen(
        "schema = 1\n",
        "schema = 1\ndomain = \"example.com\"\n",
        1,
    );
    assert_eq!(findings(&moved), ["error unknown-key domain"], "it says where the key belongs, and no more");
}

#[test]
fn every_rule_says_what_it_looks_after() {
    let mut all: Vec<&str> = super::rules().collect();
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert!(all.len() == count && all.iter().all(|about| !about.is_empty()));
}
