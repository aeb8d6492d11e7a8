//! The text of `compose.yaml.tera`: what service.toml does not say, beside the pieces that it does.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::names::Names;
use super::report::Report;
use super::yaml::{Node, Value};

/// What a container has in the template besides what follows from service.toml.
#[derive(Debug, Default)]
pub(super) struct Template {
    pub(super) comments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// Other keys, each with its value as YAML on one line.
    pub(super) keys: Vec<(String, String)>,
}

/// The whole file; `order` has the containers as the Compose file lists them.
pub(super) fn text(service: &str, order: &[String], templates: &BTreeMap<String, Template>) -> String {
    let mut text = format!("name: {service}\nservices:\n");
    for key in order {
        let Some(template) = templates.get(key) else { continue };
        // Writing into a String cannot fail.
        _ = writeln!(text, "  {key}:\n    {{{{ <bw.container service={{service}} key=\"{key}\" /> }}}}");
        for (name, value) in &template.keys {
            _ = writeln!(text, "    {name}: {value}");
        }
        text.push_str("    environment:\n");
        text.push_str("      {{ <bw.environment service={service} timezone={profile.box.timezone} /> }}\n");
        for comment in &template.comments {
            _ = writeln!(text, "      {comment}");
        }
        for (name, value) in &template.environment {
            _ = writeln!(text, "      {name}: {}", quoted(value));
        }
    }
    text.push_str("{{ <bw.rest service={service} /> }}\n");
    text
}

/// A value on one line; nothing, with findings, if a variable in it has no value.
pub(super) fn flow(node: &Node, report: &mut Report<'_>, names: &Names) -> Option<String> {
    match &node.value {
        Value::Scalar { plain, .. } => {
            let text = report.text(node)?;
            let number = text.parse::<i64>().is_ok() || ["true", "false"].contains(&text.as_str());
            if *plain && number {
                return Some(text);
            }
            Some(quoted(&names.rewrite(&text, false).0))
        }
        Value::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(|item| flow(item, report, names)).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        Value::Map(entries) => {
            let mut parts = Vec::new();
            for (key, value) in entries {
                parts.push(format!("{}: {}", quoted(&key.text), flow(value, report, names)?));
            }
            Some(format!("{{ {} }}", parts.join(", ")))
        }
    }
}

/// `text` as a quoted value of YAML that Compose reads as it is, and in which Tera finds nothing to do.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '$' => quoted.push_str("$$"),
            '{' if characters.peek().is_some_and(|next| ['{', '%', '#'].contains(next)) => {
                quoted.push_str("\\u007b")
            }
            ' '..='~' | '\u{a1}'..='\u{d7ff}' if !['\u{2028}', '\u{2029}'].contains(&c) => quoted.push(c),
            c => _ = write!(quoted, "\\U{:08x}", u32::from(c)),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quoted_text_comes_back_through_tera_and_yaml(text in "(\\PC|[\"\\\\${}%#\n\t])*") {
            let rendered = tera::Tera::one_off(&quoted(&text), &tera::Context::new(), false).unwrap();
            let read: String = serde_yaml_ng::from_str(&rendered).unwrap();
            prop_assert_eq!(read.replace("$$", "$"), text);
        }
    }
}
