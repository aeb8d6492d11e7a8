//! Encryption without a machine: what the initrd's script reads, and the box's own program, in front of stand-ins for cryptsetup.
//! What they do together to a real disk with a TPM is tests/boot/encrypted.rs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use boxwright::secrets::{Handover, Needs, Secrets, bundle};
use boxwright::tool::Tool;

#[allow(dead_code, reason = "not all of it is used here")]
#[path = "support/profiles.rs"]
mod profiles;

const KEY: &str = "5b1f6e0c9a7d43822f6be1907cd5a3f4186e9d02b7c4f8a53e60d1972cab84f6";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `script` prints in a shell that has read the initrd's part about encryption.
fn initrd(script: &str) -> String {
    let part = profiles::project().join("firmware/initrd/boxwright/encryption.sh");
    let script = format!("set -e\nrelease=aaaa box=vault\n. {}\n{script}", part.display());
    let printed = Tool::new("/bin/sh").env("PATH", PATH).arg("-c").arg(script).output();
    String::from_utf8(printed.unwrap_or_else(|error| panic!("{error:#}"))).unwrap()
}

/// The key that the initrd finds in a partition with `content`.
fn key_in(folder: &Path, content: &[u8]) -> String {
    let path = folder.join("partition");
    let mut partition = content.to_vec();
    partition.resize(bundle::PARTITION, 0);
    fs::write(&path, partition).unwrap();
    initrd(&format!("TYPE_SECRETS=secrets\npartition_of() {{ echo {}; }}\nkey_of_bundle", path.display()))
}

#[test]
fn the_initrd_finds_the_key_in_the_secrets_that_are_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets.toml");
    // Another value that looks like the key's entry.
    let other = format!("\"box/recovery-key\":\"{}\"", "f".repeat(64));
    let spaced = format!("{} - {}", &KEY[..32], KEY[32..].to_uppercase());
    let text = format!("[box]\nrecovery-key = '{spaced}'\npushbullet = '{other}'\nntfy-topic = '{other}'\n");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let profile = profiles::project().join("tests/boot/encrypted.toml");
    let text = fs::read_to_string(profile).unwrap() + "[alerts]\nto = [\"pushbullet\", \"ntfy\"]\n";
    let profile = folder.path().join("encrypted.toml");
    fs::write(&profile, text).unwrap();
    let checked = profiles::checked(&profile);
    let needs = Needs::of(&checked, checked.catalog()).unwrap();
    let secrets = Secrets::load(&file, &needs).map_err(|findings| findings.render(false)).unwrap();
    let whole = secrets.bundle(&Handover::default()).unwrap();

    assert_eq!(key_in(folder.path(), &whole), KEY);
    assert_eq!(key_in(folder.path(), &[]), "", "nothing was handed over");
    assert_eq!(key_in(folder.path(), &whole[..whole.len() - 1]), "", "it was not written to its end");
    let mut damaged = whole.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(key_in(folder.path(), &damaged), "", "it was damaged");
    let mut taken = whole.to_vec();
    taken[..16].copy_from_slice(bundle::WIPING);
    assert_eq!(key_in(folder.path(), &taken), "", "the box has taken it");
}

/// What is in a header: slots sealed for two releases, for none, and one for the recovery key.
const HEADER: &str = r#"{"tokens": {"0": {"type":"systemd-tpm2","keyslots":["1"],"tpm2-blob":"x"},
    "1":{"type":"boxwright","keyslots":["1"],"for":"aaaa"},"2":{"type":"systemd-tpm2","keyslots":["12"]},
    "3":{"type":"boxwright","keyslots":["12"],"for":"aaaab"},"4":{"type":"boxwright","keyslots":["0"],"for":"recovery"},
    "5":{"type":"systemd-tpm2","keyslots":["7"],"tpm2-blob":"x"}}}"#;

#[test]
fn a_release_that_is_sealed_again_takes_its_own_key_slot_and_leaves_those_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let stand_ins = [
        ("cryptsetup", "case $1 in luksDump) cat header ;; *) cat >>calls ;; esac"),
        ("systemd-cryptenroll", "echo $1 >>calls; echo New TPM2 token enrolled as key slot 9."),
    ];
    fs::write(folder.path().join("header"), HEADER).unwrap();
    for (name, script) in stand_ins {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}\n", folder.path().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let here = folder.path().display();
    initrd(&format!("PATH={here}:$PATH said={here}/said\nseal device key"));
    let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
    assert_eq!(
        calls,
        "--wipe-slot=1\n--wipe-slot=7\n--unlock-key-file=key\n\
         {\"type\":\"boxwright\",\"keyslots\":[\"9\"],\"for\":\"aaaa\"}\n"
    );
}

#[test]
fn the_box_lets_its_recovery_key_in_and_forgets_releases_that_are_gone() {
    let project = profiles::project();
    let run = Tool::new("python3")
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .arg("-B")
        .arg(project.join("tests/encryption/on_box.py"))
        .arg(project.join("overlays/system/encryption/root/usr/lib/boxwright/encryption"))
        .output();
    if let Err(error) = run {
        panic!("{error:#}");
    }
}
