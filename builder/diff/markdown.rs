//! A [`Difference`] as Markdown for a comment on a merge request: what GitHub, GitLab and Forgejo show alike.
//!
//! GitHub takes comments of up to 65536 characters. What does not fit is counted and left out: diffs of files first.

use std::fmt::Write as _;

use super::sections::{Row, Section, file, sections};
use super::{Difference, FileChange};

/// How many bytes a comment may have. A byte is at most one character, and the rest is room for what CI adds.
const LONGEST: usize = 60_000;

/// How many of them tables may take.
const TABLES: usize = 40_000;

/// Where to see what was left out.
const ELSEWHERE: &str = "`boxwright diff` without `--markdown` shows all of it.";

/// More rows than these are folded.
const FOLDED: usize = 15;

/// The whole comment. Writing into a String cannot fail.
pub fn markdown(difference: &Difference) -> String {
    let mut text =
        format!("### {} → {}\n\n{}\n", code(&difference.old), code(&difference.new), summary(difference));
    for section in sections(difference) {
        table(&section, &mut text);
    }
    if !difference.files.is_empty() {
        let rows = difference.files.iter().map(file).collect();
        table(&Section { title: "files", rows }, &mut text);
    }
    let mut end = String::new();
    if !difference.not_compared.is_empty() {
        end.push_str("\n**Not compared**\n\n");
        for sentence in &difference.not_compared {
            _ = writeln!(end, "- {sentence}");
        }
    }
    diffs(difference, LONGEST.saturating_sub(end.len()), &mut text);
    text.push_str(&end);
    text
}

/// One line with a number for each subject.
fn summary(difference: &Difference) -> String {
    if !difference.differs {
        return "No differences.".to_owned();
    }
    let mut parts: Vec<String> = sections(difference)
        .iter()
        .map(|section| format!("{} ({})", section.title, section.rows.len()))
        .collect();
    if !difference.files.is_empty() {
        parts.push(format!("files ({})", difference.files.len()));
    }
    format!("What differs: {}.", parts.join(", "))
}

/// Adds a table, as long as `text` stays below [`TABLES`] bytes.
fn table(section: &Section, text: &mut String) {
    let folded = section.rows.len() > FOLDED;
    if folded {
        _ = writeln!(text, "\n<details><summary><b>{}</b> ({})</summary>", section.title, section.rows.len());
    } else {
        _ = writeln!(text, "\n**{}**", section.title);
    }
    let notes = section.rows.iter().any(|row| !row.note.is_empty());
    let (head, rule) =
        if notes { ("| | | old | new | |", "|-|-|-|-|-|") } else { ("| | | old | new |", "|-|-|-|-|") };
    _ = writeln!(text, "\n{head}\n{rule}");
    let mut left_out = 0;
    for line in section.rows.iter().map(|row| cells(row, notes)) {
        if text.len() + line.len() < TABLES {
            _ = writeln!(text, "{line}");
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        _ = writeln!(text, "\nToo long for a comment: {left_out} more. {ELSEWHERE}");
    }
    if folded {
        text.push_str("\n</details>\n");
    }
}

fn cells(row: &Row, notes: bool) -> String {
    let value = |value: &Option<String>| value.as_deref().map(cell).unwrap_or_default();
    let mut line = format!(
        "| {} | {} | {} | {} |",
        code(&row.sign().to_string()),
        cell(&row.name),
        value(&row.old),
        value(&row.new)
    );
    if notes {
        _ = write!(line, " {} |", row.note.replace('|', "\\|"));
    }
    line
}

/// The diffs of text, each folded away, as long as `text` stays below `longest` bytes.
fn diffs(difference: &Difference, longest: usize, text: &mut String) {
    let mut left_out = Vec::new();
    for change in &difference.files {
        let Some(block) = block(change) else { continue };
        if text.len() + block.len() > longest {
            left_out.push(code(&format!("/{}", change.path)));
        } else {
            text.push_str(&block);
        }
    }
    if let Some((first, others)) = left_out.split_first() {
        let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        _ = writeln!(text, "\nToo long for a comment: the lines of {first}{others}. {ELSEWHERE}");
    }
}

fn block(change: &FileChange) -> Option<String> {
    let diff = change.diff.as_ref()?;
    let fence = fence(diff);
    Some(format!(
        "\n<details><summary><code>/{}</code></summary>\n\n{fence}diff\n{diff}{fence}\n\n</details>\n",
        html(&change.path)
    ))
}

/// A fence that is longer than any in `text`.
fn fence(text: &str) -> String {
    "`".repeat(longest_run(text).max(2) + 1)
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

/// `text` as it is, in a cell of a table.
fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// `text` as it is: `~`, `_`, `<` and links mean nothing in it.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(text) + 1);
    let room = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{room}{}{room}{fence}", text.replace('\n', " "))
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
