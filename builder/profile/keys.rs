//! Keys that a profile has and the schema does not, or the other way round.
//!
//! In goes a table with its schema, out come faults that say what was probably meant.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::shape::Walker;
use super::wording;

impl<'s> Walker<'s, '_> {
    /// Reports a key that does not exist. Where it is another one misspelt, its value is taken as that one's, so that
    /// one slip is one finding.
    pub(super) fn unknown_key(
        &mut self,
        known: Option<&'s Map<String, Value>>,
        table: &DeTable<'_>,
        (name, span): (&str, Range<usize>),
        value: &Spanned<DeValue<'_>>,
        rest: &mut Map<String, Value>,
    ) {
        let names: Vec<&str> = known.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let near = nearest(name, names.iter().copied());
        let home = self.home(name);
        let help = match (near, home) {
            (Some(near), _) => format!("write `{near}`"),
            (None, Some(section)) => format!("`{name}` belongs in `[{section}]`"),
            (None, None) if names.is_empty() => "remove it".to_owned(),
            (None, None) => format!("the keys here are {}", wording::marked(&names)),
        };
        self.fault("unknown-key", format!("unknown key `{name}`"), Some(help), span.clone());
        if let (Some(fault), None, Some(section)) = (self.faults.last_mut(), near, home) {
            fault.meant = vec![section.to_owned(), name.to_owned()];
        }
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

    pub(super) fn missing_keys(
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
            let section = choices.iter().find(|choice| self.path.is_empty() && choice["type"] == "object");
            let (message, place, add) = match (section, self.path.as_slice()) {
                (Some(section), _) => {
                    let end = self.text.len();
                    (format!("the section `[{name}]` is missing"), end..end, wording::section(name, section))
                }
                (None, []) => {
                    (format!("the key `{name}` is missing"), place.clone(), wording::key(name, &choices))
                }
                (None, path) => {
                    let message = format!("`{}` lacks the key `{name}`", path.join("."));
                    (message, place.clone(), wording::key(name, &choices))
                }
            };
            let meaning = property.get("description").or_else(|| choices.first()?.get("description"));
            let meaning = meaning.and_then(Value::as_str).map(wording::first_sentence);
            let help = meaning.map_or(add.clone(), |meaning| format!("{add}: {meaning}"));
            self.path.push(name.to_owned());
            self.fault("missing-key", message, Some(help), place);
            self.path.pop();
        }
    }
}
