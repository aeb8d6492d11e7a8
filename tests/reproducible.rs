//! Two builds of one lock are the same bytes: another folder, user, umask, time zone, locale, and one thread.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

#[path = "support/built.rs"]
mod built;

use std::fs;
use std::io::{BufReader, Read as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use boxwright::build::{lock_of, locking};
use boxwright::disk;
use boxwright::lock;
use boxwright::tool::Tool;
use boxwright::tools::Tools;

/// An id that no account of a usual system has.
const USER: u32 = 60_123;

/// Copies the folder `from` and gives everything in it to [`USER`].
fn give(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            give(&entry.path(), &target);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), &target).unwrap();
        } else {
            fs::copy(entry.path(), &target).unwrap();
            chown(&target, Some(USER), Some(USER)).unwrap();
        }
    }
    chown(to, Some(USER), Some(USER)).unwrap();
}

/// Where `a` and `b` differ first, in the words of the partition table and of the filesystem in it.
fn difference(a: &Path, b: &Path, tools: &Tools) -> Option<String> {
    let [mut left, mut right] = [a, b].map(|path| BufReader::new(fs::File::open(path).unwrap()));
    let mut offset = 0_u64;
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = left.read(&mut one).unwrap();
        if count == 0 {
            let more = right.read(&mut other).unwrap();
            return (more > 0).then(|| format!("the second is longer than {offset} bytes"));
        }
        if right.read_exact(&mut other[..count]).is_err() {
            return Some(format!("the second is shorter than {} bytes", offset + count as u64));
        }
        if let Some(index) = (0..count).find(|&index| one[index] != other[index]) {
            offset += index as u64;
            break;
        }
        offset += count as u64;
    }
    let layout = disk::read(a).unwrap().layout;
    let inside = |part: &&disk::Partition| (part.start..part.start + part.length).contains(&offset);
    let Some(part) = layout.partitions.iter().find(inside) else {
        return Some(format!("byte {offset}, in the partition table"));
    };
    let listing = |path: &Path| {
        let list =
            tools.tool("unsquashfs").unwrap().args(["-lln", "-o"]).arg(part.start.to_string()).arg(path);
        String::from_utf8_lossy(&list.output().unwrap_or_default()).into_owned()
    };
    let [first, second] = [listing(a), listing(b)];
    let lines = first.lines().zip(second.lines()).filter(|(one, other)| one != other).take(20);
    let files: Vec<String> = lines.map(|(one, other)| format!("\n  {one}\n  {other}")).collect();
    Some(format!("byte {} of {}{}", offset - part.start, part.name, files.concat()))
}

#[test]
fn another_user_folder_umask_zone_locale_and_one_thread_make_the_same_bytes() {
    let Some(first) = built::minimal() else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can build as another user");
        return;
    }
    let elsewhere = tempfile::Builder::new().prefix("a folder ").tempdir().unwrap();
    let root = elsewhere.path();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["overlays", "firmware"] {
        give(&project.join(folder), &root.join(folder));
    }
    give(&built::folder().join("cache/objects"), &root.join("cache/objects"));
    chown(root.join("cache"), Some(USER), Some(USER)).unwrap();
    fs::copy(built::PROGRAM, root.join("boxwright")).unwrap();
    fs::create_dir(root.join("profiles")).unwrap();
    fs::copy(project.join("profiles/minimal.toml"), root.join("profiles/minimal.toml")).unwrap();
    fs::copy(lock_of(first), root.join("profiles/minimal.lock")).unwrap();
    chown(root.join("profiles"), Some(USER), Some(USER)).unwrap();
    chown(root, Some(USER), Some(USER)).unwrap();

    // A PATH with nothing in it: no program of the host is used.
    let build = "umask 077; PATH=/nonexistent exec ./boxwright --offline --jobs 1 --cache cache build profiles/minimal.toml";
    let drop = format!("setpriv --reuid {USER} --regid {USER} --clear-groups /bin/sh -c '{build}'");
    let built = Tool::new("unshare")
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("HOME", "/nonexistent")
        .args(["--uts", "/bin/sh", "-c"])
        .arg(format!("echo elsewhere >/proc/sys/kernel/hostname; exec {drop}"))
        .current_dir(root)
        .output();
    let printed = String::from_utf8(built.unwrap_or_else(|error| panic!("{error:#}"))).unwrap();
    let second = root.join(printed.trim());

    let lock = lock::load(&lock_of(first)).unwrap().unwrap();
    let tools = locking::tools(&lock, &built::context()).unwrap();
    if let Some(difference) = difference(first, &second, &tools) {
        panic!("two builds of one lock differ: {difference}");
    }
}
