//! Where in a TOML text every key and value stands, and all syntax errors of the text at once.
//!
//! A text goes in; a table with spans, or the errors, come out. The spans are a side table looked up by path, so that
//! the typed profile stays plain.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A path into a document: the keys from the top, list positions as numbers in text.
pub type KeyPath = Vec<String>;

/// Where a key and its value stand, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    key: Range<usize>,
    value: Range<usize>,
}

/// The places of everything in one document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    entries: BTreeMap<KeyPath, Entry>,
}

impl Places {
    /// The places of everything in `table`.
    pub fn of(table: &DeTable<'_>) -> Self {
        let mut places = Self::default();
        places.add_table(&mut Vec::new(), table);
        places
    }

    /// Where the value at `path` stands: for a section its header. What does not exist is where it would have to be
    /// added: at the nearest thing around it.
    pub fn value(&self, path: &[&str]) -> Range<usize> {
        self.nearest(path, |entry| entry.value.clone())
    }

    /// Where the key at `path` stands.
    pub fn key(&self, path: &[&str]) -> Range<usize> {
        self.nearest(path, |entry| entry.key.clone())
    }

    /// Whether the document has something at `path`.
    pub fn contains(&self, path: &[&str]) -> bool {
        self.entries.contains_key(&owned(path))
    }

    fn nearest(&self, path: &[&str], part: impl Fn(&Entry) -> Range<usize>) -> Range<usize> {
        if let Some(entry) = self.entries.get(&owned(path)) {
            return part(entry);
        }
        // Around something that is missing, the key is what a reader looks for.
        let around = (1..path.len()).rev().find_map(|length| self.entries.get(&owned(&path[..length])));
        around.map_or(0..0, |entry| entry.key.clone())
    }

    fn add_table(&mut self, path: &mut KeyPath, table: &DeTable<'_>) {
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            self.add(path, key.span(), value);
            path.pop();
        }
    }

    fn add(&mut self, path: &mut KeyPath, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        let is_section = matches!(value.get_ref(), DeValue::Table(_));
        // A section's own span is all of its text or its header, depending on how it was written.
        let span = if is_section { key.clone() } else { value.span() };
        self.entries.insert(path.clone(), Entry { key, value: span });
        match value.get_ref() {
            DeValue::Table(table) => self.add_table(path, table),
            DeValue::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    path.push(position.to_string());
                    self.add(path, item.span(), item);
                    path.pop();
                }
            }
            _ => {}
        }
    }
}

fn owned(path: &[&str]) -> KeyPath {
    path.iter().map(|&key| key.to_owned()).collect()
}

/// A syntax error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is the matter, without a full stop.
    pub message: String,
    /// The offending bytes.
    pub span: Range<usize>,
}

/// Parses a TOML text.
///
/// # Errors
/// All syntax errors of the text, in order.
pub fn parse(text: &str) -> Result<DeTable<'_>, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(table.into_inner());
    }
    let mut errors: Vec<SyntaxError> = errors
        .into_iter()
        .map(|error| SyntaxError {
            message: in_words(error.message()),
            span: error.span().unwrap_or(text.len()..text.len()),
        })
        .collect();
    errors.sort_by_key(|error| (error.span.start, error.span.end));
    errors.dedup();
    Err(errors)
}

/// The parser's words, but for those that only its authors understand.
fn in_words(message: &str) -> String {
    match message.trim_end() {
        "string values must be quoted, expected literal string" => "a string must be in quotes".into(),
        "invalid basic string, expected `\"`" => "the string has no closing quote".into(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[box]\nname = 'nas'\nadmins = { ann = ['one', 'two'] }\n[a.b]\nc.d = 1\n";

    #[test]
    fn everything_has_a_place() {
        let table = parse(TEXT).unwrap();
        let places = Places::of(&table);
        let value = |path: &[&str]| &TEXT[places.value(path)];
        assert_eq!(value(&["box", "name"]), "'nas'");
        assert_eq!(value(&["box", "admins", "ann", "1"]), "'two'");
        assert_eq!(value(&["box"]), "box");
        assert_eq!(value(&["a", "b"]), "b");
        assert_eq!(value(&["a", "b", "c", "d"]), "1");
        assert_eq!(&TEXT[places.key(&["box", "admins", "ann"])], "ann");
        assert_eq!(value(&["box", "domain"]), "box", "what is missing belongs to what is around it");
        assert_eq!(value(&["disks"]), "");
    }

    #[test]
    fn all_syntax_errors_come_at_once() {
        let errors = parse("a = \nb = 1\nc = [1, \nd = 'x\nb = 2\n").unwrap_err();
        assert!(errors.len() >= 2, "{errors:?}");
    }
}
