//! The JSON schema of a profile, made from the types in `schema.rs`: for editors, and for finding faults of shape.
//!
//! It is draft-07, which is what the TOML plugins of editors understand.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;

use super::schema::Profile;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(simplify));
    let mut schema = settings.into_generator().into_root_schema_for::<Profile>();
    simplify(&mut schema);
    let mut first = serde_json::Map::new();
    first.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    first.insert("title".into(), "A Boxwright profile".into());
    for (key, value) in schema.as_object_mut().into_iter().flatten() {
        first.entry(key.clone()).or_insert(value.take());
    }
    Value::Object(first)
});

/// The schema.
pub fn value() -> &'static Value {
    &SCHEMA
}

/// The schema as it stands in `profiles/profile.schema.json`, with a newline at the end.
pub fn text() -> String {
    // A value of maps, lists and texts always prints.
    let text = serde_json::to_string_pretty(value()).unwrap_or_default();
    text + "\n"
}

/// Takes out what TOML cannot say (null) and line breaks inside of paragraphs.
fn simplify(schema: &mut schemars::Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".into(), one);
        }
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(choices)) = object.get_mut(key) {
            choices.retain(|choice| choice["type"] != "null");
            if let [one] = choices.as_slice() {
                let one = one.clone();
                object.remove(key);
                object.insert("allOf".into(), Value::Array(vec![one]));
            }
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    // A section's defaults stand at its keys.
    if object.get("default").is_some_and(|default| default.is_null() || default.is_object()) {
        object.remove("default");
    }
    if let Some(Value::String(description)) = object.get_mut("description") {
        let paragraphs = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}
