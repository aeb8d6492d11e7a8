//! One bad profile a row, with the exact findings about it: severity, code, and the text that they point at.

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
    row(
        "lan = \"always\" => at = \"ssh\"\ntunnel = \"6FF42AE2-765d-4adf-8112-31c55c1551ef\"",
        &["error shared-tunnel \"6FF42AE2-765d-4adf-8112-31c55c1551ef\""],
    );
}

#[test]
fn names_and_the_tunnel() {
    let table: &[(&str, &[&str])] = &[
        ("at = \"sonarr\" => at = \"sonarr.example.com\"", &["error bad-host-name \"sonarr.example.com\""]),
        ("at = \"sonarr\" => at = \"wpad\"", &["error reserved-name \"wpad\""]),
        ("uptime-kuma = { at = \"sonarr\" }", &["error name-taken \"sonarr\""]),
        ("uptime-kuma = { at = \"kuma\", page = \"kuma\" }", &["error name-taken \"kuma\""]),
        ("sonarr = { at = \"sonarr\", => sonarr = { page = \"x\", at = \"sonarr\",", &["error no-use page"]),
        ("domain = \"example.com\" => ", &["error no-domain \"sonarr\""]),
        ("team = \"us\" => ", &["error no-team cloudflare"]),
        ("admin = { aud = \"a\" } => ", &["error no-access sonarr"]),
        ("at = \"sonarr\" => at = \"sonarr\", for = \"family\"", &["error no-access for"]),
        (
            "at = \"sonarr\", => for = \"family\",",
            &["warning unused-section cloudflare", "warning unused-key for"],
        ),
        ("gluetun = { at = \"vpn\" }", &["error no-use at"]),
        ("clash = { at = \"clash\", for = \"everyone\" }", &["error open-to-everyone \"everyone\""]),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
    let without = GOOD.split_once("[cloudflare]").unwrap().0.to_owned()
        + GOOD.split_once("{ aud = \"a\" }\n").unwrap().1;
    assert_eq!(findings(&without), ["error no-tunnel sonarr"]);
}

#[test]
fn ports_of_the_box() {
    let table: &[(&str, &[&str])] = &[
        ("plex = { lan = true }", &[]),
        ("uptime-kuma = { lan = true }", &["error no-use true"]),
        ("plex = { lan = [\"32400/tcp\"] }", &[]),
        ("plex = { lan = [\"80/tcp\"] }", &["error unknown-port [\"80/tcp\"]"]),
        ("jellyfin = { lan = true }\nplex = { lan = true }", &["error port-clash true"]),
        ("games = { edge = [\"27015/udp\"] }", &[]),
        ("games = { edge = [\"27015/tcp\"] }", &["error unknown-port \"27015/tcp\""]),
        (
            "games = { edge = [\"27015-27016/udp\", \"27016/udp\"] }",
            &["error port-clash [\"27015-27016/udp\", \"27016/udp\"]"],
        ),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

#[test]
fn services() {
    let table: &[(&str, &[&str])] = &[
        ("sonar = {}", &["error unknown-service sonar"]),
        ("frobnicator = {}", &["error unknown-service frobnicator"]),
        ("plex = {}\noverseerr = {}", &["note renamed-service overseerr"]),
        (
            "plex = {}\noverseerr = {}\nseerr = {}",
            &["note renamed-service overseerr", "error service-twice seerr"],
        ),
        ("seerr = {}", &["error missing-service seerr"]),
        ("plex = { egress = \"vpn\" }", &["error no-vpn egress", "error bad-egress \"vpn\""]),
        (
            "uptime-kuma = { gpu = true, memory = \"2 GB\" }",
            &["error no-use gpu", "error bad-value \"2 GB\""],
        ),
        ("plex = { gpu = true, memory = \"2g\" }", &[]),
        ("plex = { env = { A = \"1\", \"B C\" = \"2\" } }", &["error bad-value \"B C\""]),
        ("plex = { env = { PLEX_TOKEN = \"x\" } }", &["error secret-in-profile PLEX_TOKEN"]),
        ("clash = { set = { level = \"debug\", count = 3 } }", &[]),
        ("clash = { set = { levl = \"debug\" } }", &["error unknown-setting levl"]),
        ("clash = { set = { level = 3 } }", &["error wrong-type 3"]),
        ("clash = { set = { level = \"loud\" } }", &["error bad-value \"loud\""]),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

#[test]
fn drawbacks_are_told_until_they_are_accepted() {
    let everyone = "for = \"everyone\"";
    let table: &[(&str, &[&str])] = &[
        (&format!("plex = {{ at = \"plex\", {everyone} }}"), &["error video-over-cloudflare plex"]),
        (&format!("plex = {{ at = \"plex\", {everyone}, accept = [\"video-over-cloudflare\"] }}"), &[]),
        (
            "plex = { accept = [\"video-over-cloudflare\"] }",
            &["warning needless-accept \"video-over-cloudflare\""],
        ),
        (
            "plex = { accept = [\"vidio-over-cloudflare\"] }",
            &["error unknown-accept \"vidio-over-cloudflare\""],
        ),
        (
            "plex = { at = \"plex\", accept = [\"video-over-cloudflare\"] }",
            &["warning access-blocks-apps plex"],
        ),
        (
            &format!("plex = {{}}\nseerr = {{ at = \"r\", {everyone} }}"),
            &["warning first-visitor-owns seerr"],
        ),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

#[test]
fn the_vpn() {
    let vpn = "[vpn]\nprovider = \"mullvad\"";
    row(vpn, &["warning unused-section vpn"]);
    row("qbittorrent = { disk = \"media\" }", &["error no-vpn qbittorrent"]);
    row(&format!("qbittorrent = {{ disk = \"media\" }}\n{vpn}"), &[]);
    let open = "qbittorrent = { disk = \"media\", egress = \"direct\" }";
    row(open, &["error torrents-in-the-open qbittorrent"]);
    let both = "clash = { egress = \"vpn\" }\nqbittorrent = { disk = \"media\" }";
    row(&format!("{both}\n{vpn}"), &["error port-clash qbittorrent"]);
    row("[vpn]\nprovider = \" \"", &["warning unused-section vpn", "error bad-value \" \""]);
}

#[test]
fn disks() {
    let table: &[(&str, &[&str])] = &[
        (
            "disk = \"media\" => disk = \"meida\"",
            &["warning unused-disk media", "error unknown-disk \"meida\""],
        ),
        (", disk = \"media\" => ", &["warning unused-disk media"]),
        ("disk = \"media\" => disk = [\"media\", \"more\"]", &["error unknown-disk [\"media\", \"more\"]"]),
        ("qbittorrent = {}\n[vpn]\nprovider = \"x\"", &["error no-disk qbittorrent"]),
        ("uptime-kuma = { disk = \"media\" }", &["error no-use disk"]),
        ("{ label = \"media\" } => {}", &["error disk-without-source media"]),
        (
            "{ label = \"media\" } => { label = \"media\", nfs = \"nas:/x\" }",
            &["error disk-with-several media"],
        ),
        ("{ label = \"media\" } => { label = \"\" }", &["error bad-disk \"\""]),
        (
            "\"media\" } => \"media-of-the-house\", filesystem = \"ext4\" }",
            &["error bad-disk \"media-of-the-house\""],
        ),
        ("{ label = \"media\" } => { uuid = \"sda1\" }", &["error bad-disk \"sda1\""]),
        ("{ label = \"media\" } => { uuid = \"6FF4-2AE2\" }", &[]),
        ("{ label = \"media\" } => { nfs = \"nas\" }", &["error bad-disk \"nas\""]),
        (
            "{ label = \"media\" } => { nfs = \"nas:/export\", filesystem = \"ext4\" }",
            &["error no-use filesystem"],
        ),
        (
            "{ label = \"media\" } => { cifs = \"\\\\\\\\nas\\\\share\" }",
            &["error bad-disk \"\\\\\\\\nas\\\\share\""],
        ),
        ("{ label = \"media\" } => { cifs = \"//nas/share\" }", &[]),
        (
            "media = { => state = {",
            &["error reserved-name state", "warning unused-disk state", "error unknown-disk \"media\""],
        ),
        (
            "media = { => \"Media Disk\" = { label = \"m\" }\nmedia = {",
            &["error bad-disk-name \"Media Disk\"", "warning unused-disk \"Media Disk\""],
        ),
        (
            "media = { => other = { label = \"MEDIA\" }\nmedia = {",
            &["warning unused-disk other", "error disk-twice \"MEDIA\""],
        ),
        ("{ label = \"media\" } => { label = \"media\", owner = \"1001:1001\" }\n", &[]),
        (
            "[services] => [disks.play]\nlabel = \"play\"\nowner = \"1001:1001\"\n[services]\ngames = { disk = \"play\" }",
            &["warning disk-owner \"play\""],
        ),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

#[test]
fn networks() {
    let table: &[(&str, &[&str])] = &[
        ("[network]\nlan = [\"192.168.1.0/24\"]", &[]),
        ("[network]\nlan = [\"10.0.0.0/8\"]", &["error network-overlap \"10.0.0.0/8\""]),
        ("[network]\nlan = [\"192.168.1.7/24\"]", &["error bad-network \"192.168.1.7/24\""]),
        ("[network]\ncontainers = \"8.0.0.0/8\"", &["error bad-network \"8.0.0.0/8\""]),
        ("[network]\ncontainers = \"10.9.0.0/24\"", &["error bad-network \"10.9.0.0/24\""]),
        ("[network]\ncontainers = \"10.9.1.0/16\"", &["error bad-network \"10.9.1.0/16\""]),
        (
            "[network]\nhosts = { nas = \"10.213.0.9\" }",
            &["warning unused-host nas", "error network-overlap \"10.213.0.9\""],
        ),
        ("plex = { reach = [\"nas\"] }\n[network]\nhosts = { nas = \"192.168.1.9\" }", &[]),
        (
            "plex = { reach = [\"nsa\"] }\n[network]\nhosts = { nas = \"192.168.1.9\" }",
            &["error unknown-host \"nsa\"", "warning unused-host nas"],
        ),
        ("plex = { reach = [\"192.168.1.9\"] }", &["error address-for-name \"192.168.1.9\""]),
        (
            "plex = { reach = [\"n_s\"] }\n[network]\nhosts = { n_s = \"192.168.1.9\" }",
            &["error bad-host-name n_s"],
        ),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

#[test]
fn backups_and_alerts() {
    let table: &[(&str, &[&str])] = &[
        ("[backup]\nto = []", &["error no-backup-service backup", "error no-target to"]),
        (
            "[backup]\nto = [{ s3 = \"b\" }]",
            &["error no-backup-service backup", "error bad-target { s3 = \"b\" }", "error bad-target \"b\""],
        ),
        (
            "[backup]\nto = [{ disk = \"medai\" }]",
            &["error no-backup-service backup", "error unknown-disk \"medai\""],
        ),
        (
            "[backup]\nat = \"04:15\"\nto = [{ disk = \"media\" }]",
            &["error no-backup-service backup", "warning backup-at-reboot \"04:15\""],
        ),
        (
            "[backup]\nkeep = { daily = 0, weekly = 0, monthly = 0 }\nto = [{ s3 = \"abc\", endpoint = \"https://x/\" }]",
            &[
                "error no-backup-service backup",
                "error keeps-nothing keep",
                "error bad-target \"https://x/\"",
            ],
        ),
        (
            "[alerts]\nto = [\"mail\", \"mail\"]",
            &[
                "error no-mail-server [\"mail\", \"mail\"]",
                "warning not-yet [\"mail\", \"mail\"]",
                "warning needless-value \"mail\"",
            ],
        ),
        (
            "[alerts]\nto = [\"pushbullet\"]\nntfy = { server = \"ntfy.sh\" }",
            &[
                "warning not-yet [\"pushbullet\"]",
                "warning unused-key ntfy",
                "warning not-yet ntfy",
                "error bad-value \"ntfy.sh\"",
            ],
        ),
        (
            "[alerts]\nmail = { host = \"smtp.example.net:25\", from = \"box\" }",
            &["warning not-yet mail", "error bad-value \"smtp.example.net:25\"", "error bad-value \"box\""],
        ),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
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
