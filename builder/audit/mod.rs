//! The rules over what was rendered: the Compose files and the tunnel's configuration, read back as the programs on the box
//! will read them, whoever wrote their templates.
//!
//! In: the rendered tree, and the plan that says what was agreed. Out: breaches, each with the service that it is about.
//! What is allowed is listed, not what is forbidden. Nothing here renders, and no service is known by name.

mod addresses;
mod compose;
mod keys;
mod paths;
mod rights;
mod tunnel;
mod values;

pub use addresses::private_addresses;

use serde_json::Value;

use crate::catalog::Role;
use crate::check::CheckedProfile;
use crate::diag::{Finding, Findings};
use crate::plan::Plan;
use crate::profile::Document;
use crate::tree::{Kind, Tree};

/// Something on the box that would not be as it was agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The service, by its name in the catalog.
    pub service: String,
    /// The rule's stable name.
    pub code: &'static str,
    /// What is the matter: file, place in it, and what stands there.
    pub message: String,
    /// What to write instead.
    pub help: &'static str,
}

/// Everything in `tree` that breaks a rule.
pub fn audit(tree: &Tree, plan: &Plan, profile: &CheckedProfile) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for service in &plan.services {
        let folder = format!("etc/boxwright/services/{}/", service.name);
        let usage = profile.service(&service.name).map(|service| &service.usage);
        let socket = usage.is_some_and(|usage| usage.accept.iter().any(|code| code == "docker-socket"));
        let subject = compose::Subject { service, plan, profile: profile.profile(), socket };
        links(tree, &folder, &service.name, &mut breaches);
        for name in [compose::MAIN, "gpu.yaml"] {
            let Some(bytes) = tree.file(&format!("{folder}{name}")) else { continue };
            match read(bytes) {
                Ok(value) => subject.file(name, &value, &mut breaches),
                Err(reason) => breaches.push(Breach {
                    service: service.name.clone(),
                    code: "unreadable-file",
                    message: format!("{folder}{name} cannot be read: {reason}"),
                    help: "look at what `boxwright render` makes of its template",
                }),
            }
        }
        if service.role == Some(Role::Ingress) {
            let files = tree.iter().filter(|(path, _)| path.starts_with(&folder));
            let yaml = files.filter(|(path, _)| path.ends_with(".yml") || path.ends_with(".yaml"));
            for (path, value) in yaml.filter_map(|(path, _)| Some((path, read(tree.file(path)?).ok()?))) {
                tunnel::check(path, &value, (service, plan), &mut breaches);
            }
        }
    }
    breaches.extend(addresses::networks(plan, profile.profile()));
    breaches
}

/// Adds `breaches` to `findings` as errors, at the lines of the profile that brought the services.
pub fn report(breaches: Vec<Breach>, document: &Document, profile: &CheckedProfile, findings: &mut Findings) {
    let keys = document.profile.services.keys();
    let key_of = |service: &str| {
        let meant =
            |key: &&String| profile.catalog().find(key).is_some_and(|one| one.service.name == service);
        keys.clone().find(meant)
    };
    for breach in breaches {
        let span = match key_of(&breach.service) {
            Some(key) => document.places.key(&["services", key]),
            None => document.places.key(&["services"]),
        };
        let finding = Finding::error(breach.code, format!("{}: {}", breach.service, breach.message));
        findings.push(finding.help(breach.help).at(&document.path, span));
    }
    findings.sort();
}

/// A link in a service's folder would lead a volume to wherever it points. `.env`, into which the box writes what Compose is to
/// know, is its own.
fn links(tree: &Tree, folder: &str, service: &str, breaches: &mut Vec<Breach>) {
    let of_the_box = format!("/run/boxwright/services/{service}.env");
    for (path, entry) in tree.iter() {
        let Some(name) = path.strip_prefix(folder) else { continue };
        let Kind::Symlink(target) = &entry.kind else { continue };
        if name != ".env" || *target != of_the_box {
            breaches.push(Breach {
                service: service.to_owned(),
                code: "foreign-path",
                message: format!("{name} in its folder is a link to {target}"),
                help: "put a file there: a container would see what the link leads to",
            });
        }
    }
}

/// A YAML file as JSON, with anchors and merge keys resolved. Tags are refused: with `!override` or `!reset`, Compose would take
/// something else for the value than what stands there.
fn read(bytes: &[u8]) -> Result<Value, String> {
    let mut value: serde_yaml_ng::Value =
        serde_yaml_ng::from_slice(bytes).map_err(|error| error.to_string())?;
    value.apply_merge().map_err(|error| error.to_string())?;
    if let Some(tag) = tag(&value) {
        return Err(format!("it has the tag {tag}, which changes what a value means"));
    }
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// The first tag in `value`.
fn tag(value: &serde_yaml_ng::Value) -> Option<String> {
    match value {
        serde_yaml_ng::Value::Tagged(tagged) => Some(tagged.tag.to_string()),
        serde_yaml_ng::Value::Sequence(list) => list.iter().find_map(tag),
        serde_yaml_ng::Value::Mapping(map) => {
            map.iter().find_map(|(key, value)| tag(key).or_else(|| tag(value)))
        }
        _ => None,
    }
}
