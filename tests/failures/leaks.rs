//! The value of a secret where none belongs: the build finds it, names the place, and makes no image.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::bench::{PROFILE, names};
use crate::tiny::{CANARY, Tiny};

/// A folder of the shipped overlays that the test may add to: copies of folders, links to everything else.
fn own_folder(folder: &Path) {
    let real = fs::canonicalize(folder).unwrap();
    fs::remove_file(folder).unwrap();
    fs::create_dir(folder).unwrap();
    for name in names(&real) {
        symlink(real.join(&name), folder.join(name)).unwrap();
    }
}

fn build(tiny: &Tiny) -> crate::bench::Run {
    tiny.project.run(&["build", "box", "--secrets", "secrets.toml"])
}

#[test]
fn a_canary_is_found_wherever_it_is() {
    let Some(tiny) = Tiny::new() else { return };
    let path = |inside: &str| tiny.project.path(inside);
    tiny.project.write(&PROFILE.replace("[services]", "[alerts]\nto = [\"pushbullet\"]\n[services]"));
    fs::write(path("secrets.toml"), format!("[box]\npushbullet = '{CANARY}'\n")).unwrap();
    fs::set_permissions(path("secrets.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let refused = |place: &str| {
        let run = build(&tiny);
        run.refused(2, &["the value of the secret `box/pushbullet` is in ", place, "no image was made"]);
        assert!(!run.stderr.contains(CANARY), "{}", run.stderr);
        assert!(!path("out/attic.img").exists(), "an image was left");
    };

    // Without one, everything is looked through and the image is made.
    let run = build(&tiny);
    assert!(run.stderr.contains("looking for secrets where none belong"), "{}", run.stderr);
    let image = path(run.fine());
    let bytes = fs::read(&image).unwrap();
    let places = bytes.windows(CANARY.len()).filter(|window| *window == CANARY.as_bytes()).count();
    assert_eq!(places, 1, "the token is in the secrets partition alone");
    drop(bytes);
    for name in names(&path("out")) {
        fs::remove_file(path("out").join(name)).unwrap();
    }

    // What a stage of the build left in the cache.
    let stage = path("cache/base")
        .join(names(&path("cache/base")).into_iter().find(|name| name.len() == 64).unwrap());
    fs::write(stage.join("said.log"), format!("{}\n  {}\n", &CANARY[..11], &CANARY[11..])).unwrap();
    refused("/said.log at byte 0, split over lines or pieces");
    fs::remove_file(stage.join("said.log")).unwrap();

    // A name on the box, and a file in several forms.
    own_folder(&path("overlays"));
    own_folder(&path("overlays/system"));
    let root = path("overlays/system/canary/root/etc");
    fs::create_dir_all(&root).unwrap();
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    for (name, text, place) in [
        ("plain.conf", format!("token {CANARY}"), "/etc/plain.conf at byte 6;"),
        ("hex.conf", hex, "/etc/hex.conf at byte 0, in hexadecimal;"),
        (CANARY, String::new(), "/etc/…, in a name;"),
    ] {
        fs::write(root.join(name), text).unwrap();
        refused(place);
        fs::remove_file(root.join(name)).unwrap();
    }
    fs::remove_dir_all(path("overlays/system/canary")).unwrap();

    // What a package brings, sealed in the base layer and packed besides.
    tiny.add_package("leaking");
    fs::remove_file(path("profiles/box.lock")).unwrap();
    refused("base layer/usr/share/doc/canary.gz (unpacked) at byte 6;");
}
