//! `secrets.toml` and the scan, as a whole: an example box with a service of each kind.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::check::CheckedService;
use crate::profile::Profile;

const PROFILE: &str = r#"
schema = 1
[box]
name = "servarr"
domain = "example.com"
[ssh]
at = "ssh"
tunnel = "11111111-765d-4adf-8112-31c55c1551ef"
[cloudflare]
tunnel = "6ff42ae2-765d-4adf-8112-31c55c1551ef"
[disks]
media = { cifs = "//nas/media" }
[backup]
to = [{ s3 = "my.bucket", endpoint = "a.example" }, { s3 = "my.bucket", endpoint = "b.example" }]
[alerts]
to = ["pushbullet"]
heartbeat = true
[vpn]
provider = "mullvad"
"#;

const EDGE: &str = r#"
schema = 1
title = "cloudflared"
about = "The way in"
role = "ingress"
egress = ["direct"]
[containers.edge]
image = "docker.io/cloudflare/cloudflared:2026.8.2"
user = "65532:65532"
egress = true
health = { none = true }
[secrets.tunnel]
about = "the tunnel's credential"
format = "tunnel-credential"
"#;

const CLOUD: &str = r#"
schema = 1
title = "Cloud"
about = "Files"
[containers.cloud]
image = "docker.io/library/cloud:1.0"
user = "33:33"
health = { none = true }
[containers.database]
image = "docker.io/library/postgres:18"
user = "999:999"
networks = "private"
health = { none = true }
[secrets.database-password]
from = "box"
about = "the database's password"
[secrets.mail]
from = { service = "edge/tunnel" }
about = "borrowed"
containers = ["cloud"]
[secrets.licence]
about = "the licence"
optional = true
[secrets.wireguard]
about = "only with OpenVPN"
when = { vpn-type = "openvpn" }
"#;

fn needs() -> Needs {
    needs_of(PROFILE)
}

fn needs_of(profile: &str) -> Needs {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("edge", EDGE), ("cloud", CLOUD)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("service.toml"), text).unwrap();
    }
    let mut findings = Findings::new();
    let catalog = Catalog::load(folder.path(), &mut findings).unwrap();
    assert!(findings.list.is_empty(), "{}", findings.render(false));
    let profile: Profile = toml::from_str(profile).unwrap();
    let chosen =
        ["cloud", "edge"].map(|name| CheckedService { name: name.into(), usage: Default::default() });
    let plan = Plan::of(&profile, &chosen, &catalog).unwrap();
    Needs::new(&profile, &plan)
}

fn tunnel(id: &str) -> String {
    let secret = STANDARD.encode((50..82).collect::<Vec<u8>>());
    format!(
        r#"{{"AccountTag":"0123456789abcdef0123456789abcdef","TunnelSecret":"{secret}","TunnelID":"{id}"}}"#
    )
}

/// A complete secrets.toml.
fn filled() -> String {
    let ssh = tunnel("11111111-765d-4adf-8112-31c55c1551ef");
    let edge = tunnel("6ff42ae2-765d-4adf-8112-31c55c1551ef");
    format!(
        "[box]\nheartbeat = 'https://hc-ping.com/one-canary'\npushbullet = 'o.two-canary'\n\
         backup-password = 'three-canary-canary'\n'backup-my.bucket-key-id' = 'four-canary'\n\
         'backup-my.bucket-secret-key' = 'five-canary'\n'backup-my.bucket-2-key-id' = 'six-canary'\n\
         'backup-my.bucket-2-secret-key' = 'seven-canary'\ndisk-media-user = 'administrator'\n\
         disk-media-password = 'eight-canary'\nssh-tunnel = '''\n{ssh}\n'''\n\
         [edge]\ntunnel = '{edge}'\n"
    )
}

fn load(text: &str, mode: u32) -> Result<Secrets, Findings> {
    load_for(&needs(), text, mode)
}

fn load_for(needs: &Needs, text: &str, mode: u32) -> Result<Secrets, Findings> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    Secrets::load(&path, needs)
}

fn codes(findings: &Findings) -> Vec<&str> {
    findings.list.iter().map(|finding| finding.code.as_ref()).collect()
}

#[test]
fn a_box_needs_what_its_profile_and_its_services_say() {
    let needs = needs();
    let owner: Vec<String> = needs.owner.keys().map(Id::to_string).collect();
    let expected = [
        "box/backup-my.bucket-2-key-id",
        "box/backup-my.bucket-2-secret-key",
        "box/backup-my.bucket-key-id",
        "box/backup-my.bucket-secret-key",
        "box/backup-password",
        "box/disk-media-domain",
        "box/disk-media-password",
        "box/disk-media-user",
        "box/heartbeat",
        "box/pushbullet",
        "box/ssh-tunnel",
        "cloud/licence",
        "edge/tunnel",
    ];
    assert_eq!(owner, expected);
    let map = serde_json::to_value(&needs).unwrap();
    let files: Vec<String> = map["files"].as_array().unwrap().iter().map(ToString::to_string).collect();
    for expected in [
        r#"{"path":"cloud/database-password","uid":33,"gid":33,"lines":[{"secret":"cloud/database-password"}]}"#,
        r#"{"path":"cloud/database-password.999","uid":999,"gid":999,"lines":[{"secret":"cloud/database-password"}]}"#,
        r#"{"path":"cloud/mail","uid":33,"gid":33,"lines":[{"secret":"edge/tunnel"}]}"#,
        r#"{"path":"box/disk-media","uid":0,"gid":0,"lines":[{"prefix":"username=","secret":"box/disk-media-user"},{"prefix":"password=","secret":"box/disk-media-password"},{"prefix":"domain=","secret":"box/disk-media-domain","optional":true}]}"#,
        r#"{"path":"cloud/licence","uid":33,"gid":33,"optional":true,"lines":[{"secret":"cloud/licence"}]}"#,
        r#"{"path":"edge/tunnel","uid":65532,"gid":65532,"lines":[{"secret":"edge/tunnel"}]}"#,
    ] {
        assert!(files.iter().any(|file| file == expected), "{expected} is not in {files:#?}");
    }
    assert_eq!(map["secrets"]["edge/tunnel"]["users"], serde_json::json!({"cloud": true, "edge": true}));
    assert_eq!(map["secrets"]["cloud/database-password"]["from"], "box");
    assert_eq!(map["units"]["cloud"], "boxwright-service-cloud.service");
}

#[test]
fn the_template_is_what_the_box_needs_and_nothing_else() {
    let needs = needs();
    let template = needs.template();
    let table: toml::Table = template.parse().unwrap();
    let keys: Vec<String> = table
        .iter()
        .flat_map(|(section, keys)| {
            keys.as_table().unwrap().keys().map(move |key| format!("{section}/{key}"))
        })
        .collect();
    let owner: Vec<String> = needs.owner.keys().map(Id::to_string).collect();
    assert_eq!(keys, owner);
    for text in ["# The licence (may stay empty).\n", "# Also for: cloud\n", "# Where: www.pushbullet.com"] {
        assert!(template.contains(text), "{text} is not in\n{template}");
    }
    // As it is, it says what is missing, and nothing is wrong.
    let secrets = load(&template, 0o600).unwrap();
    assert_eq!(secrets.ids().count(), 0);
    assert!(codes(secrets.findings()).iter().all(|code| *code == "secret-missing"));
    assert_eq!(secrets.findings().list.len(), owner.len() - 2);
}

#[test]
fn a_complete_file_gives_a_bundle_and_no_findings() {
    let secrets = load(&filled(), 0o600).unwrap();
    assert!(secrets.findings().list.is_empty(), "{}", secrets.findings().render(false));
    let bundle = secrets.bundle(&super::Handover::default()).unwrap();
    let bundle::Contents::Bundle { box_name, secrets } = bundle::examine(&bundle) else { panic!() };
    assert_eq!((box_name.as_str(), secrets.len()), ("servarr", 11));
}

#[test]
fn a_recovery_sheet_has_what_brings_the_backups_back_and_no_other_secret() {
    let secrets = load(&filled(), 0o600).unwrap();
    let catalog = Catalog::load(tempfile::tempdir().unwrap().path(), &mut Findings::new()).unwrap();
    let sheet = secrets.recovery_sheet(&toml::from_str(PROFILE).unwrap(), &catalog);
    let inside = ["three", "four", "five", "six", "seven"].map(|word| format!("{word}-canary"));
    let places = ["a.example", "b.example", "my.bucket", "box@servarr", "6ff42ae2-765d", "11111111-765d"];
    for text in inside.iter().map(String::as_str).chain(places) {
        assert!(sheet.contains(text), "{text} is not in\n{}", *sheet);
    }
    for text in ["one-canary", "two-canary", "eight-canary", "TunnelSecret"] {
        assert!(!sheet.contains(text), "{text} is in\n{}", *sheet);
    }
    assert!(
        sheet.lines().count() <= 60 && sheet.lines().all(|line| line.chars().count() <= 110),
        "{}",
        *sheet
    );
    let sheet = load("[box]\npushbullet = 'o.two-canary'\n", 0o600).unwrap();
    let sheet = sheet.recovery_sheet(&toml::from_str(PROFILE).unwrap(), &catalog);
    assert_eq!(sheet.matches("it is not in this secrets file").count(), 5, "{}", *sheet);
}

#[test]
fn the_sheet_of_an_encrypted_box_has_its_recovery_key_or_room_for_it() {
    let profile = PROFILE.replace("[box]\n", "[box]\nencrypt = \"tpm\"\n");
    let needs = needs_of(&profile);
    let profile: Profile = toml::from_str(&profile).unwrap();
    let catalog = Catalog::load(tempfile::tempdir().unwrap().path(), &mut Findings::new()).unwrap();
    let key = "0123456789abcdef".repeat(4);
    let line = |text: &str| {
        let sheet = load_for(&needs, text, 0o600).unwrap().recovery_sheet(&profile, &catalog);
        let line = sheet.lines().find(|line| line.starts_with("recovery key")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("there is no recovery key on\n{}", *sheet))
    };
    let with = filled().replace("[box]\n", &format!("[box]\nrecovery-key = '{key}'\n"));
    assert!(line(&with).ends_with(&key), "{}", line(&with));
    assert!(line(&filled()).contains("it is not in this secrets file"));
    let plain = load(&filled(), 0o600).unwrap();
    let sheet = plain.recovery_sheet(&toml::from_str(PROFILE).unwrap(), &catalog);
    assert!(!sheet.contains("recovery key"), "{}", *sheet);
}

#[test]
fn a_server_over_sftp_gets_a_key_that_no_paper_has() {
    let host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIJPRgh+AXm+rRH1Ydo+E3qd2R8JZnZyh3rnFXd25G5p nas";
    let server =
        format!("{{ sftp = \"nas.lan\", user = \"attic\", port = 23, host-key = [\"{host_key}\"] }}");
    let text = PROFILE.replace("{ s3 = \"my.bucket\", endpoint = \"b.example\" }", &server);
    let needs = needs_of(&text);
    let need = &needs.owner[&Id::new("box", "backup-nas.lan-private-key")];
    assert!(need.shape == Shape::SshKey && !need.public && !need.optional(), "{need:?}");
    let map = serde_json::to_value(&needs).unwrap();
    let file =
        map["files"].as_array().unwrap().iter().find(|file| file["path"] == "box/backup-nas.lan-private-key");
    assert_eq!(file.unwrap()["uid"], 0);
    let template = needs.template();
    for part in
        ["as attic at nas.lan", "ssh-keygen -t ed25519", "{ file = \"backup_ed25519\" }", "paste it between"]
    {
        assert!(template.replace("\n# ", " ").contains(part), "{part} is not in\n{template}");
    }
    let catalog = Catalog::load(tempfile::tempdir().unwrap().path(), &mut Findings::new()).unwrap();
    let secrets = load(&filled(), 0o600).unwrap();
    let sheet = secrets.recovery_sheet(&toml::from_str(&text).unwrap(), &catalog);
    for part in ["nas.lan, port 23", "attic", "backups", "ssh-ed25519, SHA256:", "make a new one"] {
        assert!(sheet.contains(part), "{part} is not in\n{}", *sheet);
    }
    assert!(sheet.lines().all(|line| line.chars().count() <= 110), "{}", *sheet);
}

#[test]
fn every_fault_is_found_at_once_and_shows_no_value() {
    let text = filled()
        .replace("o.two-canary", "canar")
        .replace("disk-media-user", "disk-media-usr")
        .replace("'three-canary-canary'", "\"three-canary\\ncanary\"")
        .replace("'eight-canary'", "8008")
        .replace("[edge]", "[egde]")
        .replace("11111111-765d", "22222222-765d");
    let findings = load(&text, 0o644).unwrap_err();
    let mut found = codes(&findings);
    found.sort_unstable();
    let expected = [
        "secret-malformed",
        "secret-malformed",
        "secret-missing",
        "secret-missing",
        "secret-unknown",
        "secret-unknown",
        "secret-weak",
        "secrets-mode",
        "secrets-type",
    ];
    let drawn = findings.render(false);
    assert_eq!(found, expected, "{drawn}");
    for text in
        ["write `disk-media-user`", "write `edge`", "names 11111111-765d", "chmod 600", "secrets.toml:9:1"]
    {
        assert!(drawn.contains(text), "{text} is not in\n{drawn}");
    }
    for value in ["canar", "8008", "TunnelSecret", "MjM0"] {
        assert!(!drawn.contains(value), "{value} is in\n{drawn}");
        assert!(!format!("{findings:?}").contains(value));
    }
}

#[test]
fn what_is_no_toml_shows_no_value_either() {
    for text in
        ["[box]\nssh-tunnel = canary-canary\n", "canary = 'canary\ncanary", "[edge]\ntunnel = '''\ncanary=\n"]
    {
        let findings = load(text, 0o600).unwrap_err();
        assert!(codes(&findings).contains(&"secrets-syntax"), "{text}");
        let drawn = format!("{}{findings:?}", findings.render(false));
        assert!(!drawn.contains("canary"), "{drawn}");
    }
    let findings = Secrets::load(Path::new("/nonexistent/secrets.toml"), &needs()).unwrap_err();
    assert_eq!(codes(&findings), ["secrets-unreadable"]);
}

#[test]
fn a_value_can_stand_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.toml");
    fs::write(&path, "[edge]\ntunnel = { file = 'edge.json' }\n[box]\nssh-tunnel = { file = 'no.json' }\n")
        .unwrap();
    fs::write(folder.path().join("edge.json"), tunnel("6ff42ae2-765d-4adf-8112-31c55c1551ef")).unwrap();
    for (name, mode) in [("secrets.toml", 0o600), ("edge.json", 0o640)] {
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let findings = Secrets::load(&path, &needs()).unwrap_err();
    let errors = findings.list.iter().filter(|finding| finding.code != "secret-missing");
    let messages: Vec<&str> = errors.map(|finding| finding.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("edge.json can be read by others: its mode is 0640"), "{messages:?}");
    assert!(messages[1].contains("no.json for `box/ssh-tunnel`"), "{messages:?}");
}

#[test]
fn nothing_shows_values_in_debug() {
    let secrets = load(&filled(), 0o600).unwrap();
    let shown = format!("{secrets:?} {:?}", secrets.scanner());
    assert!(!shown.contains("canary") && !shown.contains("TunnelSecret"), "{shown}");
}

#[test]
fn canaries_are_found_in_every_form_and_across_pieces() {
    let secrets = load(&filled(), 0o600).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let value = "https://hc-ping.com/one-canary";
    let piece = 4 << 20;
    let encoded = |before: &str| STANDARD.encode(format!("{before}{value}{before}"));
    let table: Vec<(&str, u64, String, Encoding)> = vec![
        ("at the start", 0, value.to_owned(), Encoding::Plain),
        ("over the end of a piece", piece - 5, value.to_owned(), Encoding::Plain),
        ("over the end of a later piece", 3 * piece - 27, value.to_owned(), Encoding::Plain),
        ("base64", 77, encoded(""), Encoding::Base64),
        ("base64 shifted by one", piece - 9, encoded("x"), Encoding::Base64),
        ("base64 shifted by two", 1, encoded("xy"), Encoding::Base64),
        ("hex", 4095, hex::encode(value), Encoding::Hex),
        ("upper-case hex", 5, hex::encode_upper(value), Encoding::Hex),
    ];
    for (name, offset, bytes, _) in &table {
        // Sparse before and after the value.
        let mut sparse = fs::File::create(file(name)).unwrap();
        sparse.seek(SeekFrom::Start(*offset)).unwrap();
        sparse.write_all(bytes.as_bytes()).unwrap();
        sparse.set_len(4 * piece).unwrap();
    }
    fs::create_dir(file("clean")).unwrap();
    fs::write(
        file("clean").join("file"),
        "administrator 0123456789abcdef0123456789abcdef -canary box/ssh-tunnel",
    )
    .unwrap();
    fs::write(file("o.two-canary"), "").unwrap();
    std::os::unix::fs::symlink("/x/three-canary-canary", file("link")).unwrap();
    let leaks = secrets.scan(&[folder.path().to_owned()]).unwrap();
    for (name, offset, _, encoding) in &table {
        let of = leaks.iter().filter(|leak| leak.file == file(name));
        let found: Vec<_> = of.map(|leak| (leak.secret.to_string(), leak.encoding)).collect();
        assert_eq!(found, [("box/heartbeat".to_owned(), *encoding)], "{name}");
        let leak = leaks.iter().find(|leak| leak.file == file(name)).unwrap();
        assert!(leak.offset.unwrap() >= *offset && leak.offset.unwrap() < offset + 4, "{leak}");
    }
    let names: Vec<String> =
        leaks.iter().filter(|leak| leak.offset.is_none()).map(|leak| leak.secret.to_string()).collect();
    assert_eq!(names, ["box/backup-password", "box/pushbullet"]);
    assert_eq!(leaks.len(), table.len() + 2);
    assert!(leaks.iter().all(|leak| !leak.to_string().contains("canary")));
}

/// A value of every kind that is looked for, as it may lie in a text.
fn disguises(value: &str) -> Vec<(&'static str, Vec<u8>, Encoding)> {
    let wrapped = |text: &str, width: usize, between: &str| {
        let lines: Vec<&str> =
            text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        lines.join(between).into_bytes()
    };
    let base64 = STANDARD.encode(format!("password={value}\n"));
    let percent = |upper: bool| -> String {
        let one = |c: char| match c {
            c if c.is_ascii_alphanumeric() || "-._~".contains(c) => c.to_string(),
            c if upper => format!("%{:02X}", c as u32),
            c => format!("%{:02x}", c as u32),
        };
        value.chars().map(one).collect()
    };
    vec![
        ("over two lines", wrapped(value, value.len() / 2, "\n"), Encoding::Split),
        ("over indented lines", wrapped(value, 7, "\r\n                "), Encoding::Split),
        ("over lines with backslashes", wrapped(value, 9, "\\\n  "), Encoding::Split),
        ("in quoted pieces", wrapped(value, 5, "\" +\n \""), Encoding::Split),
        ("as a list", wrapped(value, 4, "', '"), Encoding::Split),
        ("base64 over lines", wrapped(&base64, 16, "\n"), Encoding::Split),
        ("hex over lines", wrapped(&hex::encode(value), 20, "\n"), Encoding::Split),
        ("in an address", format!("x={}&y", percent(true)).into(), Encoding::Escaped),
        ("in an address in small letters", percent(false).into(), Encoding::Escaped),
        ("in XML", value.replace('&', "&amp;").replace('\'', "&#39;").into(), Encoding::Escaped),
        ("in JSON with slashes", value.replace('/', "\\/").into(), Encoding::Escaped),
        ("in UTF-16", value.encode_utf16().flat_map(u16::to_le_bytes).collect(), Encoding::Utf16),
    ]
}

#[test]
fn canaries_are_found_in_every_disguise() {
    let value = "wq7/tE&x'PkZ9m+3/Vb2dL";
    let text = filled().replace("'three-canary-canary'", &format!("{value:?}"));
    let scanner = load(&text, 0o600).unwrap().scanner();
    let piece = 1usize << 20;
    for (name, bytes, encoding) in disguises(value) {
        for before in [0, 3, piece - 8, piece + 5000] {
            let stream = [vec![b'#'; before], bytes.clone(), vec![b'#'; 9]].concat();
            let leaks = scanner.stream(Path::new("file"), &stream[..]).unwrap();
            let found: Vec<_> = leaks.iter().map(|leak| (leak.secret.to_string(), leak.encoding)).collect();
            assert_eq!(found, [("box/backup-password".to_owned(), encoding)], "{name} at {before}");
            let offset = leaks[0].offset.unwrap();
            assert!((before as u64..before as u64 + 16).contains(&offset), "{name} at {before}: {offset}");
        }
    }
}

#[test]
fn half_a_key_is_found_and_half_an_address_is_not() {
    let key = "q7c1f9e2d8b4a6035f1e7d9c2b8a4f60";
    let text = filled().replace("three-canary-canary", key);
    let scanner = load(&text, 0o600).unwrap().scanner();
    for half in [&key[..16], &key[16..]] {
        let leaks = scanner.stream(Path::new("file"), half.as_bytes()).unwrap();
        assert_eq!(leaks.iter().map(|leak| leak.encoding).collect::<Vec<_>>(), [Encoding::Half]);
    }
    assert_eq!(scanner.stream(Path::new("file"), key.as_bytes()).unwrap()[0].encoding, Encoding::Plain);
    for text in ["https://hc-ping.com/", "\"AccountTag\":\"0123456789abcdef0123456789abcdef\"", &key[..15]] {
        assert_eq!(scanner.stream(Path::new("file"), text.as_bytes()).unwrap(), [], "{text}");
    }
}

#[test]
fn canaries_are_found_in_what_is_packed() {
    let scanner = load(&filled(), 0o600).unwrap().scanner();
    let text = [&vec![b'x'; 3 << 20][..], b"o.two-canary", &[b'y'; 4096]].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&text[..], ruzstd::encoding::CompressionLevel::Fastest);
    // Some of it may show as it is: zstd leaves alone what it cannot make smaller.
    let found = |packed: &[u8], file: &str| {
        let leaks = scanner.stream(Path::new("blob"), packed).unwrap();
        leaks.into_iter().find(|leak| leak.file == Path::new(file)).map(|leak| leak.offset.unwrap())
    };
    for packed in [&gzip, &zstd, &[&gzip[..], &gzip[..]].concat()] {
        assert_eq!(found(packed, "blob (unpacked)"), Some(3 << 20));
    }
    // What only begins like it, and what follows.
    for packed in [&gzip[..100], &zstd[..6]] {
        let damaged = [packed, &[b'x'; 9], b"o.two-canary"].concat();
        assert_eq!(found(&damaged, "blob"), Some(packed.len() as u64 + 9));
    }
    // Microcode first, then the files.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("initrd");
    let early = [b"070701 microcode 070701 TRAILER!!!".as_slice(), &[0; 37]].concat();
    for packed in [&gzip, &zstd, &text] {
        fs::write(&path, [&early[..], &early[..], &packed[..]].concat()).unwrap();
        assert!(!scanner.initrd(&path).unwrap().is_empty());
    }
    fs::write(&path, [b"070701 o.two-canary TRAILER!!!".as_slice(), &gzip[..9]].concat()).unwrap();
    assert!(!scanner.initrd(&path).unwrap().is_empty());
}

#[test]
fn a_part_of_a_file_can_be_left_out() {
    let scanner = load(&filled(), 0o600).unwrap().scanner();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let mut bytes = vec![b'x'; 10 << 20];
    bytes[5 << 20..][..12].copy_from_slice(b"o.two-canary");
    fs::write(&path, &bytes).unwrap();
    let found = |except: std::ops::Range<u64>| scanner.file_but(&path, &except).unwrap().len();
    assert_eq!(found(4 << 20..6 << 20), 0);
    assert_eq!((found(0..0), found(6 << 20..7 << 20), found(0..5 << 20)), (1, 1, 1));
    bytes[9 << 20..][..12].copy_from_slice(b"o.two-canary");
    fs::write(&path, &bytes).unwrap();
    assert_eq!((found(4 << 20..6 << 20), found(4 << 20..10 << 20)), (1, 0));
}

#[test]
fn an_address_is_not_looked_for() {
    for (text, expected) in
        [("10.64.0.2/32", true), ("10.64.0.2/32, fc00::2/128", true), ("10.64.0.2.3", false), ("0123", false)]
    {
        assert_eq!(is_address(text), expected, "{text}");
    }
}

#[test]
fn a_tree_in_memory_is_looked_through() {
    let secrets = load(&filled(), 0o600).unwrap();
    let mut tree = Tree::new();
    tree.insert_file("etc/motd", 0o644, "x eight-canary y").unwrap();
    tree.insert_symlink("etc/four-canary", "target").unwrap();
    tree.insert_file("etc/fine", 0o644, "administrator").unwrap();
    let leaks = secrets.scan_tree(Path::new("the profile layer"), &tree);
    let shown: Vec<String> = leaks.iter().map(Leak::to_string).collect();
    assert_eq!(
        shown,
        [
            "the value of the secret `box/disk-media-password` is in the profile layer/etc/motd at byte 2",
            "the value of the secret `box/backup-my.bucket-key-id` is in the profile layer/etc/…, in a name",
        ]
    );
}

/// What git does with a folder, without what this machine's settings say.
fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let tool = crate::tool::Tool::new("git").env("PATH", "/usr/local/bin:/usr/bin:/bin");
    tool.env("GIT_CONFIG_NOSYSTEM", "1").arg("-C").arg(folder).args(arguments).run()
}

#[test]
fn what_git_tracks_is_found_and_may_be_there_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    if git(folder.path(), &["init", "-q"]).is_err() {
        eprintln!("skipped: there is no git");
        return;
    }
    let (path, inside) = (folder.path().join("secrets.toml"), folder.path().join("[edge].json"));
    fs::write(&path, filled().replace("[edge]\ntunnel = ", "[edge]\ntunnel = { file = '[edge].json' } #"))
        .unwrap();
    fs::write(&inside, tunnel("6ff42ae2-765d-4adf-8112-31c55c1551ef")).unwrap();
    for file in [&path, &inside] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let found = || {
        let secrets = Secrets::load(&path, &needs()).map_err(|findings| findings.render(false)).unwrap();
        codes(secrets.findings()).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(found().is_empty());
    git(folder.path(), &["--literal-pathspecs", "add", "secrets.toml", "[edge].json"]).unwrap();
    assert_eq!(found(), ["secrets-tracked", "secrets-tracked"]);
    // Whoever opens it needs the key, so that git and others may have it.
    let phrase = || age::secrecy::SecretString::from("open sesame".to_owned());
    let sealed = sealed::seal(&fs::read(&path).unwrap(), &sealed::Recipients::Passphrase(phrase())).unwrap();
    fs::write(&path, sealed).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let opener = Opener { identities: Vec::new(), passphrases: sealed::Asking::new(move |_| Some(phrase())) };
    let secrets =
        Secrets::load_with(&path, &needs(), &opener).map_err(|findings| findings.render(false)).unwrap();
    assert_eq!(secrets.ids().count(), 11);
    // The file that it names is still there as text.
    assert_eq!(codes(secrets.findings()), ["secrets-tracked"]);
    assert!(secrets.findings().list[0].message.contains("[edge].json"));
    assert_eq!(codes(&Secrets::load(&path, &needs()).unwrap_err()), ["secrets-unreadable"]);
}
