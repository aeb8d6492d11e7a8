//! A value of a Compose file as text, as a list, as names; and what Compose would make of it later.

use std::collections::BTreeSet;

use serde_json::Value;

/// A scalar as text.
pub(super) fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A list of texts.
pub(super) fn list_of(value: Option<&Value>) -> impl Iterator<Item = String> {
    value.and_then(Value::as_array).into_iter().flatten().map(text_of)
}

/// The names in a list, or the keys of a map.
pub(super) fn names_of(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        other => list_of(other).collect(),
    }
}

/// The first text in `value` into which Compose would put a variable: what stands there then is nowhere to be read.
/// `known` is the one text of that kind that the box itself renders.
pub(super) fn with_variable<'a>(value: &'a Value, known: &str) -> Option<&'a str> {
    match value {
        Value::String(text) if text != known && text.replace("$$", "").contains('$') => Some(text),
        Value::Array(list) => list.iter().find_map(|one| with_variable(one, known)),
        Value::Object(map) => map.values().find_map(|one| with_variable(one, known)),
        _ => None,
    }
}
