//! The shape of a profile: every unknown key, missing key, wrong type and malformed value at once, with its place.
//!
//! In go a parsed document and the JSON schema of the profile, so that there is one description of the format; out come
//! findings and what is left of the document when everything wrong is taken out of it, so that rules can still be
//! applied to the rest.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::spans::KeyPath;
use super::values;
use super::wording::{self, Kind};

/// One fault of shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `unknown-key`, `missing-key`, `wrong-type` or `bad-value`.
    pub code: &'static str,
    /// What is the matter.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Where.
    pub span: Range<usize>,
    /// The path of what is wrong.
    pub path: KeyPath,
    /// The path of what was probably meant; the same one if nobody knows.
    pub meant: KeyPath,
}

/// What the shape of a document is.
#[derive(Debug, Default)]
pub struct Shape {
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// The document without what is wrong.
    pub rest: Value,
}

/// Compares the document of `text` with `schema`.
pub fn compare(schema: &Value, table: &DeTable<'_>, text: &str) -> Shape {
    let known = schema.get("properties").and_then(Value::as_object);
    let one_of_ours = |key: &str| known.is_some_and(|known| known.contains_key(key));
    if table.len() > 1 && !table.keys().any(|key| one_of_ours(key.get_ref())) {
        return Shape { faults: vec![foreign()], rest: Value::Null };
    }
    let mut walker = Walker { root: schema, text, faults: Vec::new(), path: Vec::new() };
    let rest = walker.table(schema, table, &(0..0));
    Shape { faults: walker.faults, rest }
}

/// The fault of a file that is TOML, but has nothing of a profile.
fn foreign() -> Fault {
    Fault {
        code: "not-a-profile",
        message: "this is not a profile: it has none of a profile's keys".into(),
        help: Some("a profile begins with schema = 1 and [box]; `boxwright new` makes one".into()),
        span: 0..0,
        path: Vec::new(),
        meant: Vec::new(),
    }
}

/// Where a comparison is, and what it found so far.
pub(super) struct Walker<'s, 't> {
    pub(super) root: &'s Value,
    pub(super) text: &'t str,
    pub(super) faults: Vec<Fault>,
    pub(super) path: KeyPath,
}

impl<'s> Walker<'s, '_> {
    /// The value without what is wrong in it; none if nothing is left.
    pub(super) fn value(
        &mut self,
        schema: &'s Value,
        value: &Spanned<DeValue<'_>>,
        place: &Range<usize>,
    ) -> Option<Value> {
        let found = Kind::of(value.get_ref());
        let choices = self.choices(schema);
        let fitting: Vec<&'s Value> = choices.iter().copied().filter(|choice| found.fits(choice)).collect();
        if fitting.is_empty() {
            self.wrong_type(&choices, found, value);
            return None;
        }
        match value.get_ref() {
            DeValue::String(text) => self.text(&fitting, text, value.span()),
            DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
                self.integer(fitting[0], number, value.span())
            }
            DeValue::Array(items) => {
                let item_schema = fitting[0].get("items").unwrap_or(&Value::Bool(true));
                Some(Value::Array(self.items(item_schema, items)))
            }
            DeValue::Table(table) => Some(self.table(fitting[0], table, place)),
            DeValue::Float(_) | DeValue::Datetime(_) => None,
        }
    }

    fn items(&mut self, schema: &'s Value, items: &[Spanned<DeValue<'_>>]) -> Vec<Value> {
        let mut kept = Vec::new();
        for (position, item) in items.iter().enumerate() {
            self.path.push(position.to_string());
            kept.extend(self.value(schema, item, &item.span()));
            self.path.pop();
        }
        kept
    }

    fn table(&mut self, schema: &'s Value, table: &DeTable<'_>, place: &Range<usize>) -> Value {
        let known = schema.get("properties").and_then(Value::as_object);
        let free = schema.get("additionalProperties").filter(|free| free.is_object());
        let mut rest = Map::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            let place = key.span();
            self.path.push(name.to_owned());
            match known.and_then(|known| known.get(name)).or(free) {
                Some(schema) => {
                    let kept = self.value(schema, value, &place);
                    rest.extend(kept.map(|kept| (name.to_owned(), kept)));
                }
                None => self.unknown_key(known, table, (name, place), value, &mut rest),
            }
            self.path.pop();
        }
        self.missing_keys(schema, table, &mut rest, place);
        Value::Object(rest)
    }

    fn text(&mut self, choices: &[&'s Value], text: &str, span: Range<usize>) -> Option<Value> {
        let mut problems = Vec::new();
        let mut words = Vec::new();
        for choice in choices {
            if let Some(word) = choice.get("const").and_then(Value::as_str) {
                words.push(word);
            } else if let Some(some) = choice.get("enum").and_then(Value::as_array) {
                words.extend(some.iter().filter_map(Value::as_str));
            } else {
                let format = choice.get("format").and_then(Value::as_str).unwrap_or_default();
                match values::problem(format, text) {
                    None => return Some(Value::String(text.to_owned())),
                    Some(problem) => problems.push(problem),
                }
            }
        }
        if words.contains(&text) {
            return Some(Value::String(text.to_owned()));
        }
        let near = nearest(text, words.iter().copied()).map(|near| format!("write \"{near}\""));
        let help = match (near, problems.first()) {
            (Some(near), _) => near,
            (None, None) => format!("write one of {}", wording::quoted(&words)),
            (None, Some(problem)) if words.is_empty() => problem.clone(),
            (None, Some(problem)) => format!("{problem}, or {}", wording::quoted(&words)),
        };
        let message = format!("\"{}\" is not a value of `{}`", wording::shown(text), self.list_or_key());
        self.fault("bad-value", message, Some(help), span);
        None
    }

    fn integer(&mut self, schema: &Value, number: Option<i64>, span: Range<usize>) -> Option<Value> {
        let limit = |key: &str| schema.get(key).and_then(Value::as_i64);
        let least = limit("minimum").unwrap_or(i64::MIN);
        let most = limit("maximum").or_else(|| wording::limit_of_format(schema)).unwrap_or(i64::MAX);
        match number {
            Some(number) if (least..=most).contains(&number) => Some(Value::from(number)),
            _ => {
                let help = format!("expected a whole number from {least} to {most}");
                let message = format!("the number of `{}` is out of range", self.list_or_key());
                self.fault("bad-value", message, Some(help), span);
                None
            }
        }
    }

    fn wrong_type(&mut self, choices: &[&'s Value], found: Kind, value: &Spanned<DeValue<'_>>) {
        let mut wanted: Vec<&str> = Vec::new();
        for kind in choices.iter().map(|choice| wording::kind(choice)) {
            if !wanted.contains(&kind) {
                wanted.push(kind);
            }
        }
        let span = if found == Kind::Table { self.section_span(value) } else { value.span() };
        let written = self.text.get(value.span()).unwrap_or_default();
        let help = wording::rewrite(choices, value.get_ref(), written);
        let message = format!("{} must be {}, not {}", self.subject(), wanted.join(" or "), found.name());
        self.fault("wrong-type", message, help, span);
    }

    /// A table's own span may be the whole section; its first byte is enough of a place.
    fn section_span(&self, value: &Spanned<DeValue<'_>>) -> Range<usize> {
        let span = value.span();
        span.start..span.start.saturating_add(1).min(span.end)
    }

    /// What may stand for `schema`: references followed, alternatives listed.
    pub(super) fn choices(&self, schema: &'s Value) -> Vec<&'s Value> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map_or_else(Vec::new, |target| self.choices(target));
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            if let Some(choices) = schema.get(key).and_then(Value::as_array) {
                return choices.iter().flat_map(|choice| self.choices(choice)).collect();
            }
        }
        vec![schema]
    }

    /// The path of the key, or of the list in which the item stands.
    fn list_or_key(&self) -> String {
        match self.path.as_slice() {
            [path @ .., _] if self.is_item() => path.join("."),
            path => path.join("."),
        }
    }

    fn is_item(&self) -> bool {
        self.path.last().is_some_and(|key| key.bytes().all(|byte| byte.is_ascii_digit()))
    }

    fn subject(&self) -> String {
        if self.is_item() {
            format!("an item of `{}`", self.list_or_key())
        } else {
            format!("`{}`", self.list_or_key())
        }
    }

    pub(super) fn fault(
        &mut self,
        code: &'static str,
        message: String,
        help: Option<String>,
        span: Range<usize>,
    ) {
        let path = self.path.clone();
        self.faults.push(Fault { code, message, help, span, meant: path.clone(), path });
    }
}
