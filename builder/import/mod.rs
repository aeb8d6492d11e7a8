//! A plain Compose file → a service of one's own: `service.toml`, its template, and the files that it mounts.
//!
//! In: the file's bytes, and the folder beside it. Out: the files of a service folder, and findings with their places. What a
//! box forbids is an error, and then there are no files; what it does otherwise is said; what nobody can know from the
//! file alone gets the safest value and a warning. No key of the file is left out silently.

mod container;
mod copies;
mod environment;
mod keys;
mod leaks;
mod mounts;
mod names;
mod ports;
mod report;
mod resources;
mod rights;
mod template;
mod together;
mod top;
mod units;
mod variables;
mod write;
mod yaml;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::catalog::{self, Container, Exposure, Port, Secret, Service, Use};
use crate::diag::{Finding, Findings};

use names::Names;
use report::Report;
use template::Template;
use yaml::Node;

/// The largest file that is read, in bytes.
const LARGEST: usize = 1 << 20;

/// What came of a Compose file.
#[derive(Debug)]
pub struct Imported {
    /// The service's name; empty if there is none.
    pub name: String,
    /// Its folder's files by path; empty where a finding is an error.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What was found.
    pub findings: Findings,
    /// A line for `[services]` of a profile.
    pub line: String,
}

/// A service that is being put together.
struct Import<'a> {
    report: Report<'a>,
    folder: PathBuf,
    names: Names,
    containers: BTreeMap<String, Container>,
    templates: BTreeMap<String, Template>,
    exposure: Option<Exposure>,
    ports: Vec<Port>,
    secrets: BTreeMap<String, Secret>,
    /// The name of the secret for each value, so that what two containers share is one secret.
    secret_values: BTreeMap<String, String>,
    /// Container and variable of each secret that became a file.
    secret_names: Vec<(String, String)>,
    /// Compose's own secrets: their names in the file, and those that they have on the box.
    declared: BTreeMap<String, String>,
    /// Container, path on the old machine, path in the container, whether it is only read.
    disks: Vec<(String, String, String, bool)>,
    copies: BTreeMap<String, Vec<u8>>,
    disk: Use,
    gpu: Use,
}

/// The content of a Compose file at `path`, or so much of it that [`import`] sees that it is too large.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the Compose file `file` with the content `bytes` as a service, called `name` if that is given.
pub fn import(file: &Path, bytes: &[u8], name: Option<&str>) -> Imported {
    let mut findings = Findings::new();
    let nothing = |mut findings: Findings, finding: Finding| {
        findings.push(finding);
        Imported { name: String::new(), files: BTreeMap::new(), findings, line: String::new() }
    };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() <= LARGEST => text,
        Ok(_) => {
            return nothing(
                findings,
                Finding::error("bad-file", format!("{} has more than 1 MiB", file.display())),
            );
        }
        Err(_) => {
            return nothing(findings, Finding::error("bad-file", format!("{} is not UTF-8", file.display())));
        }
    };
    findings.source(file, text);
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err(wrong) => {
            let finding = Finding::error("bad-yaml", wrong.message).at(file, wrong.span);
            return nothing(findings, finding.help("write it as one plain document of YAML"));
        }
    };
    let folder =
        file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let variables =
        fs::read_to_string(folder.join(".env")).map(|text| variables::env_file(&text)).unwrap_or_default();
    let mut report = Report::new(file, variables);
    let none = Node { span: 0..0, value: yaml::Value::Map(Vec::new()) };
    let services = root.get("services").unwrap_or(&none);
    if services.entries().is_empty() {
        report.error(
            &services.span,
            "no-services",
            "there are no services in this file",
            "write them under `services:`",
        );
    }
    if !report.findings.has_errors()
        && let Some(names) = Names::choose(&root, services, name, &mut report)
    {
        let imported = Import::new(report, folder, names).run(text, &root, services);
        findings.extend(imported.findings);
        findings.sort();
        return Imported { findings, ..imported };
    }
    findings.extend(report.findings);
    findings.sort();
    Imported { name: String::new(), files: BTreeMap::new(), findings, line: String::new() }
}

impl<'a> Import<'a> {
    fn new(report: Report<'a>, folder: PathBuf, names: Names) -> Self {
        Self {
            report,
            folder,
            names,
            containers: BTreeMap::new(),
            templates: BTreeMap::new(),
            exposure: None,
            ports: Vec::new(),
            secrets: BTreeMap::new(),
            secret_values: BTreeMap::new(),
            secret_names: Vec::new(),
            declared: BTreeMap::new(),
            disks: Vec::new(),
            copies: BTreeMap::new(),
            disk: Use::Never,
            gpu: Use::Never,
        }
    }

    fn run(mut self, text: &str, root: &Node, services: &Node) -> Imported {
        self.top(root);
        // The main container's ports first: one of them is where people reach the service.
        let is_main = |name: &str, names: &Names| name == names.main;
        let (main, others): (Vec<_>, Vec<_>) =
            services.entries().iter().partition(|(key, _)| is_main(&key.text, &self.names));
        for (key, node) in main.into_iter().chain(others) {
            self.container(key, node);
        }
        self.order(services);
        self.disk_folders();
        self.hidden_variables();
        self.leaks(services);
        let service = self.service();
        self.finish(text, services, &service)
    }

    /// Findings are drawn without the source line where a secret stands on it.
    fn hide_secrets(&mut self, text: &str) {
        for finding in &mut self.report.findings.list {
            let Some(place) = finding.place.as_mut().filter(|place| place.file == self.report.file) else {
                continue;
            };
            let start =
                text.get(..place.span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
            let end = text
                .get(place.span.end..)
                .and_then(|after| after.find('\n'))
                .map_or(text.len(), |at| place.span.end + at);
            let lines = text.get(start..end).unwrap_or_default();
            place.shown &= !self.secret_values.keys().any(|value| lines.contains(value.as_str()));
        }
    }

    /// The files, if nothing forbids them: they are read back as the catalog will read them.
    fn finish(mut self, text: &str, services: &Node, service: &Service) -> Imported {
        let written = write::text(service);
        let name = service.name.clone();
        if !self.report.findings.has_errors() {
            let file = PathBuf::from(format!("{name}/service.toml"));
            catalog::parse(&name, &file, &written, &mut self.report.findings);
        }
        self.hide_secrets(text);
        let order: Vec<String> = services
            .entries()
            .iter()
            .filter_map(|(key, _)| self.names.keys.get(&key.text).cloned())
            .collect();
        let mut files = self.copies;
        files.insert("service.toml".to_owned(), written.into_bytes());
        files.insert(
            "compose.yaml.tera".to_owned(),
            template::text(&name, &order, &self.templates).into_bytes(),
        );
        if self.report.findings.has_errors() {
            files.clear();
        }
        let at = self.exposure.as_ref().map(|_| format!("at = \"{name}\", for = \"admin\""));
        let disk = (self.disk != Use::Never).then(|| "disk = \"media\"".to_owned());
        let parts: Vec<String> = at.into_iter().chain(disk).collect();
        let line = format!("{name} = {{ {} }}", parts.join(", ")).replace("{  }", "{}");
        Imported { name, files, findings: self.report.findings, line }
    }
}
