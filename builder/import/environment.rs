//! Environment variables: what is no secret stands in the template, what looks like one becomes a file.
//!
//! A secret's value is never written anywhere: neither into the folder nor into a finding.

use super::Import;
use super::container::Subject;
use super::names::label;
use super::variables;
use super::yaml::{Key, Node, Value};
use crate::audit::private_addresses;
use crate::catalog::{Secret, SecretSource};
use crate::diag::Severity;

/// Words that a variable's name ends with if its value is a secret.
const SECRET_WORDS: [&str; 9] =
    ["APIKEY", "CREDENTIALS", "KEY", "PASS", "PASSPHRASE", "PASSWD", "PASSWORD", "SECRET", "TOKEN"];
/// Words in a variable's name if its value may be another container's name.
const HOST_WORDS: [&str; 8] = ["ADDR", "BROKER", "ENDPOINT", "HOST", "ORIGIN", "SERVER", "UPSTREAM", "URL"];
/// Where Docker puts secrets.
pub(super) const SECRETS: &str = "/run/secrets/";

/// One variable: name, value where it has one, and where it stands.
pub(super) struct Variable {
    pub(super) name: Key,
    pub(super) value: Option<Node>,
}

/// The value of the variable `wanted` in an `environment` of either form.
pub(super) fn value(environment: &Node, wanted: &str) -> Option<Node> {
    variables_of(environment).into_iter().find(|one| one.name.text == wanted).and_then(|one| one.value)
}

pub(super) fn variables_of(environment: &Node) -> Vec<Variable> {
    let of_list = |item: &Node| {
        let (name, value) = match item.raw()?.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (item.raw()?, None),
        };
        let scalar = |value: &str| Value::Scalar { text: value.to_owned(), plain: false };
        let value = value.map(|value| Node { span: item.span.clone(), value: scalar(value) });
        Some(Variable { name: Key { text: name.to_owned(), span: item.span.clone() }, value })
    };
    match &environment.value {
        Value::List(items) => items.iter().filter_map(of_list).collect(),
        _ => {
            let given = |value: &Node| (!value.is_null()).then(|| value.clone());
            let entries = environment.entries().iter();
            entries.map(|(key, value)| Variable { name: key.clone(), value: given(value) }).collect()
        }
    }
}

impl Import<'_> {
    pub(super) fn environment(&mut self, subject: &Subject<'_>) {
        self.declared_secrets(subject);
        let Some(environment) = subject.node.get("environment") else { return };
        for variable in variables_of(environment) {
            let (name, span) = (variable.name.text.as_str(), &variable.name.span);
            let fit = |c: char| c.is_ascii_alphanumeric() || ['_', '.', '-'].contains(&c);
            if name.is_empty() || !name.chars().all(fit) {
                self.report.error(span, "bad-value", "this is no name of a variable", "write `NAME: value`");
                continue;
            }
            if name == "TZ" {
                self.report.once(span, "dropped-key", "`TZ` is left out: it is the profile's time zone");
                continue;
            }
            let Some(value) = variable.value else {
                let message = format!("{name} would be taken from the shell that starts Compose");
                self.report.error(span, "variable-without-value", message, "write its value");
                continue;
            };
            if is_secret(name) && self.secret(subject, name, &value) {
                continue;
            }
            let Some(text) = self.report.text(&value) else { continue };
            if has_password(&text) {
                let message = format!("{name} has a password in an address, and is left out");
                let help = "give the password apart, or let a script in the folder read it from its file, write the address, \
                            and start the program: overlays/services/README.md says how files get there";
                self.report.about_secret(Severity::Warning, &value, "secret-in-address", message, help);
                self.comment(
                    &subject.key,
                    format!("# {name} held a password: see the findings of the import."),
                );
                continue;
            }
            let text = self.checked(&value, &text, HOST_WORDS.iter().any(|word| name.contains(word)));
            self.put(&subject.key, name, text);
        }
    }

    /// `text` without what does not hold on a box: names are the box's, and there is no address at home in it.
    fn checked(&mut self, node: &Node, text: &str, holds_host: bool) -> String {
        let (mut text, replaced) = self.names.rewrite(text, holds_host);
        for (old, new) in replaced {
            self.report.once(&node.span, "renamed", format!("`{old}` is called `{new}` on the box"));
        }
        for address in private_addresses(&text) {
            let help = "write the name of the container or service; a machine at home is named in the profile's [network.hosts]";
            self.report.error(
                &node.span,
                "address-for-name",
                format!("{address} is an address where a name belongs"),
                help,
            );
        }
        for (name, secret) in self.declared.iter().filter(|(name, secret)| name != secret) {
            text = text.replace(&format!("{SECRETS}{name}"), &format!("{SECRETS}{secret}"));
        }
        text
    }

    /// Makes a file of a secret; whether it was one.
    fn secret(&mut self, subject: &Subject<'_>, name: &str, node: &Node) -> bool {
        let Some(raw) = node.raw() else { return false };
        let value = variables::resolve(raw, &self.report.variables).map_or(raw.to_owned(), |one| one.text);
        let harmless =
            value.is_empty() || ["true", "false"].contains(&value.as_str()) || value.starts_with(SECRETS);
        if harmless || (value.len() < 4 && value.bytes().all(|byte| byte.is_ascii_digit())) {
            return false;
        }
        let known = subject.known.as_ref().is_some_and(|known| known.files.iter().any(|one| one == name));
        let secret = match self.secret_values.get(&value) {
            Some(secret) => secret.clone(),
            None => {
                let secret = self.free_name(&subject.key, name);
                let about = format!("{name} of {}.", subject.key);
                self.secrets.insert(secret.clone(), Secret { about, ..Secret::default() });
                self.secret_values.insert(value, secret.clone());
                secret
            }
        };
        if let Some(one) = self.secrets.get_mut(&secret) {
            one.containers.push(subject.key.clone());
            one.containers.dedup();
            if known {
                one.from = SecretSource::Box;
            }
        }
        if !known {
            let message =
                format!("{name} becomes the secret `{secret}`, told as {name}_FILE; its value is left out");
            let help = format!(
                "look whether the image reads {name}_FILE; if it does not, let a script in the folder read {SECRETS}{secret}, \
                 export {name} and start the program"
            );
            self.report.about_secret(Severity::Warning, node, "secret", message, &help);
        }
        self.secret_names.push((subject.key.clone(), name.to_owned()));
        self.put(&subject.key, &format!("{name}_FILE"), format!("{SECRETS}{secret}"));
        true
    }

    /// A name that no secret has yet, for the variable `name` of the container `key`.
    fn free_name(&self, key: &str, name: &str) -> String {
        let taken = |one: &String| {
            self.secrets.contains_key(one) || self.declared.values().any(|declared| declared == one)
        };
        let longer = label(&format!("{key}-{name}"));
        let mut candidate = label(name);
        let mut number = 1;
        while taken(&candidate) {
            candidate = if number == 1 { longer.clone() } else { format!("{longer}-{number}") };
            number += 1;
        }
        candidate
    }

    /// What the container lists under `secrets`, Compose's own way.
    fn declared_secrets(&mut self, subject: &Subject<'_>) {
        for item in subject.node.get("secrets").map(|node| self.report.items(node)).unwrap_or_default() {
            let Some(name) = self.report.text(item.get("source").unwrap_or(item)) else { continue };
            if item.get("target").is_some_and(|target| target.raw() != Some(name.as_str())) {
                let help = "remove `target`, and name the file /run/secrets/NAME";
                self.report.error(&item.span, "secret", "a secret has one name on a box", help);
            }
            let Some(secret) = self.declared.get(&name).cloned() else {
                let message = format!("there is no secret `{name}` in this file");
                self.report.error(
                    &item.span,
                    "secret",
                    message,
                    "add it under `secrets` at the end of the file",
                );
                continue;
            };
            let about = format!("{name} of {}.", subject.key);
            let one = self.secrets.entry(secret).or_insert_with(|| Secret { about, ..Secret::default() });
            one.containers.push(subject.key.clone());
            if subject.known.is_some() {
                one.from = SecretSource::Box;
            }
        }
    }

    /// Texts of a command: addresses, and secrets that everyone on the machine would see.
    pub(super) fn looked_through(&mut self, node: &Node, key: &str) {
        let texts = self.report.items(node).iter().filter_map(Node::raw);
        let words: Vec<&str> = texts.flat_map(str::split_whitespace).collect();
        for (at, word) in words.iter().enumerate() {
            for address in private_addresses(word) {
                let help = "write a name";
                self.report.error(
                    &node.span,
                    "address-for-name",
                    format!("`{key}` has the address {address}"),
                    help,
                );
            }
            let (option, value) =
                word.split_once('=').map_or((*word, None), |(option, value)| (option, Some(value)));
            let value = value.or_else(|| words.get(at + 1).copied()).unwrap_or_default();
            let name = option.trim_start_matches('-').to_ascii_uppercase().replace('-', "_");
            let asks = option.starts_with('-') && (is_secret(&name) || name == "REQUIREPASS");
            if asks && !value.is_empty() && !value.starts_with(['-', '/']) || has_password(word) {
                let help = "let it read the secret from a file: /run/secrets/NAME";
                let message = format!("`{key}` has a secret that every program on the box could read");
                self.report.about_secret(Severity::Error, node, "secret-in-command", message, help);
            }
        }
    }

    pub(super) fn comment(&mut self, key: &str, text: String) {
        if let Some(template) = self.templates.get_mut(key) {
            template.comments.push(text);
        }
    }

    fn put(&mut self, key: &str, name: &str, text: String) {
        if let Some(template) = self.templates.get_mut(key) {
            template.environment.push((name.to_owned(), text));
        }
    }
}

/// Whether a variable of this name holds a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let words: Vec<&str> = name.split('_').collect();
    let last = words.last().copied().unwrap_or_default();
    let glued =
        ["PASS", "PASSWORD"].iter().any(|end| last.ends_with(end)) && !["BYPASS", "COMPASS"].contains(&last);
    let public = words.contains(&"PUBLIC") || last == "KEY" && words.contains(&"SITE");
    let whole =
        words.iter().rev().skip(1).any(|word| ["PASSWORD", "SECRET"].contains(word)) && last != "FILE";
    !public && (SECRET_WORDS.contains(&last) || glued || whole && ["VALUE", "BASE"].contains(&last))
}

/// Whether `text` is an address with a password: `postgres://user:password@host/`.
fn has_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority
            .rsplit_once('@')
            .and_then(|(user, _)| user.split_once(':'))
            .is_some_and(|(_, password)| !password.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_the_names_of_their_variables() {
        for name in [
            "POSTGRES_PASSWORD",
            "ADMIN_TOKEN",
            "PAPERLESS_DBPASS",
            "SECRET_KEY",
            "API_KEY",
            "APP_KEY",
            "SMTP_PASS",
            "secret",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "POSTGRES_PASSWORD_FILE",
            "PUBLIC_KEY",
            "KEYBOARD",
            "BYPASS",
            "TOKEN_TTL",
            "PASSWORD_RESET_ENABLED",
            "HOST",
        ] {
            assert!(!is_secret(name), "{name}");
        }
        assert!(has_password("postgres://u:p@db:5432/x") && has_password("a redis://:p@x"));
        assert!(
            !has_password("postgres://u@db/x")
                && !has_password("http://x:80/@a:b@")
                && !has_password("a:b@c")
        );
    }
}
