//! What of the box a container sees: the volumes and secrets of its service.toml, mounted as it was agreed.

use serde_json::{Value, json};

use super::compose::{Report, Subject, is_database};
use super::values::text_of;
use crate::plan::{ContainerPlan, DOCKER_SOCKET, VolumeKind};
use crate::profile::DiskSource;

/// The keys of a volume that has a rule for each of them.
const KEYS: [&str; 5] = ["bind", "read_only", "source", "target", "type"];

impl Subject<'_> {
    pub(super) fn paths(&self, value: &Value, planned: &ContainerPlan, report: &mut Report<'_>) {
        for volume in value.get("volumes").and_then(Value::as_array).into_iter().flatten() {
            if volume.get("type").map(text_of).as_deref() != Some("tmpfs") {
                self.volume(volume, planned, report);
            }
        }
        for secret in value.get("secrets").and_then(Value::as_array).into_iter().flatten() {
            let source = secret.get("source").map_or_else(|| text_of(secret), text_of);
            if !planned.secret_files.iter().any(|own| own.source == source) {
                let message = format!("`{source}` is no secret that service.toml gives it");
                report.add("foreign-secret", &message, "declare it under [secrets] in service.toml");
            }
        }
    }

    fn volume(&self, volume: &Value, planned: &ContainerPlan, report: &mut Report<'_>) {
        let short = volume.as_str().map(|text| text.split(':').next().unwrap_or_default().to_owned());
        let long = || volume.get("source").map(text_of).unwrap_or_default();
        let source = short.clone().unwrap_or_else(long);
        if holds_socket(&source) {
            let allowed = self.socket && planned.volumes.iter().any(|one| one.kind == VolumeKind::Socket);
            if !allowed || source != DOCKER_SOCKET {
                let message = format!("{source} would give it Docker's socket, and with it the box");
                report.add("docker-socket", &message, "take it out: `docker-socket` in service.toml and `accept` in the profile are for what cannot do without");
            }
            return;
        }
        let read_only = volume.get("read_only") == Some(&Value::Bool(true));
        let mut declared = planned.volumes.iter().filter(|one| one.given == source).peekable();
        if declared.peek().is_none() {
            let message = format!("{source} is neither its state, nor its disk, nor a file of its own");
            report.add("foreign-path", &message, "declare it under `volumes` in service.toml");
        } else if !declared.any(|one| read_only || !one.read_only) {
            let message = format!("service.toml lets it read {source}, and here it could write");
            report.add("foreign-path", &message, "write read_only: true");
        }
        let bind = volume.get("bind");
        if short.is_some() || bind != Some(&json!({ "create_host_path": false })) {
            let message = format!(
                "Docker would make {source} where a disk is missing, or mount it in a way of its own"
            );
            report.add(
                "path-made",
                &message,
                "write the long form with bind: { create_host_path: false } and nothing else in it",
            );
        }
        let keys = volume.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
        for key in keys.filter(|key| !KEYS.contains(key)) {
            let message = format!("`{key}` of the volume {source} is not among the keys that a box allows");
            report.add("unlisted-key", &message, "remove it");
        }
        if volume.get("type").map(text_of).is_some_and(|kind| kind != "bind") {
            let message = format!("{source} is no folder of the box");
            report.add("foreign-path", &message, "declare it under `volumes` in service.toml");
        }
        if (planned.private || is_database(planned)) && self.on_a_share(&source, planned) {
            let message = format!("{source} is on a disk in the network, which databases do not survive");
            report.add("database-on-a-share", &message, "keep it in a `state` folder");
        }
    }

    fn on_a_share(&self, source: &str, planned: &ContainerPlan) -> bool {
        let known = planned.volumes.iter().find(|volume| volume.given == source);
        let source = known.map_or(source, |volume| &volume.source);
        let on = |disk: &str| {
            source.strip_prefix(disk).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.service.disks.iter().filter(|disk| on(&disk.path)).any(|disk| {
            let planned = self.profile.disks.get(&disk.name).and_then(|disk| disk.source());
            matches!(planned, Some(DiskSource::Nfs(_) | DiskSource::Cifs(_)))
        })
    }
}

/// Whether a path is Docker's socket, or a folder that has it.
fn holds_socket(source: &str) -> bool {
    let path = source.trim_end_matches('/');
    ["", "/run", "/var", "/var/run", "/run/docker.sock", "/var/run/docker.sock", "/run/containerd"]
        .contains(&path)
        || path.ends_with(".sock")
}
