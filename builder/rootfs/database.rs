//! dpkg's database for packages that have been unpacked and not configured, as dpkg itself would have written it.
//!
//! The layout is that of `info/format` 1: see dpkg's doc/ and deb-triggers(5).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::package::{Package, absolute};

/// The database in a root filesystem.
pub(super) const DATABASE: &str = "var/lib/dpkg";

/// Parts of the control archive that dpkg does not keep as files.
const NOT_KEPT: [&str; 1] = ["control"];

/// The folders of an empty database.
const FOLDERS: [&str; 5] = ["alternatives", "info", "parts", "triggers", "updates"];

/// Writes the database of `packages` below `root`, whose own architecture is `architecture`.
pub(super) fn write(root: &Path, packages: &[Package<'_>], architecture: &str) -> Result<()> {
    let database = root.join(DATABASE);
    let put = |path: PathBuf, bytes: &[u8], mode: u32| -> Result<()> {
        fs::write(&path, bytes)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .with_context(|| format!("writing {}", path.display()))
    };
    for folder in FOLDERS {
        let folder = database.join(folder);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("creating {}", folder.display()))?;
    }
    put(database.join("arch"), format!("{architecture}\n").as_bytes(), 0o644)?;
    put(database.join("info/format"), b"1\n", 0o644)?;
    for empty in ["available", "diversions", "statoverride"] {
        put(database.join(empty), b"", 0o644)?;
    }
    let mut status = String::new();
    for package in packages {
        let base = database.join("info").join(package.info_name());
        let info = |extension: &str| PathBuf::from(format!("{}.{extension}", base.display()));
        for (name, file) in &package.files {
            if !NOT_KEPT.contains(&name.as_str()) {
                let mode = if file.mode & 0o111 == 0 { 0o644 } else { 0o755 };
                put(info(name), &file.content, mode)?;
            }
        }
        put(info("list"), &list(package), 0o644)?;
        status.push_str(&stanza(package));
    }
    put(database.join("status"), status.as_bytes(), 0o644)?;
    for (name, lines) in triggers(packages) {
        put(database.join("triggers").join(name), lines.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// The list of what `package` owns, one path a line; the root is `/.`.
fn list(package: &Package<'_>) -> Vec<u8> {
    let mut list = Vec::new();
    for path in &package.list {
        list.extend(if path.as_os_str().is_empty() { b"/.".to_vec() } else { absolute(path) });
        list.push(b'\n');
    }
    list
}

/// The paragraph of an unpacked package in the status file.
fn stanza(package: &Package<'_>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    for (name, value) in package.control.iter() {
        let _ = writeln!(text, "{name}: {value}");
        if name.eq_ignore_ascii_case("Package") {
            text.push_str("Status: install ok unpacked\n");
        }
    }
    let mut conffiles = package.conffile_lines().peekable();
    if conffiles.peek().is_some() {
        text.push_str("Conffiles:\n");
        for (path, flag) in conffiles {
            let line =
                format!(" {} newconffile {}", String::from_utf8_lossy(path), String::from_utf8_lossy(flag));
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text.push('\n');
    text
}

/// The files of the folder `triggers`: who is interested in what. `File` is for paths, all others are named triggers.
fn triggers(packages: &[Package<'_>]) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::from([("File".into(), String::new())]);
    for package in packages {
        let Some(file) = package.files.get("triggers") else { continue };
        for line in String::from_utf8_lossy(&file.content).lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let options = match words.next() {
                Some("interest" | "interest-await") => "",
                Some("interest-noawait") => "/noawait",
                _ => continue,
            };
            let Some(trigger) = words.next() else { continue };
            let interested = format!("{}{options}", package.info_name());
            if trigger.starts_with('/') {
                let _ = writeln!(files.entry("File".into()).or_default(), "{trigger} {interested}");
            } else {
                let _ = writeln!(files.entry(trigger.into()).or_default(), "{interested}");
            }
        }
    }
    files
}
