//! What concerns all containers of the service: their order, their backup, and the service that they make.

use std::collections::BTreeMap;

use super::yaml::Node;
use super::{Import, names};
use crate::catalog::{Backup, Dump, Service, known};
use crate::diag::Finding;
use crate::profile::Egress;

impl Import<'_> {
    /// `depends_on`, where one can see that the other works.
    pub(super) fn order(&mut self, services: &Node) {
        for (key, node) in services.entries() {
            let Some((depends, own)) = node.get("depends_on").zip(self.names.keys.get(&key.text).cloned())
            else {
                continue;
            };
            for name in names::dependencies(depends) {
                let condition = depends.get(&name).and_then(|one| one.get("condition")).and_then(Node::raw);
                let other = self.names.keys.get(&name).cloned();
                let Some(other) = other.filter(|other| *other != own) else {
                    let help = "name another container of this file";
                    self.report.error(
                        &depends.span,
                        "depends-on",
                        format!("there is no other container `{name}`"),
                        help,
                    );
                    continue;
                };
                if condition == Some("service_completed_successfully") {
                    let help = "let the application do at its start what that container does";
                    let message =
                        format!("`{name}` is to end before `{}` starts: a box's containers run on", key.text);
                    self.report.error(&depends.span, "runs-once", message, help);
                } else if self.containers.get(&other).is_some_and(|one| one.health.test.is_some()) {
                    self.with(&own, |container| container.after.push(other));
                } else {
                    let help = format!(
                        "give `{name}` a `healthcheck` here, or `health` and `after` in service.toml"
                    );
                    let message = format!(
                        "`{}` does not wait for `{name}`: nothing says how one sees that it works",
                        key.text
                    );
                    self.report.warning(&depends.span, "no-health", message, help);
                }
            }
        }
    }

    /// Tells commands and checks that use a variable which has become a file.
    pub(super) fn hidden_variables(&mut self) {
        for (key, name) in std::mem::take(&mut self.secret_names) {
            let test = self
                .containers
                .get(&key)
                .and_then(|one| one.health.test.clone())
                .unwrap_or_default()
                .join(" ");
            let keys = self
                .templates
                .get(&key)
                .map(|one| one.keys.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>());
            let uses =
                |text: &str| text.contains(&format!("${name}")) || text.contains(&format!("${{{name}"));
            if uses(&test) || uses(&keys.unwrap_or_default().join(" ").replace("$$", "$")) {
                let message =
                    format!("a command of `{key}` uses the variable {name}, which has become a file");
                let finding = Finding::warning("secret", message);
                self.report.findings.push(finding.help(format!("write \"$(cat \"${name}_FILE\")\" there")));
            }
        }
    }

    pub(super) fn service(&mut self) -> Service {
        let name = self.names.service.clone();
        let alone = self.containers.len() == 1;
        self.with(&name, |container| container.egress = true);
        let mut egress = vec![Egress::None, Egress::Direct];
        egress.extend(alone.then_some(Egress::Vpn));
        let file =
            self.report.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Service {
            schema: 1,
            title: title(&name),
            about: format!("Brought in from {file}"),
            website: None,
            role: None,
            core: false,
            aliases: BTreeMap::new(),
            exposure: self.exposure.clone(),
            ports: self.ports.clone(),
            egress,
            needs: Vec::new(),
            talks_to: Vec::new(),
            disk: self.disk,
            gpu: self.gpu,
            secrets: self.secrets.clone(),
            settings: BTreeMap::new(),
            backup: self.backup(),
            findings: Vec::new(),
            host_programs: Vec::new(),
            seed: false,
            setup: false,
            check: false,
            downloads: false,
            report: false,
            owned: false,
            claim: false,
            reset_login: false,
            lost_login: None,
            containers: self.containers.clone(),
            name,
        }
    }

    /// State folders, and dumps of databases.
    fn backup(&mut self) -> Backup {
        let mut backup = Backup::default();
        for (key, container) in &self.containers {
            let folders = container.volumes.iter().filter_map(|volume| volume.state.clone());
            let Some(known) = known::find(&container.image) else {
                backup
                    .paths
                    .extend(folders.filter(|folder| !backup.paths.contains(folder)).collect::<Vec<_>>());
                continue;
            };
            if let Some(dump) = &known.dump {
                let variables =
                    self.templates.get(key).map(|one| one.environment.as_slice()).unwrap_or_default();
                let value = |name: &str| {
                    variables.iter().find(|(one, _)| one == name).map(|(_, value)| value.clone())
                };
                let user = value(&dump.user).unwrap_or_else(|| dump.default.clone());
                let database = value(&dump.database).unwrap_or_else(|| user.clone());
                let filled = |words: &[String]| {
                    words
                        .iter()
                        .map(|word| word.replace("{user}", &user).replace("{database}", &database))
                        .collect()
                };
                let file = format!("{key}.{}", dump.suffix);
                let (command, load) = (filled(&dump.command), filled(&dump.load));
                backup.dumps.push(Dump { container: key.clone(), command, file, load });
            } else if known.lies && folders.count() > 0 {
                let message = format!(
                    "the database of `{key}` is in no backup: its files, copied while it runs, are none"
                );
                let help = "write [[backup.dumps]] into service.toml: overlays/services/README.md says how";
                self.report.findings.push(Finding::warning("no-backup", message).help(help));
            }
        }
        backup
    }
}

/// `uptime-kuma` → `Uptime Kuma`.
fn title(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
            .unwrap_or_default()
    };
    name.split('-').map(capital).collect::<Vec<_>>().join(" ")
}
