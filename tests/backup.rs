//! Backups: the box's own program on a box's root filesystem, with the real Kopia, to a real S3 server, a disk, and a real sshd.
//!
//! It needs root (for namespaces), python3, go, and a root filesystem as tests/on_a_root.rs does. Without one of these it is
//! skipped, and says so.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

#[path = "support/built.rs"]
mod built;
#[path = "support/go.rs"]
mod go;
#[allow(dead_code, reason = "not all of it is used here")]
#[path = "support/profiles.rs"]
mod profiles;

use std::fs;
use std::path::PathBuf;

use boxwright::tool::Tool;

/// Kopia in the version that boxes run, and the server, in one folder.
fn tools(profile: &boxwright::check::CheckedProfile) -> Option<tempfile::TempDir> {
    let kopia = go::writer_of_backups(profile.catalog())?;
    let s3 = go::s3_server()?;
    let folder = tempfile::tempdir().unwrap();
    fs::copy(kopia, folder.path().join("kopia")).unwrap();
    fs::copy(s3, folder.path().join("s3")).unwrap();
    Some(folder)
}

#[test]
fn what_is_lost_comes_back() {
    on_box("profile.toml", "scenarios.py");
}

#[test]
fn a_new_disk_brings_everything_back_or_says_why_not() {
    on_box("profile.toml", "recovery.py");
}

#[test]
fn a_missing_disk_keeps_no_database_from_coming_back() {
    on_box("on_a_disk.toml", "missing_disk.py");
}

#[test]
fn the_backup_that_is_meant_is_taken_and_stale_ones_are_told() {
    on_box("profile.toml", "decisions.py");
}

#[test]
fn maintenance_is_the_boxs_own_and_renews_locks() {
    on_box("profile.toml", "maintenance.py");
}

#[test]
fn a_server_over_sftp_is_known_before_it_gets_anything() {
    on_box("over_sftp.toml", "over_sftp.py");
}

/// Runs scenarios of tests/backup in namespaces of their own, on the box of a profile there.
fn on_box(profile: &str, scenarios: &str) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can make these namespaces");
        return;
    }
    let path: PathBuf = profiles::project().join("tests/backup").join(profile);
    let Some(root) = built::root() else { return };
    let Some(tools) = tools(&profiles::checked(&path)) else { return };
    let rendered = tempfile::tempdir().unwrap();
    profiles::rendered_at(&path).write_to(&rendered.path().join("tree")).unwrap();
    let run = Tool::new("python3")
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .arg(profiles::project().join("tests/backup/on_box.py"))
        .args([root.as_path(), &rendered.path().join("tree"), tools.path()])
        .arg(scenarios)
        .output();
    if let Err(error) = run {
        panic!("{error:#}");
    }
}
