//! A package whose script changes a file that was packed before it ran: the build says so, starts again, and packs late.

use boxwright::build::{lock_of, locking};
use boxwright::disk::{self, Role};
use boxwright::lock;

use crate::built;
use crate::tiny::Tiny;

#[test]
fn a_file_that_was_packed_too_early_is_packed_again() {
    let Some(tiny) = Tiny::new() else { return };
    tiny.add_package("meddler");
    let run = tiny.build();
    let image = tiny.project.path(run.fine());
    let said = "a maintainer script has changed /usr/bin/";
    assert!(run.stderr.contains(said) && run.stderr.contains("starting again"), "{}", run.stderr);
    assert_eq!(tiny.leftovers(), [""; 0]);

    let start = disk::read(&image).unwrap().layout.find(Role::Base).unwrap().start;
    let lock = lock::load(&lock_of(&built::locked("minimal").unwrap())).unwrap().unwrap();
    let tools = locking::tools(&lock, &built::context()).unwrap();
    let print = tools.tool("unsquashfs").unwrap().arg("-o").arg(start.to_string()).arg("-cat").arg(image);
    assert_eq!(print.arg("usr/share/doc/libkmod2/copyright").output().unwrap(), b"changed\n");
}
