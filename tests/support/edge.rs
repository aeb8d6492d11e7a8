//! Cloudflare's edge, which a program of the tests (`edge/`) plays for the real cloudflared, in a network that has nothing but
//! loopback. Only the tunnel's registration is left out.
#![allow(dead_code, reason = "no test uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};

use boxwright::tool::Tool;
use serde_json::{Value, json};

use super::go;

/// The Access team of the profiles under test.
pub const TEAM: &str = "example.cloudflareaccess.com";
/// What cloudflared writes of each request that its check answers with 403 for want of a token.
pub const NO_TOKEN: &str = "(AccessJWTValidator) due to: no access token in request";

/// The real cloudflared, as its main branch was in July 2026: the newest that Go's module proxy hands out. Its releases are no
/// semantic versions, so that Go knows it by its commits.
pub fn cloudflared() -> Option<PathBuf> {
    let version = "v0.0.0-20260713102814-2601f87b5728";
    go::program("github.com/cloudflare/cloudflared", "./cmd/cloudflared", version)
}

/// A credential's form; nothing registers with it.
pub fn credential() -> String {
    let credential = json!({
        "AccountTag": "0123456789abcdef0123456789abcdef",
        "TunnelSecret": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "TunnelID": "6ff42ae2-765d-4adf-8112-31c55c1551ef",
    });
    credential.to_string()
}

/// A file of hosts: the Access team, and an address of its own for each name.
pub fn hosts<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names = names.into_iter().zip(1..).map(|(name, index)| format!("127.0.1.{index} {name}\n"));
    format!("127.0.0.1 localhost\n127.0.0.2 {TEAM}\n") + &names.collect::<String>()
}

/// Runs `edge` as an ordinary user could, where `/etc` and `/run` have these files, and returns what it says of `job`.
pub fn play(edge: &Path, files: &[(&str, &str)], job: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("run")).unwrap();
    for (path, text) in [&[("etc/nsswitch.conf", "hosts: files\n")], files].concat() {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let enter =
        r#"mount --bind "$0/etc" /etc && mount --bind "$0/run" /run && ip link set lo up && exec "$1" "$0""#;
    let said = Tool::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--net", "sh", "-c", enter])
        .args([folder.path(), edge])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin_bytes(job.to_string())
        .output()
        .unwrap_or_else(|error| panic!("{error:#}"));
    serde_json::from_slice(&said).unwrap()
}
