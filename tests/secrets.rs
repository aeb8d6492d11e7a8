//! Secrets from `secrets.toml` to the files that containers read: the bundle made here is taken by the box's own program.
//!
//! It needs python3, which the box has; without it on this machine the test says so and passes.

#[path = "support/built.rs"]
mod built;
#[path = "support/go.rs"]
mod go;
#[path = "secrets/image.rs"]
mod image;
#[path = "secrets/sealed.rs"]
mod sealed;

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
    fs::write(
        folder.join("bundle.bin"),
        secrets.bundle(&boxwright::secrets::Handover::default()).unwrap().as_slice(),
    )
    .unwrap();
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

/// The program as people start it, in `folder`, which is its home too.
#[allow(clippy::disallowed_methods, reason = "this test starts the program as people do")]
fn boxwright(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    // In a session of its own there is no terminal to ask at.
    let mut command = std::process::Command::new("/usr/bin/setsid");
    command.arg("-w").arg(env!("CARGO_BIN_EXE_boxwright")).arg("--project").arg(project()).args(arguments);
    command.env_clear().env("HOME", folder).current_dir(folder).stdin(std::process::Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A folder with a profile whose admin has the key `me`, and with complete secrets for it.
fn owner() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str, phrase: &str| {
        let tool = Tool::new("ssh-keygen").env("PATH", "/usr/bin:/bin").current_dir(folder.path());
        tool.args(["-q", "-t", "ed25519", "-C", name, "-N", phrase, "-f", name]).run().unwrap();
    };
    key("me", "");
    key("locked", "the phrase of the key");
    let public = fs::read_to_string(folder.path().join("me.pub")).unwrap();
    let profile = format!(
        "schema = 1\n[box]\nname = \"attic\"\nadmins = {{ me = [{:?}] }}\n[ssh]\nlan = \"always\"\n\
         [alerts]\nto = [\"pushbullet\"]\n[services]\n",
        public.trim()
    );
    fs::write(folder.path().join("attic.toml"), profile).unwrap();
    write_private(&folder.path().join("secrets.toml"), "[box]\npushbullet = 'o.canary-canary-canary'\n");
    folder
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_check_says_what_is_wrong_with_a_file_and_shows_no_value() {
    let folder = owner();
    let path = |name: &str| folder.path().join(name);
    let check = |more: &[&str]| {
        let (code, out, said) = boxwright(
            folder.path(),
            &[&["secrets", "check", "attic.toml", "--secrets", "secrets.toml"], more].concat(),
        );
        assert!(!format!("{out}{said}").contains("canary-canary"), "{out}{said}");
        (code, out, said)
    };
    fs::set_permissions(path("secrets.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    let (code, _, said) = check(&[]);
    assert!(
        code == Some(0) && said.contains("warning[secrets-mode]") && said.contains("heed the warnings"),
        "{said}"
    );
    for (text, code, expected) in [
        ("", 1, "secret-missing"),
        ("[box]\npushbullet = 'password'\n", 1, "secret-missing"),
        ("[box]\npushbullet = 'o.canary-canary-canary'\nntfy-topic = 'x'\n", 1, "secret-unknown"),
        ("[box]\npushbullet = \"o.canary-canary\\ncanary\"\n", 1, "secret-malformed"),
        ("[box]\npushbullet = 'letmein2026'\n", 0, "secret-weak"),
        ("[box]\npushbullet = 'attic!'\n", 0, "secret-weak"),
    ] {
        write_private(&path("secrets.toml"), text);
        let (found, _, said) = check(&[]);
        assert_eq!((found, said.contains(expected)), (Some(code), true), "{text}: {said}");
        let (found, out, _) = check(&["--json"]);
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((found, json["ok"].as_bool()), (Some(code), Some(code == 0)), "{out}");
        let codes: Vec<&str> =
            json["findings"].as_array().unwrap().iter().filter_map(|one| one["code"].as_str()).collect();
        assert!(codes.contains(&expected), "{codes:?}");
    }
    // A value that has got into the profile, and so onto the box, where everyone can read it.
    write_private(&path("secrets.toml"), "[box]\npushbullet = 'm1e.canary-canary.example'\n");
    let profile = fs::read_to_string(path("attic.toml")).unwrap();
    let leaking = profile.replace("[ssh]", "mirror = \"http://m1e.canary-canary.example/debian\"\n[ssh]");
    fs::write(path("attic.toml"), leaking).unwrap();
    let (code, _, said) =
        boxwright(folder.path(), &["secrets", "check", "attic.toml", "--secrets", "secrets.toml"]);
    assert!(
        code == Some(1) && said.contains("error[secret-leaked]: the value of the secret `box/pushbullet`"),
        "{said}"
    );
}
