//! What containers are called: the service's name, which container has it, and the names by which others know them.

use std::collections::BTreeMap;
use std::path::Path;

use super::report::Report;
use super::yaml::Node;
use crate::catalog::is_label;
use crate::catalog::known;

/// The names of one service.
pub(super) struct Names {
    /// The service's name, which its main container has.
    pub(super) service: String,
    /// The container that is the main one, as the file calls it.
    pub(super) main: String,
    /// What each container is called, by its name in the file.
    pub(super) keys: BTreeMap<String, String>,
    /// Names that the file uses and the box does not have, with what to say instead.
    renamed: Vec<(String, String)>,
}

impl Names {
    /// The names for the containers of `services`; nothing, with findings, if there can be none.
    pub(super) fn choose(
        root: &Node,
        services: &Node,
        wanted: Option<&str>,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let folder = report.file.parent().map(Path::to_owned).unwrap_or_default();
        let service = match wanted {
            Some(name) => name.to_owned(),
            None => {
                let written = root.get("name").and_then(|node| report.text(node));
                let folder = std::path::absolute(&folder).unwrap_or(folder);
                let folder = folder.file_name().map(|name| name.to_string_lossy().into_owned());
                label(&written.or(folder).unwrap_or_default())
            }
        };
        if !is_label(&service) {
            let message = "there is no name for the service";
            report.error(
                &(0..0),
                "no-name",
                message,
                "say it with --name: small letters, digits and hyphens",
            );
            return None;
        }
        let main = main(services, &service, report)?;
        let mut names = Self { service, main, keys: BTreeMap::new(), renamed: Vec::new() };
        for (key, node) in services.entries() {
            let new = if key.text == names.main { names.service.clone() } else { label(&key.text) };
            if !is_label(&new) || names.keys.values().any(|other| *other == new) {
                let message = format!("`{}` cannot be a container's name here", key.text);
                report.error(
                    &key.span,
                    "bad-name",
                    message,
                    "give it another one: small letters, digits and hyphens",
                );
                continue;
            }
            let others = ["container_name", "hostname"].into_iter().filter_map(|key| node.get(key)?.raw());
            for old in others.chain([key.text.as_str()]).filter(|old| *old != new && !old.is_empty()) {
                names.renamed.push((old.to_owned(), new.clone()));
            }
            names.keys.insert(key.text.clone(), new);
        }
        Some(names)
    }

    /// `text` with host names as the box has them, and what was replaced. `holds_host`: the whole text may be one.
    pub(super) fn rewrite(&self, text: &str, holds_host: bool) -> (String, Vec<(String, String)>) {
        let mut text = text.to_owned();
        let mut replaced = Vec::new();
        for (old, new) in &self.renamed {
            let mut result = String::new();
            let mut from = 0;
            for (at, _) in
                text.match_indices(old.as_str()).filter(|(at, _)| is_host(&text, *at, old.len(), holds_host))
            {
                result.push_str(text.get(from..at).unwrap_or_default());
                result.push_str(new);
                from = at + old.len();
            }
            if from > 0 {
                result.push_str(text.get(from..).unwrap_or_default());
                text = result;
                replaced.push((old.clone(), new.clone()));
            }
        }
        (text, replaced)
    }
}

/// Whether the `length` bytes at `at` stand where a host name does: after `//` or `@`, before a port, or alone.
fn is_host(text: &str, at: usize, length: usize, alone: bool) -> bool {
    let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + length..).unwrap_or_default());
    let of_a_name = |c: char| c.is_alphanumeric() || ['-', '_', '.'].contains(&c);
    if before.ends_with(of_a_name) || after.starts_with(of_a_name) {
        return false;
    }
    let port = after.strip_prefix(':').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let begins = before.is_empty() || before.ends_with([',', ' ', '=']);
    before.ends_with("//")
        || before.ends_with('@')
        || (begins && port)
        || (alone && before.is_empty() && after.is_empty())
}

/// The container that people use: the one of the service's name, else one with ports, else one that nobody waits for.
fn main(services: &Node, service: &str, report: &mut Report<'_>) -> Option<String> {
    let entries = services.entries();
    let named = entries.iter().find(|(key, _)| label(&key.text) == service);
    let of_use = |node: &Node| {
        let image = node.get("image").and_then(Node::raw).unwrap_or_default();
        known::find(&known::full_name(image)).is_none()
    };
    let awaited = |name: &str| {
        let lists = entries.iter().filter_map(|(_, node)| node.get("depends_on"));
        lists.flat_map(dependencies).any(|one| one == name)
    };
    let with_ports: Vec<_> =
        entries.iter().filter(|(_, node)| node.get("ports").is_some() && of_use(node)).collect();
    let free = || entries.iter().find(|(key, node)| of_use(node) && !awaited(&key.text));
    let chosen = named.or(with_ports.first().copied()).or_else(free).or(entries.first())?;
    if named.is_none() && with_ports.len() > 1 {
        let message = format!("`{}` becomes the container that people reach as {service}", chosen.0.text);
        report.warning(
            &chosen.0.span,
            "main-container",
            message,
            format!("if it is another one, call that `{service}` in this file"),
        );
    }
    Some(chosen.0.text.clone())
}

/// The containers that a `depends_on` names.
pub(super) fn dependencies(node: &Node) -> Vec<String> {
    let listed = match &node.value {
        super::yaml::Value::List(items) => items.iter().filter_map(Node::raw).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let keys = node.entries().iter().map(|(key, _)| key.text.clone());
    listed.into_iter().chain(keys).collect()
}

/// `text` as a host name, as far as it can be one.
pub(super) fn label(text: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    text.chars().map(fit).collect::<String>().trim_matches('-').to_owned()
}
