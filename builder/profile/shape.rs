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
}

/// What the shape of a document is.
#[derive(Debug, Default)]
pub struct Shape {
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// The document without what is wrong.
    pub rest: Value,
}

/// Compares a document with `schema`. `end` is where the text ends: the place of a section that is missing.
pub fn compare(schema: &Value, table: &DeTable<'_>, end: usize) -> Shape {
    let mut walker = Walker { root: schema, faults: Vec::new(), path: Vec::new() };
    let rest = walker.table(schema, table, &(end..end));
    Shape { faults: walker.faults, rest }
}

struct Walker<'s> {
    root: &'s Value,
    faults: Vec<Fault>,
    path: KeyPath,
}

impl<'s> Walker<'s> {
    /// The value without what is wrong in it; none if nothing is left.
    fn value(
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

    /// Reports a key that does not exist. Where it is another one misspelt, its value is taken as that one's, so that
    /// one slip is one finding.
    fn unknown_key(
        &mut self,
        known: Option<&'s Map<String, Value>>,
        table: &DeTable<'_>,
        (name, span): (&str, Range<usize>),
        value: &Spanned<DeValue<'_>>,
        rest: &mut Map<String, Value>,
    ) {
        let names: Vec<&str> = known.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let near = nearest(name, names.iter().copied());
        let help = match (near, self.home(name)) {
            (Some(near), _) => format!("write `{near}`"),
            (None, Some(section)) => format!("`{name}` belongs into `[{section}]`"),
            (None, None) if names.is_empty() => "remove it".to_owned(),
            (None, None) => format!("the keys here are {}", list(&names)),
        };
        self.fault("unknown-key", format!("unknown key `{name}`"), Some(help), span.clone());
        let Some((near, known)) = near.zip(known) else { return };
        if !table.contains_key(near) && !rest.contains_key(near) {
            let kept = self.value(&known[near], value, &span);
            rest.extend(kept.map(|kept| (near.to_owned(), kept)));
        }
    }

    /// The section of the profile that has a key of this name.
    fn home(&self, name: &str) -> Option<&'s str> {
        let sections = self.root.get("properties")?.as_object()?;
        let has = |schema: &'s Value| {
            let choices = self.choices(schema);
            choices.iter().any(|choice| choice.get("properties").and_then(|keys| keys.get(name)).is_some())
        };
        sections.iter().find(|(_, schema)| has(schema)).map(|(section, _)| section.as_str())
    }

    fn missing_keys(
        &mut self,
        schema: &'s Value,
        table: &DeTable<'_>,
        rest: &mut Map<String, Value>,
        place: &Range<usize>,
    ) {
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if table.contains_key(name) || rest.contains_key(name) {
                continue;
            }
            let property = schema.get("properties").and_then(|known| known.get(name)).unwrap_or(&Value::Null);
            let choices = self.choices(property);
            let is_section = self.path.is_empty() && choices.iter().any(|choice| choice["type"] == "object");
            let (what, help) = match (is_section, self.path.is_empty()) {
                (true, _) => (format!("the section `[{name}]` is missing"), format!("add `[{name}]`")),
                (false, true) => (format!("the key `{name}` is missing"), format!("add `{name} = …`")),
                _ => {
                    let around = self.path.join(".");
                    (format!("`{around}` lacks the key `{name}`"), format!("add `{name} = …`"))
                }
            };
            let meaning = property.get("description").or_else(|| choices.first()?.get("description"));
            let meaning = meaning.and_then(Value::as_str).and_then(|text| text.lines().next());
            let help = meaning.map_or(help.clone(), |meaning| format!("{help}: {}", lower_first(meaning)));
            self.path.push(name.to_owned());
            self.fault("missing-key", what, Some(help), place.clone());
            self.path.pop();
        }
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
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let all: Vec<&str> = quoted.iter().map(String::as_str).collect();
        let near = nearest(text, words.iter().copied()).map(|near| format!("write \"{near}\""));
        let help = match (near, problems.first()) {
            (Some(near), _) => near,
            (None, None) => format!("write one of {}", list_plain(&all)),
            (None, Some(problem)) if words.is_empty() => problem.clone(),
            (None, Some(problem)) => format!("{problem}, or {}", list_plain(&all)),
        };
        let key = self.subject();
        self.fault("bad-value", format!("\"{}\" is not a value of {key}", shown(text)), Some(help), span);
        None
    }

    fn integer(&mut self, schema: &Value, number: Option<i64>, span: Range<usize>) -> Option<Value> {
        let limit = |key: &str| schema.get(key).and_then(Value::as_i64);
        let least = limit("minimum").unwrap_or(i64::MIN);
        let most = limit("maximum").or_else(|| limit_of_format(schema)).unwrap_or(i64::MAX);
        match number {
            Some(number) if (least..=most).contains(&number) => Some(Value::from(number)),
            _ => {
                let help = format!("expected a whole number from {least} to {most}");
                let key = self.subject();
                self.fault("bad-value", format!("the number of {key} is out of range"), Some(help), span);
                None
            }
        }
    }

    fn wrong_type(&mut self, choices: &[&'s Value], found: Kind, value: &Spanned<DeValue<'_>>) {
        let mut wanted: Vec<String> = Vec::new();
        for choice in choices {
            let description = self.describe(choice);
            if !wanted.contains(&description) {
                wanted.push(description);
            }
        }
        let wanted = wanted.join(" or ");
        let key = self.subject();
        let span = if found == Kind::Table { self.section_span(value) } else { value.span() };
        let help = self.rewrite(choices, value);
        let message = format!("{key} is {wanted}, not {}", found.name());
        self.fault("wrong-type", message, help, span);
    }

    /// A table's own span may be the whole section; its first byte is enough of a place.
    fn section_span(&self, value: &Spanned<DeValue<'_>>) -> Range<usize> {
        let span = value.span();
        span.start..span.start.saturating_add(1).min(span.end)
    }

    /// How the same value is written in the type that is wanted.
    fn rewrite(&self, choices: &[&'s Value], value: &Spanned<DeValue<'_>>) -> Option<String> {
        let wants = |kind: &str| choices.iter().any(|choice| choice["type"] == kind);
        match value.get_ref() {
            DeValue::String(text) if wants("boolean") && (&**text == "true" || &**text == "false") => {
                Some(format!("write {text} without quotes"))
            }
            DeValue::String(text) if wants("boolean") && !wants("string") => {
                let yes = ["yes", "on", "y", "1"].contains(&text.to_ascii_lowercase().as_str());
                Some(if yes { "write true".into() } else { "write true or false".into() })
            }
            DeValue::String(text) if wants("integer") && text.parse::<i64>().is_ok() => {
                Some(format!("write {text} without quotes"))
            }
            DeValue::String(text) if wants("array") => Some(format!("write [\"{}\"]", shown(text))),
            DeValue::Integer(number) if wants("string") => Some(format!("write \"{number}\" in quotes")),
            DeValue::Datetime(time) if wants("string") => Some(format!("write \"{time}\" in quotes")),
            DeValue::String(_) | DeValue::Boolean(_) if wants("object") => {
                let keys =
                    choices.iter().find_map(|choice| choice.get("properties")?.as_object()?.keys().next());
                Some(keys.map_or("write { … }".into(), |key| format!("write {{ {key} = … }}")))
            }
            _ => None,
        }
    }

    /// What may stand for `schema`: references followed, alternatives listed.
    fn choices(&self, schema: &'s Value) -> Vec<&'s Value> {
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

    fn describe(&self, schema: &Value) -> String {
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => "a text".into(),
            Some("integer") => "a whole number".into(),
            Some("boolean") => "true or false".into(),
            Some("array") => "a list".into(),
            Some("object") => "a table".into(),
            _ => "something else".into(),
        }
    }

    fn subject(&self) -> String {
        let item = self.path.last().is_some_and(|key| key.bytes().all(|byte| byte.is_ascii_digit()));
        match (item, self.path.as_slice()) {
            (true, [path @ .., _]) => format!("an item of `{}`", path.join(".")),
            (_, path) => format!("`{}`", path.join(".")),
        }
    }

    fn fault(&mut self, code: &'static str, message: String, help: Option<String>, span: Range<usize>) {
        self.faults.push(Fault { code, message, help, span, path: self.path.clone() });
    }
}

/// The kinds of values in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Float,
    Boolean,
    Time,
    List,
    Table,
}

impl Kind {
    fn of(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(_) => Self::Text,
            DeValue::Integer(_) => Self::Integer,
            DeValue::Float(_) => Self::Float,
            DeValue::Boolean(_) => Self::Boolean,
            DeValue::Datetime(_) => Self::Time,
            DeValue::Array(_) => Self::List,
            DeValue::Table(_) => Self::Table,
        }
    }

    fn fits(self, schema: &Value) -> bool {
        match self {
            Self::Text => schema["type"] == "string" || schema.get("const").is_some(),
            Self::Integer => schema["type"] == "integer",
            Self::Boolean => schema["type"] == "boolean",
            Self::List => schema["type"] == "array",
            Self::Table => schema["type"] == "object",
            Self::Float | Self::Time => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "a whole number",
            Self::Float => "a number with a fraction",
            Self::Boolean => "true or false",
            Self::Time => "a date or time",
            Self::List => "a list",
            Self::Table => "a table",
        }
    }
}

/// The largest number of an integer format that schemars writes without a maximum.
fn limit_of_format(schema: &Value) -> Option<i64> {
    match schema.get("format")?.as_str()? {
        "uint8" => Some(u8::MAX.into()),
        "uint16" => Some(u16::MAX.into()),
        "uint32" => Some(u32::MAX.into()),
        _ => None,
    }
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn list_plain(names: &[&str]) -> String {
    names.join(", ")
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str().trim_end_matches('.'))
}

/// A text as part of a message: one short line.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if short.len() < text.len() && text.chars().count() > 40 { format!("{short}…") } else { short }
}
