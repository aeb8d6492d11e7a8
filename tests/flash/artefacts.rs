//! What an image is handed out as: packed so that parts can be read alone, with a block map, signed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use boxwright::artefacts;
use boxwright::build::Built;
use boxwright::build::manifest::Manifest;
use boxwright::digest::Sha256;
use boxwright::disk::Role;
use boxwright::ui::Ui;

use crate::images::{self, Bench, there};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The image of a box, as a build leaves it.
fn built(bench: &Bench) -> Built {
    let image = bench.image("attic", 1);
    let mut manifest = Manifest::load(&image).unwrap();
    manifest.sha256 = Some(Sha256::of_file(&image).unwrap());
    manifest.save(&image).unwrap();
    Built { image, manifest, unchanged: false }
}

#[test]
fn the_packed_image_is_the_image_to_zstd_and_to_flash() {
    let bench = Bench::new();
    let built = built(&bench);
    let [packed, map] = artefacts::make(&built, &Ui::silent()).unwrap();
    assert_eq!(
        (packed.as_path(), map.as_path()),
        (&*bench.path("attic-1.img.zst"), &*bench.path("attic-1.img.bmap"))
    );
    let sums = fs::read_to_string(bench.path("attic-1.SHA256SUMS")).unwrap();
    let names: Vec<&str> =
        sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name).collect();
    assert_eq!(names, ["attic-1.img", "attic-1.img.bmap", "attic-1.img.zst", "attic-1.manifest.json"]);
    let small = fs::metadata(&packed).unwrap().len();
    assert!(small < 8 << 20, "it has {small} bytes");
    if there("zstd") {
        let back = bench.path("back.img");
        let unpacked =
            Command::new("zstd").args(["-d", "-q", "--sparse", "-o"]).arg(&back).arg(&packed).output();
        let unpacked = unpacked.unwrap();
        assert!(unpacked.status.success(), "{unpacked:?}");
        assert_eq!(Sha256::of_file(&back).unwrap(), built.manifest.sha256.unwrap());
    }
    let disk = bench.path("disk");
    bench.flash(&[text(&packed), "--to", text(&disk), "--size", "8G"]).good();
    assert_eq!(images::difference(&built.image, &disk), None);
    // Beside the image it is the same image, not a second one to choose from.
    fs::create_dir(bench.path("out")).unwrap();
    for path in [&built.image, &packed, &bench.path("attic-1.manifest.json")] {
        fs::hard_link(path, bench.path("out").join(path.file_name().unwrap())).unwrap();
    }
    let said = bench.flash(&["--to", text(&bench.path("other")), "--dry-run"]).good();
    assert!(said.out.contains("of attic-1.img to"), "{said:?}");
    // Where it was cut, it is refused.
    let file = File::options().write(true).open(&packed).unwrap();
    file.set_len(small - 5).unwrap();
    bench.flash(&[text(&packed), "--to", text(&disk), "--size", "8G"]).refused(&["cannot be unpacked"]);
}

/// bmaptool leaves the rest of a disk as it was: a former box's secrets, or half of a table, must not stay.
#[test]
fn the_block_map_has_what_must_be_zero() {
    let bench = Bench::new();
    let built = built(&bench);
    let [_, map] = artefacts::make(&built, &Ui::silent()).unwrap();
    let text = fs::read_to_string(&map).unwrap();
    let ranges = text.lines().filter_map(|line| {
        let (first, last) = line.trim().strip_suffix(" </Range>")?.split_once("> ")?.1.split_once('-')?;
        Some(first.parse::<u64>().unwrap() * 4096..(last.parse::<u64>().unwrap() + 1) * 4096)
    });
    let ranges: Vec<_> = ranges.collect();
    let about = boxwright::disk::read(&built.image).unwrap().layout;
    let (esp, secrets) = (about.find(Role::Esp).unwrap(), about.find(Role::Secrets).unwrap());
    let end = about.total_bytes;
    let head = esp.start..esp.start + (32 + 2048) * 512;
    for part in [0..1 << 20, head, secrets.start..secrets.start + secrets.length, end - (1 << 20)..end] {
        let inside = ranges.iter().any(|range| range.start <= part.start && part.end <= range.end);
        assert!(inside, "{part:?} is not in {text}");
    }
    assert!(!ranges.iter().any(|range| range.contains(&(esp.start + (200 << 20)))), "{text}");
}

#[test]
fn bmaptool_writes_the_image_by_its_block_map() {
    let bench = Bench::new();
    let built = built(&bench);
    let [_, map] = artefacts::make(&built, &Ui::silent()).unwrap();
    if Command::new("bmaptool").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "bmaptool is missing");
        eprintln!("SKIPPED: there is no bmaptool on this machine");
        return;
    }
    let disk = bench.path("disk");
    let copy = |map: &Path| {
        let call =
            Command::new("bmaptool").args(["copy", "--bmap"]).arg(map).arg(&built.image).arg(&disk).output();
        call.unwrap()
    };
    let copied = copy(&map);
    assert!(copied.status.success(), "{copied:?}");
    assert_eq!(Sha256::of_file(&disk).unwrap(), built.manifest.sha256.unwrap());
    let wrong = bench.path("wrong.bmap");
    let changed = fs::read_to_string(&map).unwrap().replacen("<Range chksum=\"", "<Range chksum=\"0", 1);
    fs::write(&wrong, changed).unwrap();
    assert!(!copy(&wrong).status.success(), "a map that was changed is taken");
}

/// A key of SSH's without a passphrase, and the line of its public half.
pub fn key(bench: &Bench, name: &str) -> (std::path::PathBuf, String) {
    let path = bench.path(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .output();
    assert!(made.as_ref().is_ok_and(|made| made.status.success()), "{made:?}");
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, public.trim().to_owned())
}

#[test]
fn only_what_one_of_the_signers_signed_is_flashed() {
    if !there("ssh-keygen") {
        return;
    }
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let ((ada, ada_line), (_, bob_line)) = (key(&bench, "ada"), key(&bench, "bob"));
    let signers = bench.path("signers");
    fs::write(&signers, format!("bob@example.com {bob_line}\nada@example.com {ada_line}\n")).unwrap();
    let disk = bench.path("disk");
    let flash = |signers: &Path| {
        bench.flash(&[
            text(&image),
            "--to",
            text(&disk),
            "--size",
            "8G",
            "--signers",
            text(signers),
            "--dry-run",
        ])
    };
    let verify = |signers: &Path| {
        let said = bench.call("verify", &[text(&image), "--signers", text(signers)]);
        let silent = ["flash", "written"].iter().all(|word| !said.err.to_lowercase().contains(word));
        assert!(silent, "nothing is flashed there: {}", said.err);
        said
    };
    flash(&signers).refused(&["is not signed", "boxwright sign", "Nothing was written"]);
    verify(&signers).refused(&["is not signed", "boxwright sign", "leave out --signers"]);
    flash(&bench.path("nobody")).refused(&["is no file"]);
    let signed = bench.call("sign", &[text(&image), "--key", text(&ada)]).good();
    let signature = bench.path("attic-1.manifest.json.sig");
    assert_eq!(signed.out.trim(), text(&signature));
    assert!(flash(&signers).good().err.contains("signed by ada@example.com"));
    // It is looked at no further before that: these images say nothing of what they were made from.
    let said = verify(&signers);
    assert!(said.err.contains("signed by ada@example.com"), "{}", said.err);
    said.refused(&["says in nothing that this program knows what it was made from"]);
    // Others cannot sign for the box, and what others signed for something else is worth nothing.
    let others = bench.path("others");
    fs::write(&others, format!("bob@example.com {bob_line}\n")).unwrap();
    flash(&others).refused(&["is not a signature of anybody"]);
    verify(&others).refused(&["is not a signature of anybody"]);
    fs::write(&others, format!("ada@example.com namespaces=\"git\" {ada_line}\n")).unwrap();
    flash(&others).refused(&["is not a signature of anybody"]);
    let right = fs::read(&signature).unwrap();
    let manifest = bench.path("attic-1.manifest.json");
    fs::remove_file(&signature).unwrap();
    let other = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "file", "-f"])
        .arg(&ada)
        .arg(&manifest)
        .output();
    assert!(other.unwrap().status.success());
    flash(&signers).refused(&["is not a signature of anybody"]);
    fs::write(&signature, &right).unwrap();
    flash(&signers).good();
    // The manifest vouches for the image, and the signature for every byte of the manifest.
    let text_of = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text_of.replacen("\"version\": 1", "\"version\": 2", 1)).unwrap();
    flash(&signers).refused(&["is not a signature of anybody"]);
    fs::write(&manifest, text_of).unwrap();
    let file = File::options().write(true).open(&image).unwrap();
    file.write_all_at(b"x", 600 << 20).unwrap();
    flash(&signers).refused(&["is not what its manifest says"]);
    verify(&signers).refused(&["is not what its manifest says"]);
    bench.call("sign", &[text(&image), "--key", text(&ada)]).refused(&["is not what its manifest says"]);
    fs::remove_file(&manifest).unwrap();
    verify(&signers).refused(&["attic-1.manifest.json is missing", "put it beside the image"]);
}
