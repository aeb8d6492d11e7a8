//! New secrets for a box that runs: signed here with the keys of admins, taken, stored and applied by the box's own programs.
//!
//! It needs python3 and ssh-keygen; without one of them on this machine the tests say so and pass.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "PATH is read from the environment")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use boxwright::catalog::Catalog;
use boxwright::check::CheckedService;
use boxwright::diag::Findings;
use boxwright::plan::Plan;
use boxwright::profile::Profile;
use boxwright::secrets::signing::{Admins, Keyring};
use boxwright::secrets::{Needs, Secrets, signed};
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
[backup]
to = [{ s3 = "boxes", endpoint = "s3.example.com" }]
[alerts]
heartbeat = true
mail = { host = "smtp.example.net", from = "box@example.com", user = "sender" }
"#;

const SERVICES: [&str; 7] = ["amp", "cloudflared", "gluetun", "immich", "kopia", "nextcloud", "seerr"];

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

/// A `secrets.toml` with a value for everything, with `replaced` in place of some.
fn secrets(folder: &Path, replaced: &[(&str, &str)]) -> Secrets {
    let needs = needs();
    let tunnel = |id: &str| {
        format!(
            r#"{{"AccountTag":"0123456789abcdef0123456789abcdef","TunnelSecret":"{}=","TunnelID":"{id}"}}"#,
            "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
        )
    };
    let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for need in needs.owner.values() {
        let id = need.id.to_string();
        let value = match id.as_str() {
            "box/ssh-tunnel" => tunnel("11111111-765d-4adf-8112-31c55c1551ef"),
            "cloudflared/tunnel" => tunnel("6ff42ae2-765d-4adf-8112-31c55c1551ef"),
            "gluetun/wireguard-addresses" => "10.64.222.21/32".to_owned(),
            "gluetun/wireguard-private-key" => "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".to_owned(),
            "gluetun/wireguard-preshared-key" => continue,
            "box/heartbeat" => "https://hc-ping.com/first-value".to_owned(),
            _ => format!("the first value of {id}"),
        };
        let value = replaced.iter().find(|(name, _)| *name == id).map_or(value, |(_, new)| (*new).to_owned());
        sections.entry(need.id.section.clone()).or_default().insert(need.id.name.clone(), value);
    }
    let path = folder.join("secrets.toml");
    fs::write(&path, toml::to_string(&sections).unwrap()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Secrets::load(&path, &needs).map_err(|findings| findings.render(false)).unwrap()
}

/// What ssh-keygen sees, with the home folder `home`.
fn keyring(home: &Path) -> Keyring {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Keyring { home: home.to_owned(), environment: vec![("PATH", path), ("HOME", home.into())] }
}

/// Makes a key pair; returns its public half.
fn key(path: &Path, kind: &[&str]) -> String {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let path_text = path.to_str().unwrap();
    let run = Tool::new("ssh-keygen").args(["-q", "-N", "", "-C", "a test", "-f", path_text]).args(kind);
    run.env("PATH", "/usr/bin:/bin").run().unwrap_or_else(|error| panic!("{error:#}"));
    fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
}

fn able() -> bool {
    let missing =
        ["/usr/bin/python3", "/usr/bin/ssh-keygen"].into_iter().find(|path| !Path::new(path).exists());
    if let Some(missing) = missing {
        eprintln!("SKIPPED: there is no {missing}");
    }
    missing.is_none()
}

/// The admins of the tests, whose keys are in `folder`.
fn admins(folder: &Path) -> Admins {
    let ann = key(&folder.join("home/.ssh/id_ann"), &["-t", "ed25519"]);
    let ben = key(&folder.join("keys/ben"), &["-t", "ecdsa", "-b", "256"]);
    let old = key(&folder.join("keys/old"), &["-t", "rsa", "-b", "2048"]);
    key(&folder.join("keys/stranger"), &["-t", "ed25519"]);
    BTreeMap::from([("ann".to_owned(), vec![ann]), ("ben".to_owned(), vec![old, ben])])
}

/// Everything that the programs in tests/rotation work from.
fn prepared() -> Option<tempfile::TempDir> {
    if !able() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let admins = admins(folder.path());
    let first = secrets(folder.path(), &[]);
    let mut rendered = String::new();
    for (name, keys) in &admins {
        for key in keys {
            rendered.push_str(&format!("{name} namespaces=\"boxwright-secrets\" {key}\n"));
        }
    }
    fs::write(folder.path().join("allowed_signers"), rendered).unwrap();
    fs::write(folder.path().join("map.json"), serde_json::to_string_pretty(&needs()).unwrap()).unwrap();
    fs::write(folder.path().join("first.json"), first.payload(1, &[]).unwrap().as_slice()).unwrap();
    let second = secrets(folder.path(), &[("box/heartbeat", "https://hc-ping.com/second-value")]);
    let payload = second.payload(1_790_000_000, &[]).unwrap();
    let (signature, signer) = keyring(&folder.path().join("home"))
        .sign(&payload, None, &admins)
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(signer, "ann");
    fs::write(folder.path().join("second.signed"), signed::join(&payload, &signature).unwrap().as_slice())
        .unwrap();
    Some(folder)
}

fn python(program: &str, folder: &Path, before: &[&str]) {
    let mut words: Vec<&str> = before.to_vec();
    words.push("/usr/bin/python3");
    let tool =
        Tool::new(words[0]).args(&words[1..]).arg("-B").arg(project().join("tests/rotation").join(program));
    let tool =
        tool.arg(project()).arg(folder).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    match tool.output() {
        Ok(said) => eprint!("{}", String::from_utf8_lossy(&said)),
        Err(error) => panic!("{error:#}"),
    }
}

#[test]
fn a_box_takes_new_secrets_that_an_admin_has_signed_and_no_others() {
    let Some(folder) = prepared() else { return };
    python("on_box.py", folder.path(), &[]);
}

#[test]
fn a_stick_is_read_in_a_namespace_of_its_own() {
    let Some(folder) = prepared() else { return };
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: only root can mount a stick");
    }
    python("stick.py", folder.path(), &["/usr/bin/unshare", "--mount", "--propagation", "private"]);
}

#[test]
fn the_programs_work_where_a_box_has_them() {
    let Some(folder) = prepared() else { return };
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/systemd-creds").exists() {
        return eprintln!("SKIPPED: it needs root and systemd-creds");
    }
    python("installed.py", folder.path(), &["/usr/bin/unshare", "--mount", "--propagation", "private"]);
}

#[test]
fn every_key_of_an_admin_can_sign_and_no_other() {
    if !able() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let admins = admins(folder.path());
    let ring = keyring(&folder.path().join("home"));
    for (name, expected) in [("keys/ben", "ben"), ("keys/old", "ben"), ("home/.ssh/id_ann", "ann")] {
        let (signature, signer) = ring.sign(b"canary", Some(&folder.path().join(name)), &admins).unwrap();
        assert!(signature.starts_with(b"-----BEGIN SSH SIGNATURE-----"));
        assert_eq!(signer, expected);
    }
    let error = ring.sign(b"canary", Some(&folder.path().join("keys/stranger")), &admins).unwrap_err();
    assert!(format!("{error:#}").contains("none of the profile's admins"), "{error:#}");
    let error = ring.sign(b"canary", Some(&folder.path().join("keys/nothing")), &admins).unwrap_err();
    assert!(format!("{error:#}").contains("keys/nothing"), "{error:#}");
    // Without a name, a key that is no admin's is not even tried.
    let error = keyring(&folder.path().join("keys")).sign(b"canary", None, &admins).unwrap_err();
    assert!(format!("{error:#}").contains("no key of the profile's admins (ann, ben) is in"), "{error:#}");
    let error = ring.sign(b"canary", None, &Admins::new()).unwrap_err();
    assert!(format!("{error:#}").contains("names no admins"), "{error:#}");
}

#[test]
fn an_agent_signs_where_no_key_is_at_hand() {
    if !able() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let admins = admins(folder.path());
    let socket = folder.path().join("agent");
    let agent =
        Tool::new("ssh-agent").args(["-D", "-a"]).arg(&socket).env("PATH", "/usr/bin:/bin").spawn().unwrap();
    let mut ring = keyring(&folder.path().join("elsewhere"));
    ring.environment.push(("SSH_AUTH_SOCK", socket.clone().into()));
    let add = || {
        let add = Tool::new("ssh-add").arg("-q").arg(folder.path().join("keys/ben"));
        add.env("PATH", "/usr/bin:/bin").env("SSH_AUTH_SOCK", &socket).run()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while add().is_err() {
        assert!(std::time::Instant::now() < deadline, "the agent does not answer");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (_, signer) = ring.sign(b"canary", None, &admins).unwrap();
    assert_eq!(signer, "ben");
    agent.kill().unwrap();
}

#[test]
fn each_secret_says_how_a_new_value_is_applied() {
    let map = serde_json::to_value(needs()).unwrap();
    let apply = |name: &str| map["secrets"][name]["apply"].clone();
    let first_start = apply("amp/licence")["amp"]["first-start"].as_str().unwrap().to_owned();
    assert!(first_start.contains("enter it in AMP"), "{first_start}");
    for (name, expected) in [
        (
            "box/backup-password",
            serde_json::json!({"backup": {"command": "/usr/lib/boxwright/rotation/backup-password"}}),
        ),
        ("box/backup-boxes-secret-key", serde_json::json!({})),
        ("box/heartbeat", serde_json::json!({})),
        ("box/disk-media-password", serde_json::json!({"disks": {"restart": "/srv/media"}})),
        ("box/ssh-tunnel", serde_json::json!({"ssh": {"restart": "boxwright-ssh-tunnel.service"}})),
        (
            "cloudflared/tunnel",
            serde_json::json!({"cloudflared": {"restart": "boxwright-service-cloudflared.service"}}),
        ),
        (
            "box/mail-password",
            serde_json::json!({
                "immich": {"setup": "immich"},
                "nextcloud": {"restart": "boxwright-service-nextcloud.service"},
                "seerr": {"setup": "seerr"},
            }),
        ),
    ] {
        assert_eq!(apply(name), expected, "{name}");
    }
    assert!(map["secrets"]["nextcloud/db-password"].get("apply").is_none());
    // The box's own programs are there, and can be run.
    for program in [
        "backup/root/usr/lib/boxwright/rotation/backup-password",
        "ubuntu-pro/root/usr/lib/boxwright/rotation/pro-token",
    ] {
        let path = project().join("overlays/system").join(program);
        assert!(fs::read(&path).unwrap().starts_with(b"#!"), "{}", path.display());
    }
}

const MINIMAL: &str = r#"
schema = 1
[box]
name = "tiny"
timezone = "Europe/Berlin"
admins = { ann = ["KEY"] }
[ssh]
lan = "always"
[alerts]
heartbeat = true
"#;

#[test]
fn the_command_writes_a_file_that_nobody_else_reads() {
    if !able() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ann = key(&folder.path().join("home/.ssh/id_ed25519"), &["-t", "ed25519"]);
    let stranger = folder.path().join("keys/stranger");
    key(&stranger, &["-t", "ed25519"]);
    fs::write(folder.path().join("tiny.toml"), MINIMAL.replace("KEY", &ann)).unwrap();
    let secrets = folder.path().join("secrets.toml");
    fs::write(&secrets, "[box]\nheartbeat = 'https://hc-ping.com/a-canary'\n").unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    let stick = folder.path().join("stick");
    fs::create_dir(&stick).unwrap();
    let rotate = |more: &[&str]| {
        let tool = Tool::new(env!("CARGO_BIN_EXE_boxwright")).arg("--project").arg(project());
        let tool =
            tool.arg("rotate").arg(folder.path().join("tiny.toml")).arg("--secrets").arg(&secrets).args(more);
        tool.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", folder.path().join("home")).output()
    };
    let path = stick.join("boxwright-tiny.secrets");
    let said = rotate(&["--to", stick.to_str().unwrap()]).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(String::from_utf8(said).unwrap(), format!("{}\n", path.display()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.starts_with(signed::MAGIC));
    let piped = rotate(&["--to", "-", "--only", "box/heartbeat"]).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(piped.starts_with(signed::MAGIC) && piped.ends_with(b"-----END SSH SIGNATURE-----\n"));
    fs::remove_file(&path).unwrap();
    for (more, expected) in [
        (["--sign-with", stranger.to_str().unwrap()], "none of the profile's admins"),
        (["--only", "box/pushbullet"], "no value for the secret `box/pushbullet`; it has: box/heartbeat"),
    ] {
        let error = rotate(&[&["--to", path.to_str().unwrap()][..], &more].concat()).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("canary"), "{error}");
        assert!(!path.exists());
    }
}
