//! The text of `service.toml`, as a person would write it, and with what one has to think about beside it.

use std::fmt::Write as _;

use crate::catalog::{
    Backup, Container, DiskFolder, Health, Networks, Open, Secret, SecretSource, Service, Use, User, Volume,
};
use crate::profile::Egress;

/// The whole file.
pub(super) fn text(service: &Service) -> String {
    let mut text = String::new();
    let line = |text: &mut String, key: &str, value: &str| _ = writeln!(text, "{key} = {value}");
    line(&mut text, "schema", "1");
    line(&mut text, "title", &string(&service.title));
    line(&mut text, "about", &string(&service.about));
    text.push_str("# Nothing leaves unless the profile's line says `egress = \"direct\"`; put first what it usually needs.\n");
    let ways: Vec<String> = service.egress.iter().map(|way| string(word(*way))).collect();
    line(&mut text, "egress", &format!("[{}]", ways.join(", ")));
    for (key, usage) in [("disk", service.disk), ("gpu", service.gpu)] {
        match usage {
            Use::Never => {}
            Use::Optional => line(&mut text, key, "\"optional\""),
            Use::Required => line(&mut text, key, "\"required\""),
        }
    }
    // The main container first.
    let main = service.containers.get_key_value(&service.name);
    let others = service.containers.iter().filter(|(key, _)| **key != service.name);
    for (key, one) in main.into_iter().chain(others) {
        container(&mut text, key, one);
    }
    exposure(&mut text, service);
    for (name, one) in &service.secrets {
        secret(&mut text, name, one);
    }
    backup(&mut text, &service.backup);
    text
}

fn word(way: Egress) -> &'static str {
    match way {
        Egress::Direct => "direct",
        Egress::Vpn => "vpn",
        Egress::None => "none",
    }
}

fn string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn strings(list: &[String]) -> String {
    format!("[{}]", list.iter().map(|one| string(one)).collect::<Vec<_>>().join(", "))
}

fn container(text: &mut String, key: &str, container: &Container) {
    _ = writeln!(text, "\n[containers.{key}]");
    let mut line = |key: &str, value: String| _ = writeln!(text, "{key} = {value}");
    line("image", string(&container.image));
    if let User::Ids(uid, gid) = container.user {
        line("user", string(&format!("{uid}:{gid}")));
    }
    let flags = [
        ("starts-as-root", container.starts_as_root),
        ("read-only", container.read_only),
        ("init", container.init),
        ("gpu", container.gpu),
        ("egress", container.egress),
    ];
    for (key, _) in flags.iter().filter(|(_, on)| *on) {
        line(key, "true".to_owned());
    }
    if !container.no_new_privileges {
        line("no-new-privileges", "false".to_owned());
    }
    for (key, list) in [
        ("capabilities", &container.capabilities),
        ("tmpfs", &container.tmpfs),
        ("devices", &container.devices),
        ("after", &container.after),
    ] {
        if !list.is_empty() {
            line(key, strings(list));
        }
    }
    if container.networks == Networks::Private {
        line("networks", string("private"));
    }
    if let Some(size) = &container.shm_size {
        line("shm-size", string(size));
    }
    if container.stop != "30s" {
        line("stop", string(&container.stop));
    }
    if let Some(health) = health(&container.health) {
        line("health", health);
    }
    if let Some(limits) = limits(container) {
        line("limits", limits);
    }
    match container.volumes.as_slice() {
        [] => {}
        [one] => line("volumes", format!("[{}]", volume(one))),
        all => {
            let rows: String = all.iter().map(|one| format!("  {},\n", volume(one))).collect();
            line("volumes", format!("[\n{rows}]"));
        }
    }
}

fn health(health: &Health) -> Option<String> {
    let mut parts = Vec::new();
    if health.none {
        parts.push("none = true".to_owned());
    }
    parts.extend(health.test.as_ref().map(|test| format!("test = {}", strings(test))));
    for (key, value) in
        [("interval", &health.interval), ("timeout", &health.timeout), ("start", &health.start)]
    {
        parts.extend(value.as_ref().map(|value| format!("{key} = {}", string(value))));
    }
    parts.extend(health.retries.map(|retries| format!("retries = {retries}")));
    (!parts.is_empty()).then(|| format!("{{ {} }}", parts.join(", ")))
}

fn limits(container: &Container) -> Option<String> {
    let (limits, usual) = (&container.limits, crate::catalog::Limits::default());
    let mut parts = Vec::new();
    if limits.memory != usual.memory {
        parts.push(format!("memory = {}", string(&limits.memory)));
    }
    parts.extend(limits.cpus.map(|cpus| format!("cpus = {}", toml::Value::Float(cpus))));
    if limits.pids != usual.pids {
        parts.push(format!("pids = {}", limits.pids));
    }
    (!parts.is_empty()).then(|| format!("{{ {} }}", parts.join(", ")))
}

fn volume(volume: &Volume) -> String {
    let mut parts = Vec::new();
    parts.extend(volume.state.as_ref().map(|folder| format!("state = {}", string(folder))));
    parts.extend(volume.config.as_ref().map(|file| format!("config = {}", string(file))));
    parts.extend(volume.disk.as_ref().map(|disk| match disk {
        DiskFolder::Whole(whole) => format!("disk = {whole}"),
        DiskFolder::Folder(folder) => format!("disk = {}", string(folder)),
    }));
    parts.push(format!("at = {}", string(&volume.at)));
    if volume.read_only {
        parts.push("read-only = true".to_owned());
    }
    format!("{{ {} }}", parts.join(", "))
}

fn exposure(text: &mut String, service: &Service) {
    if let Some(exposure) = &service.exposure {
        _ = writeln!(text, "\n[exposure]\nport = {}", exposure.port);
        if exposure.scheme != "http" {
            _ = writeln!(text, "scheme = {}", string(&exposure.scheme));
        }
        text.push_str(
            "# Nobody without Access: the safest. \"own\" if it asks for a login from its first start, \"after-setup\" if the\n\
             # first visitor becomes its owner.\nlogin = \"none\"\n",
        );
        if exposure.lan {
            text.push_str("lan = true\n");
        }
    }
    for port in &service.ports {
        _ = writeln!(
            text,
            "\n[[ports]]\nport = {}\nabout = {}",
            string(&port.port.to_string()),
            string(&port.about)
        );
        if let Some(container) = &port.container {
            _ = writeln!(text, "container = {}", string(container));
        }
        if port.open == Open::Lan {
            text.push_str("open = \"lan\"\n");
        }
    }
}

fn secret(text: &mut String, name: &str, secret: &Secret) {
    _ = writeln!(text, "\n[secrets.{name}]\nabout = {}", string(&secret.about));
    if secret.from == SecretSource::Box {
        text.push_str("from = \"box\"\n");
    }
    _ = writeln!(text, "containers = {}", strings(&secret.containers));
}

fn backup(text: &mut String, backup: &Backup) {
    if !backup.paths.is_empty() {
        text.push_str("\n[backup]\n# SQLite databases among these files belong into `sqlite` as well: sqlite = [\"data/app.db\"]\n");
        _ = writeln!(text, "paths = {}", strings(&backup.paths));
    }
    for dump in &backup.dumps {
        _ = writeln!(text, "\n[[backup.dumps]]\ncontainer = {}", string(&dump.container));
        _ = writeln!(text, "command = {}", strings(&dump.command));
        _ = writeln!(text, "file = {}\nload = {}", string(&dump.file), strings(&dump.load));
    }
}
