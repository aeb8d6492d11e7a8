//! What services must obey together: names, references from one to another, roles that only one can have.
//!
//! In: all services. Out: what is wrong, with the name of the service.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{EVERYONE, Report, Wrong, is_label, nearest};
use super::secret::SecretSource;
use super::service::Service;

/// Everything that is wrong between services: the service's name with each.
pub fn check(services: &BTreeMap<String, Service>) -> Vec<(String, Wrong)> {
    let mut wrong = Vec::new();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    let mut roles = BTreeSet::new();
    for (name, service) in services {
        let mut report = Report { list: Vec::new() };
        let others = services.keys().map(String::as_str);
        for (key, names) in [("needs", &service.needs), ("talks-to", &service.talks_to)] {
            for (index, other) in names.iter().enumerate().filter(|(_, other)| {
                !(services.contains_key(*other) || key == "talks-to" && *other == EVERYONE)
            }) {
                let near =
                    nearest(other, others.clone()).map_or_else(String::new, |near| format!("write `{near}`"));
                let message = format!("there is no service `{other}`");
                report.help(&[key, &index.to_string()], "service-unknown", message, near);
            }
        }
        for (secret, value) in &service.secrets {
            if let SecretSource::Service(from) = &value.from
                && !secret_exists(services, from)
            {
                let message = format!("no service has the secret `{from}`");
                let help = "write `<service>/<secret>`";
                report.help(&["secrets", secret, "from"], "service-unknown", message, help);
            }
        }
        for alias in service.aliases.keys() {
            let other = services.contains_key(alias).then_some(alias.as_str());
            if let Some(other) = other.or_else(|| taken.insert(alias, name)) {
                let message = format!("the name `{alias}` is already taken by `{other}`");
                report.add(&["aliases", alias], "service-name", message);
            }
        }
        if service.role.is_some_and(|role| !roles.insert(role)) {
            report.add(&["role"], "service-role", "another service has this role".to_owned());
        }
        wrong.extend(report.list.into_iter().map(|each| (name.clone(), each)));
    }
    wrong
}

/// The section of secrets that belong to the box itself; each is there where the profile calls for it.
pub const BOX: &str = "box";

fn secret_exists(services: &BTreeMap<String, Service>, reference: &str) -> bool {
    let of_the_box = |(section, name): (&str, &str)| section == BOX && is_label(name);
    if reference.split_once('/').is_some_and(of_the_box) {
        return true;
    }
    reference.split_once('/').is_some_and(|(service, secret)| {
        services.get(service).is_some_and(|s| s.secrets.contains_key(secret))
    })
}
