//! Secrets that go along with a disk: handed over with it, from an encrypted file too, or those of the image.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;

use boxwright::digest::Sha256;
use boxwright::disk::{self, Role};
use boxwright::secrets::bundle;

use crate::artefacts::key;
use crate::images::{self, Bench, there};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn secrets_are_handed_over_and_the_file_is_nobody_elses() {
    let bench = Bench::new();
    let image = bench.image("minimal", 1);
    let disk = bench.path("disk");
    let secrets = bench.path("secrets.toml");
    fs::write(&secrets, "").unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    let project = env!("CARGO_MANIFEST_DIR");
    let arguments =
        ["--project", project, text(&image), "--to", text(&disk), "--secrets", text(&secrets), "--json"];
    let said = bench.flash(&arguments).good();
    let receipt: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&receipt["box_name"], &receipt["secrets"]), (&"minimal".into(), &"handed over".into()));
    let place = disk::read(&disk).unwrap().layout.find(Role::Secrets).unwrap().start;
    let bundle = boxwright::secrets::bundle::examine(&images::bytes(&disk, place, 1 << 20));
    assert_eq!(
        bundle,
        boxwright::secrets::bundle::Contents::Bundle { box_name: "minimal".into(), secrets: Vec::new() }
    );
    assert_eq!(fs::metadata(&disk).unwrap().permissions().mode() & 0o777, 0o600);
    // Without secrets the partition is emptied.
    bench.flash(&[text(&image), "--to", text(&disk)]).good();
    assert!(images::bytes(&disk, place, 8 << 20).iter().all(|byte| *byte == 0));
}

#[test]
fn secrets_are_taken_from_an_encrypted_file() {
    if !there("ssh-keygen") {
        return;
    }
    let bench = Bench::new();
    let image = bench.image("minimal", 1);
    let (disk, secrets) = (bench.path("disk"), bench.path("secrets.toml"));
    fs::write(&secrets, "# This box needs none.\n").unwrap();
    let (private, public) = key(&bench, "ada");
    bench.call("secrets", &["encrypt", text(&secrets), "--recipient", &public]).good();
    fs::remove_file(&secrets).unwrap();
    let project = env!("CARGO_MANIFEST_DIR");
    let to = ["--project", project, text(&image), "--to", text(&disk), "--secrets", "secrets.toml.age"];
    let (_, other) = (key(&bench, "bob"), bench.path("bob"));
    bench.flash(&[&to[..], &["--identity", text(&other)]].concat()).refused(&["secrets.toml.age"]);
    assert!(!disk.exists());
    let said = bench.flash(&[&to[..], &["--identity", text(&private)]].concat()).good();
    assert!(
        said.out.contains("secrets      handed over") && !said.err.contains("those in the image"),
        "{said:?}"
    );
    let place = disk::read(&disk).unwrap().layout.find(Role::Secrets).unwrap().start;
    let bundle = bundle::examine(&images::bytes(&disk, place, 1 << 20));
    assert!(matches!(bundle, bundle::Contents::Bundle { .. }), "{bundle:?}");
}

/// A bundle with this payload, as the format says.
fn bundle_of(payload: &str) -> Vec<u8> {
    let mut head = [&bundle::MAGIC[..], &1_u64.to_le_bytes()].concat();
    head.extend((payload.len() as u64).to_le_bytes());
    let digest = Sha256::of_bytes(&[&head, payload.as_bytes()].concat());
    [&head, &digest.bytes()[..], payload.as_bytes()].concat()
}

/// Of two disks of one box the later one is the box; those of one image would be equally late.
#[test]
fn a_disk_that_no_flash_tells_from_its_twin_is_warned_of() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let place = disk::read(&image).unwrap().layout.find(Role::Secrets).unwrap().start;
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    let flash = |payload: Option<&str>, more: &[&str]| {
        let mut bytes = vec![0; 4096];
        if let Some(payload) = payload {
            let bundle = bundle_of(payload);
            assert!(matches!(bundle::examine(&bundle), bundle::Contents::Bundle { .. }));
            bytes[..bundle.len()].copy_from_slice(&bundle);
        }
        file.write_all_at(&bytes, place).unwrap();
        let arguments = [text(&image), "--to", "disk", "--unverified"];
        bench.flash(&[&arguments[..], more].concat()).good().err
    };
    let numbered = r#"{"box":"attic","secrets":{},"incarnation":1790000000}"#;
    let twins = "neither gives way to the other";
    for more in [&["--dry-run"][..], &[]] {
        let said = flash(Some(numbered), more);
        assert!(said.contains("warning: ") && said.contains(twins) && said.contains("--secrets"), "{said}");
    }
    let said = flash(Some(r#"{"box":"attic","secrets":{}}"#), &[]);
    assert!(!said.contains(twins) && said.contains("when it first starts"), "{said}");
    let said = flash(None, &[]);
    assert!(!said.contains(twins) && !said.contains("when it first starts"), "{said}");
}
