//! Disks that are full, and folders that cannot be written: said at once where it can be known, with what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::bench::Run;
use crate::tiny::Tiny;

/// An id that no account of a usual system has.
const USER: u32 = 60_123;

/// Runs `script` in mounts of its own; `$BOX` in it is the program with the cache, as everywhere. None where only root
/// could do that.
fn with_mounts(tiny: &Tiny, script: &str) -> Option<Run> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can mount");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "/bin/sh", "-euc"]).arg(script).current_dir(tiny.project.path(""));
    command.env("BOX", format!("{} --cache cache", crate::built::PROGRAM));
    Some(Run::of(&command.output().unwrap()))
}

/// What a full disk is answered with.
const FULL: [&str; 3] = ["No space left on device", "free some space", "--out"];

#[test]
fn no_space_for_the_image() {
    let Some(tiny) = Tiny::new() else { return };
    let script = "mount -t tmpfs -o size=100m none out
        $BOX build box || { code=$?; ls -A out; mount -o remount,size=800m out; $BOX -q build box >&2; exit $code; }";
    let Some(run) = with_mounts(&tiny, script) else { return };
    run.refused(2, &FULL);
    run.refused(2, &["out/attic.img"]);
}

#[test]
fn no_space_in_the_cache() {
    let Some(tiny) = Tiny::new() else { return };
    tiny.undo("tools");
    fs::create_dir(tiny.project.path("cache/tools")).unwrap();
    tiny.forget("dosfstools");
    for (folder, size) in [("partial", "64k"), ("tools", "4m"), ("profile", "16k")] {
        // The profile layer is another one each time.
        tiny.undo("profile");
        fs::create_dir_all(tiny.project.path("cache").join(folder)).unwrap();
        let script = format!("mount -t tmpfs -o size={size} none cache/{folder}; $BOX build box");
        let Some(run) = with_mounts(&tiny, &script) else { return };
        run.refused(2, &FULL);
        run.refused(2, &["cache"]);
        assert_eq!(tiny.project.names("out"), [""; 0]);
        if folder != "profile" {
            // So that the next folder is reached; `out` is to be empty again.
            tiny.image();
            if folder == "partial" {
                tiny.undo("tools");
                fs::create_dir(tiny.project.path("cache/tools")).unwrap();
            }
        }
    }
    tiny.build().fine();
    assert_eq!(tiny.leftovers(), [""; 0]);
}

/// The folder of the base layer is the one that needs the most.
#[test]
fn no_space_for_the_root_filesystem() {
    let Some(tiny) = Tiny::new() else { return };
    let script = "mount -t tmpfs -o size=60m none cache/base
        $BOX build box || { code=$?; ls -A cache/base | grep -v lock$ || :; umount cache/base; $BOX -q build box >&2; exit $code; }";
    let Some(run) = with_mounts(&tiny, script) else { return };
    run.refused(2, &FULL);
    run.refused(2, &["cache/base"]);
}

#[test]
fn a_read_only_disk() {
    let Some(tiny) = Tiny::new() else { return };
    // It is known before anything is made.
    tiny.undo("profile");
    let script = "mount -t tmpfs -o ro none out
        $BOX build box || { code=$?; umount out; [ ! -e cache/profile ]; $BOX -q build box >&2; exit $code; }";
    let Some(run) = with_mounts(&tiny, script) else { return };
    run.refused(2, &["putting the image into out", "Read-only file system", "--out"]);
    tiny.undo("profile");
    let script = "mount --bind cache cache; mount -o remount,ro,bind cache; touch -c profiles; rm out/*; $BOX build box";
    let Some(run) = with_mounts(&tiny, script) else { return };
    run.refused(2, &["cache", "Read-only file system", "--cache"]);
    tiny.build().fine();
}

#[test]
fn a_folder_of_somebody_else() {
    let Some(tiny) = Tiny::new() else { return };
    tiny.build().fine();
    let folder = tiny.project.path("closed");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(tiny.project.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = tiny.project.command(&["build", "box", "--out", "closed"]);
    if rustix::process::geteuid().is_root() {
        let reachable = tiny.project.path("").ancestors().all(|folder| {
            fs::metadata(folder).is_ok_and(|folder| folder.permissions().mode() & 0o005 == 0o005)
        });
        if !reachable {
            eprintln!("SKIPPED: an ordinary user cannot read the checkout");
            return;
        }
        command.uid(USER).gid(USER);
    }
    let run = Run::of(&command.output().unwrap());
    run.refused(2, &["putting the image into closed", "Permission denied", "name another folder with --out"]);
    tiny.project.run(&["build", "box", "--out", "open"]).fine();
}
