//! Several at once: two builds on one cache, and a build of an image that something else reads.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Stdio};

use boxwright::digest::Sha256;
use boxwright::vm::BoxDisk;

use crate::bench::{PROFILE, Run};
use crate::tiny::Tiny;

fn start(tiny: &Tiny, out: &str) -> Child {
    let mut command = tiny.project.command(&["build", "box", "--out", out]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn two_builds_on_one_cache_make_the_same() {
    let Some(tiny) = Tiny::new() else { return };
    tiny.project.run(&["lock", "box"]).fine();
    for outs in [["one", "two"], ["out", "out"]] {
        for stage in ["tools", "base", "profile"] {
            // A base takes its time, and is made in the first round alone.
            if stage != "base" || outs[0] == "one" {
                tiny.undo(stage);
            }
        }
        let both = outs.map(|out| start(&tiny, out));
        for child in both {
            Run::of(&child.wait_with_output().unwrap()).fine();
        }
        assert_eq!(tiny.leftovers(), [""; 0]);
    }
    let digest = |out: &str| Sha256::of_file(&tiny.project.path(out).join("attic.img")).unwrap();
    assert_eq!(digest("one"), digest("two"));
    assert_eq!(digest("one"), digest("out"));
    let bases = tiny.project.names("cache/base");
    assert_eq!(bases.iter().filter(|name| !name.ends_with(".lock")).count(), 1, "{bases:?}");
}

/// `boot` starts a copy, and a build gives a new file the name: neither whoever reads the old image nor a box that was
/// started from it notices anything.
#[test]
fn an_image_that_is_in_use_may_be_built_again() {
    let Some(tiny) = Tiny::new() else { return };
    let image = tiny.project.path(tiny.build().fine());
    let folder = tiny.project.path("machine");
    fs::create_dir(&folder).unwrap();
    let disk = BoxDisk::create(&image, &folder, 4 << 30).unwrap();
    let (reader, machine) = (File::open(&image).unwrap(), File::open(&disk.path).unwrap());
    let all = |file: &File, length: u64| {
        let mut bytes = vec![0; 1 << 20];
        let mut hasher = boxwright::digest::Hasher::new();
        for at in (0..length).step_by(bytes.len()) {
            let count = file.read_at(&mut bytes, at).unwrap();
            hasher.field("part", &bytes[..count]);
        }
        hasher.finish()
    };
    let length = reader.metadata().unwrap().len();
    let before = all(&reader, length);
    assert_eq!(all(&machine, length), before);
    tiny.project.write(&PROFILE.replacen("[box]", "[box]\ntimezone = \"Europe/Berlin\"", 1));
    tiny.build().fine();
    assert_ne!(all(&File::open(&image).unwrap(), length), before);
    assert_eq!(all(&reader, length), before);
    assert_eq!(all(&machine, length), before);
}
