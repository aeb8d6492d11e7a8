//! What must not be in an image, since it differs from build to build or belongs to one machine alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Files that are removed. A `*` stands for any part of the last name.
const REMOVED: [&str; 27] = [
    // Of this machine.
    "etc/ssh/ssh_host_*",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    // Caches whose content depends on time or inode, and which are made again when they are missing.
    "var/cache/ldconfig/*",
    "var/cache/apt/*.bin",
    "var/cache/debconf/*-old",
    // Copies of what was there before the last change.
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "var/lib/dpkg/*-old",
    "var/lib/ucf/*.[0-9]",
    "var/backups/*",
    // Locks, which their owners make.
    "etc/.pwd.lock",
    "var/lib/dpkg/lock*",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/apt/lists/lock",
    "var/cache/apt/archives/lock",
    // Logs of the build.
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/fontconfig.log",
    "var/log/apt/*",
    // What somebody forgot.
    "var/tmp/*",
];

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Removes what must not be in the tree below `root`, and makes constant what has to be there. `time` is in seconds
/// since 1970.
pub(super) fn normalize(root: &Path, time: i64) -> Result<()> {
    for pattern in REMOVED {
        for path in matching(root, pattern)? {
            let removed = if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
    }
    empty_logs(&root.join("var/log"))?;
    // The first boot writes it.
    rewrite(&root.join("etc/machine-id"), |_| String::new())?;
    rewrite(&root.join("etc/shadow"), |text| with_day(text, time / DAY))
}

/// The files below `root` that match `pattern`.
fn matching(root: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let folder = root.join(folder);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        if is_like(&entry.file_name().to_string_lossy(), name) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether `name` matches `pattern`, which has at most one `*`; `[0-9]` at its end is any number.
fn is_like(name: &str, pattern: &str) -> bool {
    if let Some(start) = pattern.strip_suffix(".[0-9]") {
        return name
            .rsplit_once('.')
            .is_some_and(|(before, number)| number.parse::<u32>().is_ok() && is_like(before, start));
    }
    match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => name == pattern,
    }
}

/// Empties every file in `folder` and below: their owners and modes were set by packages.
fn empty_logs(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
        let metadata = fs::symlink_metadata(&path).with_context(|| format!("reading {}", path.display()))?;
        if metadata.is_dir() {
            empty_logs(&path)?;
        } else if metadata.is_file() && metadata.len() > 0 {
            fs::write(&path, "").with_context(|| format!("emptying {}", path.display()))?;
        }
    }
    Ok(())
}

/// Changes the content of the file at `path`, which keeps its mode and, for the record of owners, its inode.
fn rewrite(path: &Path, change: impl FnOnce(&str) -> String) -> Result<()> {
    let run = || {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::write(path, change(""))?;
                return fs::set_permissions(path, fs::Permissions::from_mode(0o444));
            }
            other => other?,
        };
        write_protected(path, &change(&text))
    };
    run().with_context(|| format!("rewriting {}", path.display()))
}

/// Replaces the content of the file at `path`, which keeps its mode and stays the same file: whoever records its owner does
/// so by its number. An ordinary user may have to make it writable for that moment.
fn write_protected(path: &Path, text: &str) -> std::io::Result<()> {
    match fs::write(path, text) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let mode = fs::metadata(path)?.permissions();
            let writable = std::os::unix::fs::PermissionsExt::mode(&mode) | 0o200;
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(writable))?;
            fs::write(path, text)?;
            fs::set_permissions(path, mode)
        }
        other => other,
    }
}

/// The text of `/etc/shadow`, every password having been changed last on `day`.
fn with_day(shadow: &str, day: i64) -> String {
    let mut text = String::new();
    for line in shadow.lines() {
        let mut fields: Vec<&str> = line.split(':').collect();
        let day = day.to_string();
        if let Some(changed) = fields.get_mut(2).filter(|changed| !changed.is_empty()) {
            *changed = &day;
        }
        text.push_str(&fields.join(":"));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (name, pattern, expected) in [
            ("lock", "lock*", true),
            ("lock-frontend", "lock*", true),
            ("status-old", "*-old", true),
            ("-old", "*-old", true),
            ("passwd", "passwd-", false),
            ("hashfile.3", "*.[0-9]", true),
            ("hashfile", "*.[0-9]", false),
            ("a.b", "*.[0-9]", false),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{name} {pattern}");
        }
    }

    #[test]
    fn only_set_days_are_changed() {
        let shadow = "root:*:20412:0:99999:7:::\nnew:!::0:::::\n";
        assert_eq!(with_day(shadow, 7), "root:*:7:0:99999:7:::\nnew:!::0:::::\n");
    }
}
