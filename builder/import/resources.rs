//! What a container may use, and how one sees that it works.

use super::Import;
use super::container::Subject;
use super::units;
use super::yaml::{Node, Value};
use crate::catalog::{Container, Health};

impl Import<'_> {
    /// Limits, memory filesystems, and the like.
    pub(super) fn resources(&mut self, subject: &Subject<'_>) {
        let node = subject.node;
        for (key, apply) in [
            ("read_only", (|container, on| container.read_only = on) as fn(&mut Container, bool)),
            ("init", |container, on| container.init = on),
        ] {
            if let Some(on) = node.get(key).map(|node| self.report.flag(node)) {
                self.with(&subject.key, |container| apply(container, on));
            }
        }
        if let Some(tmpfs) = node.get("tmpfs").map(|node| self.report.texts(node)) {
            self.with(&subject.key, |container| container.tmpfs.extend(tmpfs));
        }
        let resources = node.get("deploy").and_then(|deploy| deploy.get("resources"));
        let limits = resources.and_then(|resources| resources.get("limits"));
        let deployed = |key: &str| limits.and_then(|limits| limits.get(key));
        if let Some(size) =
            self.unit(node.get("mem_limit").or(deployed("memory")), units::size, "a size such as `512m`")
        {
            self.with(&subject.key, |container| container.limits.memory = size);
        }
        if let Some(size) = self.unit(node.get("shm_size"), units::size, "a size such as `128m`") {
            self.with(&subject.key, |container| container.shm_size = Some(size));
        }
        if let Some(time) =
            self.unit(node.get("stop_grace_period"), units::duration, "a duration such as `30s`")
        {
            self.with(&subject.key, |container| container.stop = time);
        }
        let cpus = |text: &str| text.parse::<f64>().ok().filter(|cpus| (0.01..=1024.0).contains(cpus));
        if let Some(cpus) = self.unit(node.get("cpus").or(deployed("cpus")), cpus, "a number such as `1.5`") {
            self.with(&subject.key, |container| container.limits.cpus = Some(cpus));
        }
        let pids = |text: &str| text.parse::<u32>().ok().filter(|pids| *pids > 0);
        if let Some(pids) =
            self.unit(node.get("pids_limit").or(deployed("pids")), pids, "a number such as `512`")
        {
            self.with(&subject.key, |container| container.limits.pids = pids);
        }
        self.deployment(subject, resources);
    }

    /// What of `deploy` is about anything else than limits.
    fn deployment(&mut self, subject: &Subject<'_>, resources: Option<&Node>) {
        let deploy = subject.node.get("deploy");
        let replicas = deploy.and_then(|deploy| deploy.get("replicas")).or_else(|| subject.node.get("scale"));
        if let Some(node) = replicas
            && self.report.text(node).is_some_and(|text| text != "1")
        {
            self.report.error(
                &node.span,
                "scale",
                "a box runs each container once",
                "write the container out as often as it is needed",
            );
        }
        for (key, _) in deploy.map(Node::entries).unwrap_or_default() {
            if !["resources", "replicas"].contains(&key.text.as_str()) {
                let message = format!("`deploy.{}` is left out: a box is one machine", key.text);
                self.report.once(&key.span, "dropped-key", message);
            }
        }
        let reserved = resources.and_then(|resources| resources.get("reservations"));
        for (key, _) in reserved.map(Node::entries).unwrap_or_default() {
            if key.text == "devices" {
                self.graphics(&subject.key);
            } else {
                self.report.once(
                    &key.span,
                    "dropped-key",
                    "`reservations` is left out: a box has limits only",
                );
            }
        }
    }

    fn unit<T>(&mut self, node: Option<&Node>, read: impl Fn(&str) -> Option<T>, wanted: &str) -> Option<T> {
        let node = node?;
        let text = self.report.text(node)?;
        let value = read(&text);
        if value.is_none() {
            self.report.error(
                &node.span,
                "bad-value",
                format!("`{text}` is not what belongs here"),
                format!("write {wanted}"),
            );
        }
        value
    }

    pub(super) fn health(&mut self, subject: &Subject<'_>) {
        let mut health = Health::default();
        if let Some(node) = subject.node.get("healthcheck") {
            if let Some(test) = node.get("test") {
                self.looked_through(test, "healthcheck");
            }
            let off = node.get("disable").is_some_and(|node| self.report.flag(node));
            let test =
                node.get("test").map(|node| (matches!(node.value, Value::List(_)), self.report.texts(node)));
            match test {
                Some((true, words)) if words.first().is_some_and(|word| word == "NONE") => health.none = true,
                Some((true, words)) if !words.is_empty() => health.test = Some(words),
                Some((false, words)) => {
                    health.test = words.first().map(|command| vec!["CMD-SHELL".to_owned(), command.clone()])
                }
                _ => {}
            }
            if off {
                health = Health { none: true, ..Health::default() };
            }
            let wanted = "a duration such as `30s`";
            health.interval = self.unit(node.get("interval"), units::duration, wanted);
            health.timeout = self.unit(node.get("timeout"), units::duration, wanted);
            health.start = self.unit(node.get("start_period"), units::duration, wanted);
            health.retries = self.unit(node.get("retries"), |text| text.parse().ok(), "a number");
            let known =
                ["disable", "interval", "retries", "start_interval", "start_period", "test", "timeout"];
            for (key, _) in node.entries().iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
                let message = format!("unknown key `{}`", key.text);
                self.report.error(
                    &key.span,
                    "unknown-key",
                    message,
                    format!("its keys are {}", known.join(", ")),
                );
            }
        } else if let Some(known) = &subject.known {
            health.test = known.test.clone();
        }
        self.with(&subject.key, |container| container.health = health);
    }
}
