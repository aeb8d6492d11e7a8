//! The machine, its administrators and SSH.

use super::{GOOD, findings, row};

#[test]
fn the_machine() {
    let table: &[(&str, &[&str])] = &[
        ("schema = 1 => schema = 2", &["error schema-version 2"]),
        ("\"nas\" => \"NAS\"", &["error bad-host-name \"NAS\""]),
        ("\"nas\" => \"localhost\"", &["error reserved-name \"localhost\""]),
        ("\"example.com\" => \"https://example.com/\"", &["error bad-domain \"https://example.com/\""]),
        ("\"example.com\" => \"nas.local\"", &["error bad-domain \"nas.local\""]),
        ("domain = => timezone = \"Brisbane\"\ndomain =", &["error unknown-timezone \"Brisbane\""]),
        ("domain = => timezone = \"US/Pacific\"\ndomain =", &["error unknown-timezone \"US/Pacific\""]),
        ("domain = => timezone = \"Europe/Berlin\"\ndomain =", &[]),
        (
            "domain = => distribution = \"ubuntu-22.04\"\ndomain =",
            &["error unknown-distribution \"ubuntu-22.04\""],
        ),
        ("domain = => distribution = \"debian-12\"\ndomain =", &["error unknown-distribution \"debian-12\""]),
        ("domain = => distribution = \"ubuntu-24.04\"\ndomain =", &[]),
        ("domain = => platform = \"uefi-arm64\"\ndomain =", &["error unknown-platform \"uefi-arm64\""]),
        ("domain = => encrypt = \"tpm\"\ndomain =", &["note not-encrypted \"tpm\""]),
        (
            "domain = => encrypt = \"tpm\"\ndistribution = \"ubuntu-24.04\"\ndomain =",
            &["error no-encryption \"tpm\"", "note not-encrypted \"tpm\""],
        ),
        ("me = [ => root = [", &["error reserved-name root"]),
        ("me = [ => Me = [", &["error bad-user-name Me"]),
        ("G5p me => G5o me", &[&example_key()]),
        ("G5p => ", &[&format!("error bad-key {}", key(""))]),
        ("domain = => packages = [\"htop\", \"Htop\"]\ndomain =", &["error bad-package-name \"Htop\""]),
        (
            "domain = => mirror = \"mirror.example.org\"\ndomain =",
            &["error bad-mirror \"mirror.example.org\""],
        ),
        ("[images]\nmirror = \"https://registry\"", &["error bad-mirror \"https://registry\""]),
        ("[updates]\nlivepatch = true\nesm = true", &["error ubuntu-only true", "error ubuntu-only true"]),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

fn key(end: &str) -> String {
    format!("\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIJPRgh+AXm+rRH1Ydo+E3qd2R8JZnZyh3rnFXd25{end} me\"")
}

fn example_key() -> String {
    format!("warning example-key {}", key("G5o"))
}

#[test]
fn nobody_is_locked_out_unheard() {
    let keys = GOOD.lines().find(|line| line.starts_with("admins")).unwrap();
    row(&format!("{keys} => "), &["warning no-admin box"]);
    row(&format!("{keys} => admins = {{ me = [] }}"), &["error no-key []"]);
    let private = "admins = { me = [\"-----BEGIN OPENSSH PRIVATE KEY-----\"] }";
    row(&format!("{keys} => {private}"), &["error private-key \"-----BEGIN OPENSSH PRIVATE KEY-----\""]);
    row("lan = \"always\" => lan = \"never\"", &["warning ssh-unreachable lan"]);
    row("lan = \"always\" => lan = \"rescue\"", &["warning ssh-unreachable lan"]);
    row("[ssh]\nlan = \"always\" => ", &["warning ssh-unreachable "]);
}

#[test]
fn ssh_has_a_tunnel_of_its_own() {
    let own = "lan = \"always\" => at = \"ssh\"\ntunnel = \"0ff42ae2-765d-4adf-8112-31c55c1551ef\"";
    row(own, &[]);
    row("lan = \"always\" => at = \"ssh\"", &["error no-tunnel at"]);
    row("lan = \"always\" => lan = \"always\"\nci = \"ssh-ci\"", &["error no-name ci"]);
    row(
        "lan = \"always\" => at = \"ssh\"\ntunnel = \"6FF42AE2-765d-4adf-8112-31c55c1551ef\"",
        &["error shared-tunnel \"6FF42AE2-765d-4adf-8112-31c55c1551ef\""],
    );
}

/// Whatever the profile leaves out, the box checks Access's tokens for SSH, or there is no box.
#[test]
fn ssh_is_behind_access() {
    let named = "[ssh]\nat = \"ssh\"\ntunnel = \"0ff42ae2-765d-4adf-8112-31c55c1551ef\"\n";
    let (before, rest) = GOOD.split_once("[ssh]").unwrap();
    let section = rest.split_once("[disks]").unwrap().0;
    let alone = |more: &str| findings(&format!("{before}{named}{more}"));
    assert_eq!(alone(""), ["error no-access at"]);
    assert_eq!(alone("aud = \"b\""), ["error no-team at"]);
    assert_eq!(alone("ci = \"ssh-ci\"\naud = \"b\""), ["error no-team at", "error no-access ci"]);
    assert_eq!(alone(&format!("aud = \"b\"\n{}", &section[section.find("[cloud").unwrap()..])), [""; 0]);
    row(&format!("[ssh]\nlan = \"always\" => {named}aud = []"), &["error no-access []"]);
    row(
        &format!("[ssh]\nlan = \"always\" => {named}ci-aud = [\"b\", \" \"]"),
        &["error no-access [\"b\", \" \"]"],
    );
    row("admin = { aud = \"a\" } => admin = { aud = \"\" }", &["error no-access \"\""]);
}
