//! A [`Difference`] as lines for a person: `+` is new, `-` is gone, `~` is another; files as unified diffs.

use std::fmt::Write as _;

use super::sections::{Row, file, sections};
use super::{Difference, FileChange};

/// The whole report. Writing into a String cannot fail.
pub fn text(difference: &Difference) -> String {
    let mut text = format!("{} → {}\n", difference.old, difference.new);
    if !difference.differs {
        text.push_str("no differences\n");
    }
    for section in sections(difference) {
        _ = writeln!(text, "\n{}", section.title);
        for row in &section.rows {
            _ = writeln!(text, "  {}", line(row));
        }
    }
    if !difference.files.is_empty() {
        text.push_str("\nfiles\n");
        for change in &difference.files {
            _ = writeln!(text, "  {}", line(&file(change)));
        }
    }
    for diff in difference.files.iter().filter_map(|change: &FileChange| change.diff.as_ref()) {
        _ = write!(text, "\n{diff}");
    }
    if !difference.not_compared.is_empty() {
        text.push_str("\nnot compared\n");
    }
    for sentence in &difference.not_compared {
        _ = writeln!(text, "  {sentence}");
    }
    text
}

/// What of a lock moved, a line each: packages and container images with what they are part of.
pub fn moved(difference: &Difference) -> Vec<String> {
    lines(difference, &["packages", "container images"])
}

/// What of the project is another than the old lock was written for, a line each: the program, keys and folders.
pub fn sources(difference: &Difference) -> Vec<String> {
    lines(difference, &["sources"])
}

fn lines(difference: &Difference, shown: &[&str]) -> Vec<String> {
    let sections = sections(difference).into_iter().filter(|section| shown.contains(&section.title));
    sections.flat_map(|section| section.rows).map(|row| line(&row)).collect()
}

fn line(row: &Row) -> String {
    let values = match (&row.old, &row.new) {
        (Some(old), Some(new)) if old == new => old.clone(),
        (Some(old), Some(new)) => format!("{old} → {new}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => String::new(),
    };
    let note = if row.note.is_empty() { String::new() } else { format!(" ({})", row.note) };
    format!("{} {} {values}{note}", row.sign(), row.name).trim_end().to_owned()
}
