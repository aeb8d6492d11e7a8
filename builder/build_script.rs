//! Build script: digests of the program's own sources, so that cached results made by other code are not taken.
//!
//! `BOXWRIGHT_SOURCES_BASE` covers what makes the base layer, the kernel's files and the tools tree;
//! `BOXWRIGHT_SOURCES_ALL` covers everything. Both are hexadecimal FNV-1a sums over sorted paths and contents.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "so a build script talks with cargo")]

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What the base layer depends on; a change elsewhere must not rebuild it.
const BASE: [&str; 9] = [
    "boot/initrd.rs",
    "debian/deb.rs",
    "digest.rs",
    "layers",
    "rootfs",
    "sandbox.rs",
    "tool.rs",
    "tools",
    "tree",
];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("builder");
    println!("cargo::rerun-if-changed=builder");
    let base: Vec<PathBuf> = BASE.iter().map(|name| root.join(name)).collect();
    println!("cargo::rustc-env=BOXWRIGHT_SOURCES_BASE={:016x}", digest(&root, &base)?);
    println!("cargo::rustc-env=BOXWRIGHT_SOURCES_ALL={:016x}", digest(&root, std::slice::from_ref(&root))?);
    Ok(())
}

fn digest(root: &Path, parts: &[PathBuf]) -> io::Result<u64> {
    let mut files = Vec::new();
    for part in parts {
        collect(part, &mut files)?;
    }
    files.sort();
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for file in files {
        let name = file.strip_prefix(root).map_err(io::Error::other)?;
        add(name.as_os_str().as_encoded_bytes());
        let text = fs::read(&file)?;
        add(&(text.len() as u64).to_le_bytes());
        add(&text);
    }
    Ok(sum)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        files.push(path.to_owned());
    }
    Ok(())
}
