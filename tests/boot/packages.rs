//! Packages for a running box: those of its lock, and small ones that the tests make.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use boxwright::build::lock_of;
use boxwright::fetch::Cache;
use boxwright::lock;
use rayon::prelude::*;

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

/// The packages of the lock by name, not compressed: decompressing them would take an emulated processor minutes, and it is
/// not what is tried.
pub fn locked(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    let lock = lock::load(&lock_of(bench.image())).unwrap().unwrap();
    let cache = Cache::open(&crate::built::context().cache).unwrap();
    let file = |package: &lock::Package| {
        let name = format!("{}_{}.deb", package.name, package.architecture);
        (name, uncompressed(&cache.object(&package.sha256)))
    };
    lock.packages.par_iter().map(file).collect()
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

/// The package at `path` with its two archives as they are before they are compressed; see deb(5).
fn uncompressed(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut out = bytes[..8].to_vec();
    let mut rest = &bytes[8..];
    while rest.len() >= 60 {
        let (header, body) = rest.split_at(60);
        let size: usize = std::str::from_utf8(&header[48..58]).unwrap().trim().parse().unwrap();
        let name = std::str::from_utf8(&header[..16]).unwrap().trim();
        let mut content = Vec::new();
        let name = if let Some(name) = name.strip_suffix(".xz") {
            liblzma::read::XzDecoder::new(&body[..size]).read_to_end(&mut content).unwrap();
            name
        } else {
            content.extend(&body[..size]);
            name
        };
        writeln!(out, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, content.len()).unwrap();
        out.extend(&content);
        out.extend(vec![b'\n'; content.len() % 2]);
        rest = &body[(size + size % 2).min(body.len())..];
    }
    out
}
