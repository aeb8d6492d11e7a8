//! Small packages that the tests make for a running box.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::Bench;
use crate::publisher::{self, Deb, Key, Suite};

/// A package that nothing needs while a box runs.
pub const SPARE: &str = "runit-helper";

/// The file of a package `name` that is newer than any other and has nothing in it that anyone needs.
pub fn newest(name: &'static str) -> Vec<u8> {
    let debs = [publisher::deb(name, "99", "")];
    let suite = Suite { name: "any", codename: "any", by_hash: false, components: &[("main", &debs)] };
    let mut files = publisher::publish(&suite, &Key::make(), |release| release);
    files.remove(&format!("/{}", Deb::path(&debs[0]))).unwrap()
}

/// A disk with `files`, by their names.
pub fn disk(bench: &Bench, files: &[(impl AsRef<Path>, Vec<u8>)]) -> PathBuf {
    let folder = tempfile::tempdir_in(crate::built::folder()).unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let target = bench.path("packages.squashfs");
    let tool = bench.tools().tool("mksquashfs").unwrap().arg(folder.path()).arg(&target);
    tool.args(["-noI", "-noD", "-noF", "-noX", "-no-progress", "-quiet"]).run().unwrap();
    target
}
