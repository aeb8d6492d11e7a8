//! Writes the `secrets.toml` that an owner fills in: what each secret is, where one gets it, and nothing else.

use std::fmt::Write as _;

use super::needs::{Need, Needs};
use super::shape::Shape;

/// The template for `needs`. It parses as it is, with every value empty.
pub(super) fn write(needs: &Needs) -> String {
    let mut text = format!(
        "# The secrets of the box `{}`. They are handed over when its disk is written, and are in nothing else.\n\
         # Keep this file to yourself (mode 0600, not in git), and keep a copy where it outlives the box.\n",
        needs.box_name
    );
    if needs.owner.is_empty() {
        text.push_str("#\n# This box needs none.\n");
    }
    for section in needs.sections() {
        let _ = write!(text, "\n[{section}]\n");
        for (position, need) in needs.section(section).enumerate() {
            if position > 0 {
                text.push('\n');
            }
            entry(&mut text, need);
        }
    }
    text
}

fn entry(text: &mut String, need: &Need) {
    let optional = if need.optional() { " (may stay empty)" } else { "" };
    comment(text, &format!("{}{optional}.", capitalized(need.about.trim_end_matches('.'))));
    if let Some(obtain) = &need.obtain {
        comment(text, &format!("Where: {obtain}"));
    }
    let others: Vec<&str> =
        need.users.keys().map(String::as_str).filter(|user| *user != need.id.section).collect();
    // What belongs to no service has its one user in its name.
    if need.users.len() > 1 {
        comment(text, &format!("Also for: {}", others.join(", ")));
    }
    let key = &need.id.name;
    let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let key = if bare { key.clone() } else { format!("\"{key}\"") };
    if let Some((paste, file)) = file(&need.shape) {
        let line =
            format!("Either {paste}, or name the file: {{ file = \"{file}\" }}, relative to this one.");
        comment(text, &line);
    }
    let _ = writeln!(text, "{key} = ''");
}

/// How a secret is pasted that comes in a file, and what that is usually called.
fn file(shape: &Shape) -> Option<(&'static str, &'static str)> {
    match shape {
        Shape::Tunnel(_) => Some(("paste it", "UUID.json")),
        Shape::SshKey => Some(("paste it between ''' and '''", "backup_ed25519")),
        _ => None,
    }
}

/// Adds `sentence` as comment lines of at most 100 characters.
fn comment(text: &mut String, sentence: &str) {
    let mut line = String::from("#");
    for word in sentence.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > 100 {
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

fn capitalized(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
