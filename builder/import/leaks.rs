//! Values that have become secrets, in what is written besides: in other variables, in commands, in files that are copied.

use super::Import;
use super::environment::{SECRETS, variables_of};
use super::keys::KEPT;
use super::variables;
use super::yaml::{Key, Node, Value};
use crate::diag::{Finding, Severity};

/// From how many characters on a value is looked for: a shorter one may well stand somewhere by chance.
const SHORTEST: usize = 8;

impl Import<'_> {
    /// Refuses to write what has the value of a secret in it.
    pub(super) fn leaks(&mut self, services: &Node) {
        let long = self.secret_values.iter().filter(|(value, _)| value.chars().count() >= SHORTEST);
        let secrets: Vec<(String, String)> =
            long.map(|(value, secret)| (value.clone(), secret.clone())).collect();
        for (key, node) in services.entries() {
            self.leaks_of_variables(key, node, &secrets);
            let written = |key: &str| KEPT.contains(&key) || key == "healthcheck";
            for (key, node) in node.entries().iter().filter(|(key, _)| written(&key.text)) {
                let texts = self.texts_in(node);
                self.refuse(node, &format!("`{}`", key.text), &texts, &secrets);
            }
        }
        for (path, bytes) in &self.copies {
            let text = String::from_utf8_lossy(bytes);
            for (_, secret) in secrets.iter().filter(|(value, _)| text.contains(value.as_str())) {
                let message =
                    format!("the file {path}, which is copied, has the value of the secret `{secret}`");
                self.report.findings.push(Finding::error("secret-elsewhere", message).help(help(secret)));
            }
        }
    }

    /// The variables of the container that the file calls `key`, as they would be written.
    fn leaks_of_variables(&mut self, key: &Key, node: &Node, secrets: &[(String, String)]) {
        let template = self.names.keys.get(&key.text).and_then(|key| self.templates.get(key));
        let written = template.map(|template| template.environment.clone()).unwrap_or_default();
        for variable in node.get("environment").map(variables_of).unwrap_or_default() {
            let name = variable.name.text;
            let text = written.iter().find(|(one, text)| *one == name && !text.starts_with(SECRETS));
            if let (Some((_, text)), Some(value)) = (text, &variable.value) {
                self.refuse(value, &name, &[name.clone(), text.clone()], secrets);
            }
        }
    }

    /// Every text below `node` with its variables resolved, keys among them.
    fn texts_in(&self, node: &Node) -> Vec<String> {
        match &node.value {
            Value::Scalar { text, .. } => {
                vec![variables::resolve(text, &self.report.variables).map_or(text.clone(), |one| one.text)]
            }
            Value::List(items) => items.iter().flat_map(|item| self.texts_in(item)).collect(),
            Value::Map(entries) => {
                let of = |(key, value): &(Key, Node)| [vec![key.text.clone()], self.texts_in(value)].concat();
                entries.iter().flat_map(of).collect()
            }
        }
    }

    /// An error for each secret whose value is in one of `texts`, which are those of `what`, at `node`.
    fn refuse(&mut self, node: &Node, what: &str, texts: &[String], secrets: &[(String, String)]) {
        for (value, secret) in secrets {
            if texts.iter().any(|text| text.contains(value.as_str())) {
                let hidden = what.contains(value.as_str());
                let what = if hidden { "the name of a variable" } else { what };
                let message = format!("{what} has the value of the secret `{secret}` in it");
                self.report.about_secret(Severity::Error, node, "secret-elsewhere", message, &help(secret));
            }
        }
    }
}

/// What to do about a value of `secret` that stands elsewhere.
fn help(secret: &str) -> String {
    format!(
        "take it out there, and let a script in the folder put it in from {SECRETS}{secret}; if the two are equal by chance, \
         write another value for the secret: this file's is not taken over"
    )
}
