//! A folder of services → [`Catalog`], or findings.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use toml::de::{DeTable, DeValue};

use super::service::{Role, Service};
use super::{rules, together};
use crate::diag::{Finding, Findings};

/// Every service that a profile can name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    services: BTreeMap<String, Service>,
    folders: BTreeMap<String, PathBuf>,
    /// Other name → (service, what to tell the user).
    aliases: BTreeMap<String, (String, String)>,
}

/// A service that was asked for by a name.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The service.
    pub service: &'a Service,
    /// What to tell a user who asked for it by another name.
    pub note: Option<&'a str>,
}

impl Catalog {
    /// Reads `folder/*/service.toml`, in the order of their names. Folders without one are no services. Findings are
    /// added to `findings`; a file with errors is left out of the catalog.
    ///
    /// # Errors
    /// If the folder or a file in it cannot be read.
    pub fn load(folder: &Path, findings: &mut Findings) -> Result<Self> {
        let mut catalog = Self::default();
        let listing = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        let mut names: Vec<PathBuf> = Vec::new();
        for entry in listing {
            names.push(entry.with_context(|| format!("reading {}", folder.display()))?.path());
        }
        names.sort();
        let mut texts: BTreeMap<String, (PathBuf, String)> = BTreeMap::new();
        for path in names.iter().filter(|path| path.join("service.toml").is_file()) {
            let file = path.join("service.toml");
            let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if let Some(service) = parse(&name, &file, &text, findings) {
                catalog.add(service, path);
            }
            texts.insert(name, (file, text));
        }
        for (name, wrong) in together::check(&catalog.services) {
            if let Some((file, text)) = texts.get(&name) {
                report(wrong, file, text, findings);
            }
        }
        Ok(catalog)
    }

    fn add(&mut self, service: Service, folder: &Path) {
        for (alias, note) in &service.aliases {
            self.aliases.insert(alias.clone(), (service.name.clone(), note.clone()));
        }
        self.folders.insert(service.name.clone(), folder.to_owned());
        self.services.insert(service.name.clone(), service);
    }

    /// The service that a profile means by `name`.
    pub fn find(&self, name: &str) -> Option<Found<'_>> {
        if let Some(service) = self.services.get(name) {
            return Some(Found { service, note: None });
        }
        let (target, note) = self.aliases.get(name)?;
        Some(Found { service: self.services.get(target)?, note: Some(note) })
    }

    /// The service of that very name.
    pub fn get(&self, name: &str) -> Option<&Service> {
        self.services.get(name)
    }

    /// The first service with this role.
    pub fn with_role(&self, role: Role) -> Option<&Service> {
        self.iter().find(|service| service.role == Some(role))
    }

    /// All services by name.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// Every name that a profile may use, aliases included, for suggestions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.services.keys().chain(self.aliases.keys()).map(String::as_str)
    }

    /// The folder with the templates of the service `name`.
    pub fn folder(&self, name: &str) -> Option<&Path> {
        self.folders.get(name).map(PathBuf::as_path)
    }
}

/// The service of the file `file` with the content `text`; nothing if it has errors, which are then in `findings`.
pub fn parse(name: &str, file: &Path, text: &str, findings: &mut Findings) -> Option<Service> {
    findings.source(file, text);
    let (_, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        findings.push(Finding::error("service-syntax", error.message()).at(file, span));
    }
    if !errors.is_empty() {
        return None;
    }
    let mut service: Service = match toml::from_str(text) {
        Ok(service) => service,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().trim_end().to_owned();
            findings.push(Finding::error("service-type", message).at(file, span));
            return None;
        }
    };
    name.clone_into(&mut service.name);
    let wrong = rules::check(&service);
    let failed = !wrong.is_empty();
    for each in wrong {
        report(each, file, text, findings);
    }
    (!failed).then_some(service)
}

fn report(wrong: rules::Wrong, file: &Path, text: &str, findings: &mut Findings) {
    let (table, _) = DeTable::parse_recoverable(text);
    let span = locate(table.get_ref(), &wrong.path).unwrap_or(0..0);
    let mut finding = Finding::error(wrong.code, wrong.message).at(file, span);
    finding.help = wrong.help;
    findings.push(finding);
}

/// The bytes of the value at `path` (keys, or indexes as numbers), or of the nearest part of the path that exists.
fn locate(table: &DeTable<'_>, path: &[String]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first.as_str())?;
    let mut span = key.span();
    let mut value = value.get_ref();
    for part in rest {
        let next = match value {
            DeValue::Table(table) => table
                .iter()
                .find(|(key, _)| key.get_ref() == part.as_str())
                .map(|(key, value)| (key.span(), value)),
            DeValue::Array(array) => part
                .parse::<usize>()
                .ok()
                .and_then(|index| array.get(index))
                .map(|value| (value.span(), value)),
            _ => None,
        };
        let Some((next_span, next_value)) = next else { break };
        span = next_span;
        value = next_value.get_ref();
    }
    Some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
schema = 1
title = "Kuma"
about = "Watches"
aliases = { watcher = "it is called kuma" }
egress = ["direct"]
owned = true
[containers.kuma]
image = "docker.io/louislam/uptime-kuma:2.5.3"
user = "1000:1000"
egress = true
health = { none = true }

[exposure]
port = 3001
login = "after-setup"
"#;

    fn findings(text: &str) -> Vec<(String, usize, String)> {
        let mut findings = Findings::new();
        let path = Path::new("overlays/services/kuma/service.toml");
        let service = parse("kuma", path, text, &mut findings);
        assert_eq!(service.is_none(), findings.has_errors());
        findings.sort();
        let line = |finding: &Finding| {
            let place = finding.place.as_ref().unwrap();
            findings.position(&place.file, place.span.start).unwrap().0
        };
        findings.list.iter().map(|each| (each.code.to_string(), line(each), each.message.clone())).collect()
    }

    #[test]
    fn a_right_file_has_no_findings_and_is_found_by_its_other_name() {
        assert_eq!(findings(GOOD), []);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kuma");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("service.toml"), GOOD).unwrap();
        fs::create_dir(folder.path().join("no-service")).unwrap();
        let catalog = Catalog::load(folder.path(), &mut Findings::new()).unwrap();
        let found = catalog.find("watcher").unwrap();
        assert_eq!((found.service.name.as_str(), found.note), ("kuma", Some("it is called kuma")));
        assert!(catalog.find("kuma").unwrap().note.is_none());
        assert_eq!(catalog.names().collect::<Vec<_>>(), ["kuma", "watcher"]);
    }

    #[test]
    fn every_mistake_is_reported_with_its_line() {
        let table = [
            ("user = \"1000:1000\"", "user = \"nathan\"", "service-type", 10),
            ("health = { none = true }", "helth = { none = true }", "service-type", 12),
            ("title = \"Kuma\"", "title = Kuma", "service-syntax", 3),
            ("docker.io/louislam/uptime-kuma:2.5.3", "louislam/uptime-kuma:2.5.3", "service-image", 9),
            ("uptime-kuma:2.5.3", "uptime-kuma:latest", "service-image", 9),
            ("uptime-kuma:2.5.3", "uptime-kuma", "service-image", 9),
            ("uptime-kuma:2.5.3", "uptime-kuma:2@sha256:00", "service-image", 9),
            ("schema = 1", "schema = 2", "service-schema", 2),
            ("[containers.kuma]", "[containers.app]", "service-container", 8),
            ("port = 3001", "port = 3001\ncontainer = \"kumar\"", "service-container", 16),
            ("egress = true", "capabilities = [\"NET_ADMN\"]\negress = true", "service-capability", 11),
            ("egress = true", "devices = [\"/var/run/docker.sock\"]\negress = true", "service-device", 11),
            ("egress = true", "volumes = [{ at = \"/x\" }]\negress = true", "service-volume", 11),
            (
                "egress = true",
                "volumes = [{ at = \"/x\", state = \"../y\" }]\negress = true",
                "service-volume",
                11,
            ),
            ("egress = true\n", "", "service-egress", 6),
            ("egress = true", "stop = \"1 minute\"\negress = true", "service-duration", 8),
            ("owned = true\n", "\n", "service-exposure", 16),
            ("login = \"after-setup\"", "login = \"own\"", "service-exposure", 7),
            (
                "[exposure]",
                "[secrets.key]\nabout = \"A key\"\nfrom = \"box\"\napply = \"setup\"\n[exposure]",
                "service-secret",
                17,
            ),
            (
                "[exposure]",
                "[secrets.key]\nabout = \"A key\"\napply = \"setup\"\n[exposure]",
                "service-secret",
                16,
            ),
            (
                "[exposure]",
                "[secrets.key]\nabout = \"A key\"\napply = { first-start = \" \" }\n[exposure]",
                "service-secret",
                16,
            ),
            ("owned = true", "owned = true\nreset-login = true\nlost-login = \"ask\"", "service-exposure", 9),
        ];
        for (from, to, code, line) in table {
            assert!(GOOD.contains(from), "{from}");
            let found = findings(&GOOD.replace(from, to));
            assert!(found.iter().any(|each| each.0 == code && each.1 == line), "{to}: {found:?}");
        }
    }

    #[test]
    fn services_are_checked_together() {
        let folder = tempfile::tempdir().unwrap();
        for (name, more) in [("kuma", "talks-to = [\"kumx\"]"), ("kumc", "role = \"vpn\"")] {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            let text = GOOD.replace("[containers.kuma]", &format!("{more}\n[containers.{name}]"));
            fs::write(path.join("service.toml"), text).unwrap();
        }
        let mut findings = Findings::new();
        Catalog::load(folder.path(), &mut findings).unwrap();
        let codes: Vec<&str> = findings.list.iter().map(|finding| finding.code.as_ref()).collect();
        assert_eq!(codes, ["service-unknown", "service-name"]);
        assert!(findings.list[0].help.as_ref().unwrap().contains("write `kum"), "{:?}", findings.list[0]);
    }
}
