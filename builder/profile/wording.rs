//! The words in which faults of shape are told: kinds of values, and how something is written instead.

use serde_json::Value;
use toml::de::DeValue;

use super::values;

/// The kinds of values in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer.
    Integer,
    /// A float.
    Float,
    /// true or false.
    Boolean,
    /// A date, a time, or both.
    Time,
    /// An array.
    List,
    /// A table.
    Table,
}

impl Kind {
    /// The kind of a value.
    pub fn of(value: &DeValue<'_>) -> Self {
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

    /// Whether a value of this kind can be what a schema without alternatives describes.
    pub fn fits(self, schema: &Value) -> bool {
        match self {
            Self::Text => schema["type"] == "string" || schema.get("const").is_some(),
            Self::Integer => schema["type"] == "integer",
            Self::Boolean => schema["type"] == "boolean",
            Self::List => schema["type"] == "array",
            Self::Table => schema["type"] == "object",
            Self::Float | Self::Time => false,
        }
    }

    /// What a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Integer => "an integer",
            Self::Float => "a float",
            Self::Boolean => "true or false",
            Self::Time => "a date or time",
            Self::List => "a list",
            Self::Table => "a table",
        }
    }
}

/// The largest number of an integer format that schemars writes without a maximum.
pub fn limit_of_format(schema: &Value) -> Option<i64> {
    match schema.get("format")?.as_str()? {
        "uint8" => Some(u8::MAX.into()),
        "uint16" => Some(u16::MAX.into()),
        "uint32" => Some(u32::MAX.into()),
        _ => None,
    }
}

/// The kind that a schema without alternatives describes, as a person calls it.
pub fn kind(schema: &Value) -> &'static str {
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => Kind::Text.name(),
        Some("integer") => Kind::Integer.name(),
        Some("boolean") => Kind::Boolean.name(),
        Some("array") => Kind::List.name(),
        Some("object") => Kind::Table.name(),
        _ => "something else",
    }
}

/// How the same value is written in one of the kinds that are wanted. `written` is its text in the file.
pub fn rewrite(choices: &[&Value], value: &DeValue<'_>, written: &str) -> Option<String> {
    let of_kind = |kind: &str| choices.iter().find(|choice| choice["type"] == kind);
    let wants = |kind: &str| of_kind(kind).is_some();
    match value {
        DeValue::String(text) if wants("boolean") && !wants("string") => {
            match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some("write true".into()),
                "false" | "no" | "off" | "0" => Some("write false".into()),
                _ => Some("write true or false".into()),
            }
        }
        DeValue::Integer(_) if wants("boolean") => Some("write true or false".into()),
        DeValue::String(text) if wants("integer") && text.parse::<i64>().is_ok() => {
            Some(format!("write {} without quotes", shown(text)))
        }
        DeValue::String(text) if wants("array") => Some(format!("write [\"{}\"]", shown(text))),
        DeValue::Table(_) if wants("array") => Some("write it in brackets: [{ … }]".into()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) if wants("string") => {
            let format = of_kind("string")?.get("format").and_then(Value::as_str).unwrap_or_default();
            let quotes = || format!("write \"{}\" in quotes", shown(written));
            Some(values::problem(format, written).unwrap_or_else(quotes))
        }
        _ if wants("object") => {
            let keys = of_kind("object")?.get("properties").and_then(Value::as_object);
            let first = keys.and_then(|keys| keys.keys().next());
            Some(first.map_or("write { … = … }".into(), |key| format!("write {{ {key} = … }}")))
        }
        _ => None,
    }
}

/// How a missing key is added.
pub fn key(name: &str, choices: &[&Value]) -> String {
    let value = match choices.first().and_then(|choice| choice["type"].as_str()) {
        Some("integer") => "1",
        Some("boolean") => "true",
        Some("array") => "[ … ]",
        Some("object") => "{ … }",
        _ => "\"…\"",
    };
    format!("add {name} = {value}")
}

/// How a missing section is added, with what it must have.
pub fn section(name: &str, schema: &Value) -> String {
    let required = schema.get("required").and_then(Value::as_array);
    let keys: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
    if keys.is_empty() { format!("add [{name}]") } else { format!("add [{name}] with {}", marked(&keys)) }
}

/// Names of keys, one after the other.
pub fn marked(names: &[&str]) -> String {
    let marked: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    marked.join(", ")
}

/// Values in quotes, one after the other.
pub fn quoted(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    quoted.join(", ")
}

/// The first sentence of a description, as the end of another sentence.
pub fn first_sentence(text: &str) -> String {
    let sentence = text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.');
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}

/// A text as part of a message: one short line.
pub fn shown(text: &str) -> String {
    let mut letters = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let short: String = letters.by_ref().take(40).collect();
    if letters.next().is_some() { format!("{short}…") } else { short }
}
