//! `verify` builds an image again: the same comes out, and what somebody has changed is named.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use boxwright::disk::{self, Role};

use crate::bench::names;
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

    let start = disk::read(&image).unwrap().layout.find(Role::Esp).unwrap().start;
    let file = File::options().read(true).write(true).open(&image).unwrap();
    let mut bytes = vec![0; 64 << 20];
    file.read_exact_at(&mut bytes, start).unwrap();
    let at = bytes.windows(10).position(|part| part == b"timeout 0\n").unwrap() as u64;
    file.write_all_at(b"timeout 9\n", start + at).unwrap();
    let run = tiny.project.run(&verify);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let expected = "out/attic.img is not what comes out when it is built again\n\
        esp, made by the stage `boot`\n  \
        /loader/loader.conf: content from byte 8 on: 39 0a 65 64 69 74 6f 72 20 6e 6f 0a 61 75 74 6f `9.editor no.auto`, \
        30 0a 65 64 69 74 6f 72 20 6e 6f 0a 61 75 74 6f `0.editor no.auto`\n";
    assert_eq!(run.stdout, expected);
    assert!(run.stderr.contains("it was changed after it was built"), "{}", run.stderr);
}

#[test]
fn an_image_without_what_it_was_made_from_is_refused() {
    let Some(tiny) = Tiny::new() else { return };
    let image = tiny.project.path(tiny.build().fine());
    std::fs::rename(image.with_extension("lock"), image.with_extension("kept")).unwrap();
    let verify = ["verify", "out/attic.img", "--profile", "box"];
    tiny.project.run(&verify).refused(1, &["out/attic.lock is missing"]);
    std::fs::remove_file(image.with_extension("manifest.json")).unwrap();
    tiny.project.run(&verify).refused(1, &["out/attic.manifest.json is missing"]);
    std::fs::write(&image, vec![0; 1 << 20]).unwrap();
    tiny.project.run(&verify).refused(1, &["no image of Boxwright's"]);
}
