//! `verify` builds an image again: the same comes out, and what somebody has changed is named.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use boxwright::disk::{self, Role};

use crate::bench::{PROFILE, names};
use crate::tiny::Tiny;

#[test]
fn an_image_is_built_again_and_what_was_changed_is_named() {
    let Some(tiny) = Tiny::new() else { return };
    let image = tiny.project.path(tiny.build().fine());
    let before = names(&tiny.project.path("cache/base"));
    let verify = ["verify", "out/attic.img", "--profile", "box"];
    let run = tiny.project.run(&verify);
    assert_eq!(run.fine(), "out/attic.img: identical");
    // It was made again, not taken from where the first one came from.
    assert!(
        run.stderr.contains("unpacking tools") && run.stderr.contains("making the initrd"),
        "{}",
        run.stderr
    );
    assert_eq!(names(&tiny.project.path("cache/base")), before);
    assert_eq!(tiny.project.names("cache/verify"), [""; 0]);

    replace_on_esp(&image, b"timeout 0\n", b"timeout 9\n");
    let run = tiny.project.run(&verify);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let expected = "out/attic.img is not what comes out when it is built again\n\
        esp, made by the stage `boot`\n  \
        /loader/loader.conf: content from byte 8 on: 39 0a 65 64 69 74 6f 72 20 6e 6f 0a 61 75 74 6f `9.editor no.auto`, \
        30 0a 65 64 69 74 6f 72 20 6e 6f 0a 61 75 74 6f `0.editor no.auto`\n";
    assert_eq!(run.stdout, expected);
    assert!(run.stderr.contains("it was changed after it was built"), "{}", run.stderr);

    // Without the manifest the image says itself what of it is another now.
    fs::remove_file(image.with_extension("manifest.json")).unwrap();
    let lock = fs::read_to_string(image.with_extension("lock")).unwrap();
    fs::write(image.with_extension("lock"), lock.replacen("\nversion = ", "\nversion = 1", 1)).unwrap();
    tiny.project.write(&PROFILE.replacen("[box]", "[box]\ntimezone = \"Europe/Berlin\"", 1));
    let run = tiny.project.run(&verify);
    assert!(run.code == Some(1) && run.stdout.contains("profile_"), "{}{}", run.stdout, run.stderr);
    for said in [
        "out/attic.lock is not the lock in the image",
        "this is not what the image was made from: the profile changed since",
    ] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
}

/// Puts `new` in the place of `old`, which is on the ESP of the image once or first.
fn replace_on_esp(image: &Path, old: &[u8], new: &[u8]) {
    let start = disk::read(image).unwrap().layout.find(Role::Esp).unwrap().start;
    let file = File::options().read(true).write(true).open(image).unwrap();
    let mut bytes = vec![0; 64 << 20];
    file.read_exact_at(&mut bytes, start).unwrap();
    let at = bytes.windows(old.len()).position(|part| part == old).unwrap() as u64;
    file.write_all_at(new, start + at).unwrap();
}

/// The image says what it was made from; what lies beside it is for images that do not.
#[test]
fn an_image_alone_is_built_again_and_one_that_says_nothing_needs_what_lay_beside() {
    let Some(tiny) = Tiny::new() else { return };
    let built = tiny.project.path(tiny.build().fine());
    fs::create_dir(tiny.project.path("alone")).unwrap();
    let image = tiny.project.path("alone/attic.img");
    fs::rename(&built, &image).unwrap();
    let verify = ["verify", "alone/attic.img", "--profile", "box"];
    // Another lock beside it is not asked.
    fs::write(image.with_extension("lock"), "no lock").unwrap();
    assert_eq!(tiny.project.run(&verify).fine(), "alone/attic.img: identical");
    fs::remove_file(image.with_extension("lock")).unwrap();

    // As an older program has left it: without the folder. Then as one that cannot be read.
    for (old, new, said) in [
        (&b"RELEASES   \x10"[..], &b"RELEASEZ   \x10"[..], "says in nothing that this program knows"),
        (b"RELEASEZ   \x10", b"RELEASES   \x10", ""),
        (b"{\"schema\":1,", b"{\"schema\":7,", "in schema 7"),
    ] {
        replace_on_esp(&image, old, new);
        if !said.is_empty() {
            tiny.project.run(&verify).refused(1, &[said]);
        }
    }
    let beside = |extension: &str| {
        fs::copy(built.with_extension(extension), image.with_extension(extension)).unwrap();
    };
    replace_on_esp(&image, b"RELEASES   \x10", b"RELEASEZ   \x10");
    tiny.project.run(&verify).refused(1, &["alone/attic.manifest.json is missing", "put what was built"]);
    beside("manifest.json");
    tiny.project.run(&verify).refused(1, &["alone/attic.lock is missing", "put what was built"]);
    replace_on_esp(&image, b"RELEASEZ   \x10", b"RELEASES   \x10");
    tiny.project.run(&verify).refused(1, &["in schema 7", "use the Boxwright that built it"]);
    beside("lock");
    let run = tiny.project.run(&verify);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("what lies beside the image is believed instead"), "{}", run.stderr);
    assert!(run.stdout.contains(".json: content from byte 10 on: 37 2c"), "{}", run.stdout);
    assert_eq!(run.stdout.lines().count(), 3, "nothing else differs:\n{}", run.stdout);

    fs::write(&image, vec![0; 1 << 20]).unwrap();
    tiny.project.run(&verify).refused(1, &["no image of Boxwright's"]);
}
