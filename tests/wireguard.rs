//! The VPN with a real WireGuard server, in network namespaces of the test's own: its keys are tried, and the real Gluetun runs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use boxwright::tool::Tool;

#[path = "support/go.rs"]
mod go;
#[allow(dead_code, reason = "not all of it is used here")]
#[path = "support/profiles.rs"]
mod profiles;

/// The server's key, and the public one that belongs to it.
const SERVER: &str = "6665646362613938373635343332313066656463626139383736353433323130";
const SERVER_PUBLIC: &str = "2/ygd0TRqiC1sebr6VaMzxUwnqJ9Zmo98HwJpoCThRI=";
/// The box's key, and the public one that the server knows.
const BOX: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const BOX_PUBLIC: &str = "86517bc0c39fe876b7646cb5e34ee03daf71ccbad67450c16a970ad8cbc03e7e";
const ANOTHER: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
/// Their preshared key, in base64 and in hexadecimal.
const SHARED: &str = "c2hhcmVkIGJ5IHRoZSBib3ggYW5kIGl0cyBzZXJ2ZXI=";
const SHARED_HEX: &str = "7368617265642062792074686520626f7820616e642069747320736572766572";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A box whose VPN is a server of its owner's, at the address `server`.
fn profile(folder: &Path, server: &str) -> PathBuf {
    let profile = folder.join("box.toml");
    let text = format!(
        "schema = 1\n[box]\nname = \"attic\"\ndomain = \"example.com\"\nadmins = {{ me = [\"ssh-ed25519 \
         AAAAC3NzaC1lZDI1NTE5AAAAIIJPRgh+AXm+rRH1Ydo+E3qd2R8JZnZyh3rnFXd25G5p me\"] }}\n[ssh]\nlan = \"always\"\n\
         [disks]\nmedia = {{ label = \"media\" }}\n[vpn]\nprovider = \"custom\"\nendpoint = \"{server}:51820\"\n\
         public-key = \"{SERVER_PUBLIC}\"\n[services]\nqbittorrent = {{ disk = \"media\" }}\n"
    );
    fs::write(&profile, text).unwrap();
    profile
}

/// What `secrets check --online` prints about these keys, beside a server that has the preshared key of `SHARED`.
fn said(program: &Path, key: &str, shared: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let profile = profile(folder.path(), "127.0.0.1");
    let secrets = folder.path().join("secrets.toml");
    let text = format!(
        "[gluetun]\nwireguard-private-key = '{key}'\nwireguard-addresses = '10.64.222.21/32'\n\
         wireguard-preshared-key = '{shared}'\n"
    );
    fs::write(&secrets, text).unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    let script = profiles::project().join("tests/wireguard/server.py");
    let call =
        Tool::new("unshare").env("PATH", PATH).args(["--map-root-user", "--net", "--mount", "python3", "-B"]);
    let call = call.arg(script).arg(program).args([SERVER, BOX_PUBLIC, SHARED_HEX]);
    let call = call.arg(env!("CARGO_BIN_EXE_boxwright")).arg("--project").arg(profiles::project());
    let call = call.args(["secrets", "check"]).arg(&profile).arg("--secrets").arg(&secrets).arg("--online");
    let call = call.env("HOME", folder.path().to_str().unwrap());
    String::from_utf8(call.output().unwrap()).unwrap()
}

/// What the VPN's container finds in its environment, if the server is at that address.
fn environment(folder: &Path, server: &str) -> serde_json::Value {
    let to = folder.join("files");
    let call = Tool::new(env!("CARGO_BIN_EXE_boxwright"))
        .arg("--project")
        .arg(profiles::project())
        .args(["--cache", "/nowhere", "render"]);
    call.arg(profile(folder, server)).arg("--to").arg(&to).run().unwrap();
    let compose = fs::read_to_string(to.join("etc/boxwright/services/gluetun/compose.yaml")).unwrap();
    let mut compose: serde_json::Value = serde_yaml_ng::from_str(&compose).unwrap();
    compose["services"]["gluetun"]["environment"].take()
}

#[test]
fn the_vpn_is_told_of_the_server_that_the_profile_names() {
    let folder = tempfile::tempdir().unwrap();
    let environment = environment(folder.path(), "127.0.0.1");
    for (name, value) in
        [("ENDPOINT_IP", "127.0.0.1"), ("ENDPOINT_PORT", "51820"), ("PUBLIC_KEY", SERVER_PUBLIC)]
    {
        assert_eq!(environment[format!("WIREGUARD_{name}")], value);
    }
}

/// Whether tunnels can be made here.
fn able() -> bool {
    let able = Path::new("/dev/net/tun").exists();
    if !able {
        assert!(std::env::var_os("CI").is_none(), "no /dev/net/tun");
        eprintln!("SKIPPED: no /dev/net/tun on this machine");
    }
    able
}

/// The real Gluetun reads what is rendered, and is the only way out of its namespace: with the VPN, by it; without, none.
#[test]
fn the_real_gluetun_leads_into_the_vpn_and_nowhere_else() {
    if !able() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can lay a root filesystem over this machine's");
        return;
    }
    let (Some(gluetun), Some(wireguard)) = (go::gluetun(), go::wireguard()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let environment = environment(folder.path(), "198.51.100.20");
    let secrets = folder.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    for (name, value) in [("private-key", BOX), ("addresses", "10.64.222.21/32"), ("preshared-key", SHARED)] {
        fs::write(secrets.join(format!("wireguard-{name}")), value).unwrap();
    }
    let script = profiles::project().join("tests/wireguard/gluetun.py");
    let call = Tool::new("unshare").env("PATH", PATH);
    let call = call.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "python3", "-B"]);
    let call =
        call.arg(script).args([gluetun, wireguard]).args([SERVER, BOX_PUBLIC, SHARED_HEX]).arg(&secrets);
    let said = call.stdin_bytes(environment.to_string()).output().unwrap_or_else(|error| panic!("{error:#}"));
    let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
    let lines: Vec<&str> = said["log"].as_array().unwrap().iter().filter_map(|line| line.as_str()).collect();
    let log = lines.join("\n");
    assert_eq!(said["reached"], true, "{log}");
    // It says what it has understood of the environment.
    for words in ["Name: custom", "Endpoint IP address: 198.51.100.20", "Endpoint port: 51820", SERVER_PUBLIC]
    {
        assert!(log.contains(words), "no {words:?} in\n{log}");
    }
    let peers = said["peers"].as_array().unwrap();
    assert!(peers.iter().all(|peer| peer[1] == "10.64.222.21"), "{peers:?}\n{log}");
    assert_eq!(said["left"], serde_json::json!([]), "{log}");
    assert_eq!(said["after"], serde_json::json!([]), "the VPN is gone, and there is a way out\n{log}");
}

#[test]
fn keys_are_tried_on_the_server_that_the_profile_names() {
    if !able() {
        return;
    }
    let Some(program) = go::wireguard() else { return };
    let right = said(&program, BOX, SHARED);
    let both = "works      gluetun/wireguard-private-key, gluetun/wireguard-preshared-key: the server 127.0.0.1:51820 answers";
    assert!(right.contains(both), "{right}");
    for (key, shared) in [(ANOTHER, SHARED), (BOX, ANOTHER)] {
        let wrong = said(&program, key, shared);
        assert!(
            wrong.contains("the server 127.0.0.1:51820 does not answer a handshake with them"),
            "{wrong}"
        );
        assert!(!wrong.contains(ANOTHER), "{wrong}");
    }
}
