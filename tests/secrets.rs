//! Secrets from `secrets.toml` to the files that containers read: the bundle made here is taken by the box's own program.
//!
//! It needs python3, which the box has; without it on this machine the test says so and passes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use boxwright::catalog::Catalog;
use boxwright::check::CheckedService;
use boxwright::diag::Findings;
use boxwright::plan::Plan;
use boxwright::profile::Profile;
use boxwright::secrets::{Needs, Secrets};
use boxwright::tool::Tool;

const PROFILE: &str = r#"
schema = 1
[box]
name = "servarr"
domain = "example.com"
[ssh]
at = "ssh"
[cloudflare]
tunnel = "6ff42ae2-765d-4adf-8112-31c55c1551ef"
[disks]
media = { cifs = "//nas/media" }
[vpn]
provider = "mullvad"
"#;

const SERVICES: [&str; 5] = ["cloudflared", "gluetun", "nextcloud", "qbittorrent", "sonarr"];

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn needs() -> Needs {
    let mut findings = Findings::new();
    let catalog = Catalog::load(&project().join("overlays/services"), &mut findings).unwrap();
    assert!(!findings.has_errors(), "{}", findings.render(false));
    let profile: Profile = toml::from_str(PROFILE).unwrap();
    let chosen = SERVICES.map(|name| CheckedService { name: name.into(), usage: Default::default() });
    Needs::new(&profile, &Plan::of(&profile, &chosen, &catalog).unwrap())
}

/// Every secret that the example needs, with the value as it is placed.
fn values() -> serde_json::Value {
    let tunnel = |id: &str| {
        format!(
            r#"{{"AccountTag":"0123456789abcdef0123456789abcdef","TunnelSecret":"{}=","TunnelID":"{id}"}}"#,
            "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
        )
    };
    serde_json::json!({
        "box/disk-media-password": "p\"a'ss, w\u{f6}rd=1",
        "box/disk-media-user": "media-user-name",
        "box/ssh-tunnel": tunnel("11111111-765d-4adf-8112-31c55c1551ef"),
        "cloudflared/tunnel": tunnel("6ff42ae2-765d-4adf-8112-31c55c1551ef"),
        "gluetun/wireguard-addresses": "10.64.222.21/32",
        "gluetun/wireguard-private-key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    })
}

/// The folder that on_box.py works from.
fn prepare(folder: &Path) {
    let needs = needs();
    let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (id, value) in values().as_object().unwrap() {
        let (section, name) = id.split_once('/').unwrap();
        let keys = sections.entry(section.to_owned()).or_default();
        keys.insert(name.to_owned(), value.as_str().unwrap().to_owned());
    }
    let path = folder.join("secrets.toml");
    fs::write(&path, toml::to_string(&sections).unwrap()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let secrets = Secrets::load(&path, &needs).map_err(|findings| findings.render(false)).unwrap();
    assert!(secrets.findings().list.is_empty(), "{}", secrets.findings().render(false));
    fs::write(folder.join("bundle.bin"), secrets.bundle().unwrap().as_slice()).unwrap();
    fs::write(folder.join("values.json"), values().to_string()).unwrap();
    fs::write(folder.join("map.json"), serde_json::to_string_pretty(&needs).unwrap()).unwrap();
}

/// Runs the tests of on_box.py: all, or those named.
fn on_box(environment: &[(&str, &str)], tests: &[&str]) {
    if !Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: there is no /usr/bin/python3");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let program = project().join("overlays/system/secrets/root/usr/lib/boxwright/secrets");
    let mut tool = Tool::new("/usr/bin/python3")
        .args(["-B".as_ref(), project().join("tests/secrets/on_box.py").as_os_str()]);
    tool = tool.arg(program).arg(folder.path()).args(tests).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    for (name, value) in environment {
        tool = tool.env(name, value);
    }
    if let Err(error) = tool.run() {
        panic!("{error:#}");
    }
}

#[test]
fn a_box_takes_keeps_and_places_its_secrets() {
    on_box(&[], &[]);
}

#[test]
fn a_box_does_so_with_the_real_systemd_creds() {
    // It can make a key of its own only as root.
    let root = rustix::process::geteuid().is_root();
    if !root || !Path::new("/usr/bin/systemd-creds").exists() {
        eprintln!("skipped: it needs systemd-creds, and root");
        return;
    }
    let tests = [
        "Box.test_secrets_are_taken_stored_encrypted_and_placed",
        "Box.test_a_second_boot_and_a_second_flash_without_secrets_keep_them",
        "Box.test_a_new_bundle_takes_the_place_of_old_values",
    ];
    on_box(&[("REAL_CREDS", "1")], &tests);
}
