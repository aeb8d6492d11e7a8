//! Two file trees in, the files that differ out: mode, owner, and a unified diff of text.

use std::collections::BTreeSet;

use similar::TextDiff;

use super::{FileChange, FileState};
use crate::tree::{Entry, Kind, Tree};

/// How many equal lines stand around a change.
const CONTEXT: usize = 3;

pub(super) fn compare(old: &Tree, new: &Tree) -> Vec<FileChange> {
    let paths: BTreeSet<&str> = old.iter().chain(new.iter()).map(|(path, _)| path).collect();
    paths.into_iter().filter_map(|path| change(path, old.get(path), new.get(path))).collect()
}

fn change(path: &str, old: Option<&Entry>, new: Option<&Entry>) -> Option<FileChange> {
    let folder = |entry: &Entry| entry.kind == Kind::Dir;
    // A folder that comes or goes does so with what is in it.
    let nothing = match (old, new) {
        (Some(entry), None) | (None, Some(entry)) => folder(entry),
        _ => old == new,
    };
    if nothing {
        return None;
    }
    Some(FileChange {
        path: path.to_owned(),
        old: old.map(state),
        new: new.map(state),
        diff: diff(path, old, new),
    })
}

fn state(entry: &Entry) -> FileState {
    let (kind, size, target) = match &entry.kind {
        Kind::Dir => ("folder", None, None),
        Kind::File(bytes) => ("file", Some(bytes.len() as u64), None),
        Kind::Symlink(target) => ("link", None, Some(target.clone())),
    };
    FileState {
        kind,
        mode: format!("{:04o}", entry.mode),
        owner: format!("{}:{}", entry.uid, entry.gid),
        size,
        target,
    }
}

/// The unified diff as git writes it, with `/dev/null` for what is not there; none where there is no text to compare.
fn diff(path: &str, old: Option<&Entry>, new: Option<&Entry>) -> Option<String> {
    let (before, after) = (text(old)?, text(new)?);
    if before == after {
        return None;
    }
    let name = |entry: Option<&Entry>, side: &str| match entry {
        Some(entry) if matches!(entry.kind, Kind::File(_)) => format!("{side}/{path}"),
        _ => "/dev/null".to_owned(),
    };
    let lines = TextDiff::from_lines(before, after);
    let mut unified = lines.unified_diff();
    Some(unified.context_radius(CONTEXT).header(&name(old, "a"), &name(new, "b")).to_string())
}

/// The text of a file; nothing for what is not there or no file, and none for what is no text.
fn text(entry: Option<&Entry>) -> Option<&str> {
    match entry.map(|entry| &entry.kind) {
        Some(Kind::File(bytes)) => std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')),
        _ => Some(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, u32, &[u8])]) -> Tree {
        let mut tree = Tree::new();
        for (path, mode, content) in files {
            tree.insert_file(path, *mode, *content).unwrap();
        }
        tree
    }

    #[test]
    fn text_is_compared_by_line_and_all_else_as_a_whole() {
        let old = tree(&[
            ("etc/a", 0o644, b"one\ntwo\n"),
            ("etc/b", 0o644, b"gone\n"),
            ("etc/c", 0o644, b"\x00\xff"),
            ("etc/d", 0o644, b"same\n"),
            ("etc/e", 0o644, b"same\n"),
        ]);
        let new = tree(&[
            ("etc/a", 0o644, b"one\n2\n"),
            ("etc/c", 0o644, b"\x00\xfe\xfe"),
            ("etc/d", 0o755, b"same\n"),
            ("etc/e", 0o644, b"same\n"),
        ]);
        let found = compare(&old, &new);
        let paths: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["etc/a", "etc/b", "etc/c", "etc/d"]);
        let diffs: Vec<Option<&str>> = found.iter().map(|file| file.diff.as_deref()).collect();
        let expected = [
            Some("--- a/etc/a\n+++ b/etc/a\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"),
            Some("--- a/etc/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n"),
            None,
            None,
        ];
        assert_eq!(diffs, expected);
        assert_eq!(found[3].new.as_ref().unwrap().mode, "0755");
        assert_eq!(found[2].new.as_ref().unwrap().size, Some(3));
    }
}
