//! Secrets that were handed over with the disk: taken, overwritten in their partition, placed for who needs them, and still
//! there at the second start.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use boxwright::disk::{self, Role};
use boxwright::secrets::{Handover, Needs, Secrets, Shape};
use boxwright::vm::BoxDisk;

use crate::harness::value;
use crate::profiles;

/// Something that must be nowhere but in the store and in the files that services read.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The files under /run/boxwright/secrets: mode, owner, name.
const FILES: [&str; 12] = [
    "400 0:0 box/backup-password",
    "400 0:0 box/ssh-tunnel",
    "400 0:0 gluetun/control-key",
    "400 0:0 gluetun/wireguard-addresses",
    "400 0:0 gluetun/wireguard-preshared-key",
    "400 0:0 gluetun/wireguard-private-key",
    "400 0:0 jellyfin/password",
    "400 0:0 sonarr/password",
    "400 0:0 sonarr/qbittorrent",
    "400 1000:1000 qbittorrent/password",
    "400 1000:1000 sonarr/api-key",
    "400 65532:65532 cloudflared/tunnel",
];

/// Writes a `secrets.toml` with what the tunnels and the VPN need, and `more` lines for the box itself.
pub fn file(folder: &Path, more: &str) -> PathBuf {
    let tunnel = |id: &str| {
        format!(
            r#"{{"AccountTag":"0123456789abcdef0123456789abcdef","TunnelSecret":"{KEY}","TunnelID":"{id}"}}"#
        )
    };
    let text = format!(
        "[box]\nssh-tunnel = '{}'\n{more}[cloudflared]\ntunnel = '{}'\n\
         [gluetun]\nwireguard-private-key = '{KEY}'\nwireguard-addresses = '10.64.222.21/32'\n",
        tunnel("0f5e1d7c-94b3-4b0e-8a5c-6d1f2e3a4b5c"),
        tunnel("6ff42ae2-765d-4adf-8112-31c55c1551ef"),
    );
    written(folder, &text)
}

/// Writes `text` as the `secrets.toml` in `folder`.
pub fn written(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("secrets.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Writes a `secrets.toml` with a value for everything that the box of that profile needs.
pub fn file_for(folder: &Path, profile: &Path) -> PathBuf {
    let checked = profiles::checked(profile);
    let needs = Needs::of(&checked, checked.catalog()).unwrap();
    let mut text = String::new();
    for section in needs.sections() {
        text.push_str(&format!("[{section}]\n"));
        for need in needs.section(section).filter(|need| !need.optional()) {
            let value = match &need.shape {
                Shape::Tunnel(id) => format!(
                    r#"{{"AccountTag":"0123456789abcdef0123456789abcdef","TunnelSecret":"{KEY}","TunnelID":"{}"}}"#,
                    id.as_ref().map(ToString::to_string).unwrap_or_default()
                ),
                Shape::WireguardKey => KEY.to_owned(),
                _ if need.id.name == "wireguard-addresses" => "10.64.222.21/32".to_owned(),
                _ if need.id.name == "heartbeat" => "https://heartbeat.example.com/".to_owned(),
                _ => format!("a value for tests of {}", need.id.name),
            };
            text.push_str(&format!("{} = '{value}'\n", need.id.name));
        }
    }
    written(folder, &text)
}

/// Hands these secrets to a disk, as `boxwright boot --secrets --live` does.
pub fn hand_over(disk: &BoxDisk) {
    let path = file(&disk.folder, "backup-password = 'a password for tests'\n");
    hand_over_file(disk, &profiles::project().join("tests/boot/services.toml"), &path);
}

/// Hands the secrets in `file` to the disk of a box with that profile.
pub fn hand_over_file(disk: &BoxDisk, profile: &Path, file: &Path) {
    disk.write_secrets(&bundle(profile, file, &Handover::default())).unwrap();
}

/// What the secrets partition of a box with that profile begins with.
pub fn bundle(profile: &Path, file: &Path, handover: &Handover) -> Vec<u8> {
    let checked = profiles::checked(profile);
    let needs = Needs::of(&checked, checked.catalog()).unwrap();
    let secrets = Secrets::load(file, &needs).map_err(|findings| findings.render(false)).unwrap();
    assert!(secrets.findings().list.is_empty(), "{}", secrets.findings().render(false));
    secrets.bundle(handover).unwrap().to_vec()
}

/// Prints the secrets' files, for [`assert_placed`], and a digest of what is in them.
pub fn look() -> String {
    "cd /run/boxwright/secrets\n\
     find . -type f -printf 'secret %m %U:%G %P\\n' | sort\n\
     echo \"digest $(find . -type f | sort | xargs cat | sha256sum | cut -d' ' -f1)\"\n\
     echo \"store $(stat -c %a /var/lib/boxwright/secrets /var/lib/boxwright/secrets/* | sort | uniq | paste -sd ' ' -)\"\n\
     cd /\n"
    .to_owned()
}

/// Looks for each secret of a running box where none may be: in the journal, in the arguments of processes, in what Docker says of
/// its containers; for [`assert_nowhere_else`].
pub fn leaks() -> String {
    format!("python3 - <<'END'\n{}END\n", include_str!("leaks.py"))
}

/// Holds what [`leaks`] printed against what may be.
pub fn assert_nowhere_else(printed: &[String]) {
    let found: Vec<&String> = printed.iter().filter(|line| line.starts_with("leak ")).collect();
    assert!(found.is_empty(), "{found:?}");
    // That it would have been found: what was planted is, in each place.
    let planted: Vec<&str> = printed.iter().filter_map(|line| line.strip_prefix("planted ")).collect();
    assert_eq!(planted, ["docker inspect", "the arguments of a process", "the journal"], "{printed:?}");
    assert!(value(printed, "searched-for").parse::<u32>().unwrap() > 3, "{printed:?}");
}

/// Holds what [`look`] printed against what services.toml needs.
pub fn assert_placed(printed: &[String]) {
    let files: Vec<&str> = printed.iter().filter_map(|line| line.strip_prefix("secret ")).collect();
    assert_eq!(files, FILES);
    assert!(printed.iter().any(|line| line == "store 600 700"), "{printed:?}");
    assert!(!printed.iter().any(|line| line == "plain text"), "{printed:?}");
    assert_eq!(value(printed, "digest").len(), 64);
}

/// The partition of a disk that is switched off must have been overwritten.
pub fn assert_overwritten(disk: &BoxDisk) {
    let part = disk::read(&disk.path).unwrap().layout.find(Role::Secrets).unwrap().clone();
    let file = std::fs::File::open(&disk.path).unwrap();
    let mut bytes = vec![0; usize::try_from(part.length).unwrap()];
    file.read_exact_at(&mut bytes, part.start).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0), "the partition of the secrets is not empty");
}
