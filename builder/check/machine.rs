//! Rules about the machine itself: its name, domain, time zone, system, admins, packages, patches, and SSH.

use crate::diag::Finding;
use crate::profile::{SshLan, nearest};

use super::report::{At, Facts, Report};
use super::words;

/// The version of the format.
pub(super) fn schema_version(facts: &Facts<'_>, report: &mut Report<'_>) {
    let version = facts.profile.schema;
    if version != 1 {
        let message = format!("this program knows version 1 of the format, not {version}");
        report
            .add(At::Value(&["schema"]), Finding::error("schema-version", message).help("write schema = 1"));
    }
}

/// The host name and the domain.
pub(super) fn names(facts: &Facts<'_>, report: &mut Report<'_>) {
    let machine = &facts.profile.machine;
    let at = At::Value(&["box", "name"]);
    if let Some(reason) = words::label(&machine.name) {
        let message = format!("\"{}\" cannot be a host name: {reason}", machine.name);
        let help =
            words::as_label(&machine.name).unwrap_or_else(|| "write a name such as \"servarr\"".into());
        report.add(at, Finding::error("bad-host-name", message).help(help));
    } else if ["localhost", "local", "home", "lan"].contains(&machine.name.as_str()) {
        let message = format!("\"{}\" means something else on a network", machine.name);
        report.add(at, Finding::error("reserved-name", message).help("write a name such as \"servarr\""));
    }
    if let Some((domain, reason)) = machine.domain.as_ref().and_then(|d| Some((d, words::domain(d)?))) {
        let message = format!("\"{domain}\" cannot be the domain: {reason}");
        let finding = Finding::error("bad-domain", message);
        report.add(
            At::Value(&["box", "domain"]),
            finding.help("write a domain of yours at Cloudflare: \"example.com\""),
        );
    }
}

/// The time zones that the box will have, and former names with their successors (see the file).
const TIMEZONES: &str = include_str!("timezones.txt");

/// The time zone.
pub(super) fn timezone(facts: &Facts<'_>, report: &mut Report<'_>) {
    let zone = facts.profile.machine.timezone.as_str();
    let lines = || TIMEZONES.lines().filter(|line| !line.starts_with('#'));
    let known = || lines().filter(|line| !line.contains(' '));
    if known().any(|name| name == zone) {
        return;
    }
    let at = At::Value(&["box", "timezone"]);
    if let Some((_, now)) = lines().filter_map(|line| line.split_once(' ')).find(|(old, _)| *old == zone) {
        let message = format!("\"{zone}\" is a former name that the box does not have");
        report.add(at, Finding::error("unknown-timezone", message).help(format!("write \"{now}\"")));
        return;
    }
    // "Brisbane", or "australia/brisbane": the city is what people remember.
    let city = zone.rsplit('/').next().unwrap_or(zone).replace(' ', "_");
    let same_city =
        known().find(|name| name.rsplit('/').next().is_some_and(|c| c.eq_ignore_ascii_case(&city)));
    let near = same_city.or_else(|| nearest(zone, known()));
    let help = near.map_or_else(
        || "write one such as \"Europe/Berlin\" or \"UTC\"".into(),
        |n| format!("write \"{n}\""),
    );
    report
        .add(at, Finding::error("unknown-timezone", format!("there is no time zone \"{zone}\"")).help(help));
}

/// The distribution and the platform.
pub(super) fn system(facts: &Facts<'_>, report: &mut Report<'_>) {
    let (machine, world) = (&facts.profile.machine, facts.world);
    if world.distribution.is_none() {
        let written = machine.distribution.as_str();
        let finding =
            Finding::error("unknown-distribution", format!("there is no distribution \"{written}\""));
        let help = why_not(written).map_or_else(|| choose(written, &world.distributions), str::to_owned);
        report.add(At::Value(&["box", "distribution"]), finding.help(help));
    }
    if world.platform.is_none() {
        let written = machine.platform.as_str();
        let finding = Finding::error("unknown-platform", format!("there is no platform \"{written}\""));
        report.add(At::Value(&["box", "platform"]), finding.help(choose(written, &world.platforms)));
    }
    if let (Some(distribution), Some(platform)) = (&world.distribution, &world.platform)
        && distribution.architecture != platform.architecture
    {
        let message = format!(
            "{} is for {}, and {} is {}",
            distribution.name, distribution.architecture, platform.name, platform.architecture
        );
        report.add(At::Value(&["box", "platform"]), Finding::error("wrong-architecture", message));
    }
}

/// Why a distribution that people ask for is not there.
fn why_not(name: &str) -> Option<&'static str> {
    match name {
        "ubuntu-22.04" | "ubuntu-jammy" | "jammy" => Some(
            "write \"ubuntu-24.04\": the systemd of 22.04 (249) lacks systemd-creds, with which the box keeps its secrets",
        ),
        "debian-12" | "debian-bookworm" | "bookworm" => {
            Some("write \"debian-13\": Debian 12 has no Docker Compose of version 2")
        }
        _ => None,
    }
}

fn choose(written: &str, names: &std::collections::BTreeSet<String>) -> String {
    if let Some(near) = nearest(written, names.iter().map(String::as_str)) {
        return format!("write \"{near}\"");
    }
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("there are {}", names.join(", "))
}

/// Who logs in.
pub(super) fn admins(facts: &Facts<'_>, report: &mut Report<'_>) {
    let admins = &facts.profile.machine.admins;
    if admins.is_empty() {
        let finding = Finding::warning("no-admin", "nobody can log in to this box");
        let help = "add your public key: admins = { you = [\"ssh-ed25519 AAAA… you@laptop\"] }";
        report.add(At::Key(&["box", "admins"]), finding.help(help));
    }
    for (user, keys) in admins {
        let at = At::Key(&["box", "admins", user]);
        let taken = facts.world.distribution.as_ref().is_some_and(|d| d.users.contains_key(user));
        if let Some(reason) = words::user(user) {
            let message = format!("\"{user}\" cannot be a user's name: {reason}");
            report.add(at, Finding::error("bad-user-name", message));
        } else if user == "root" || taken || SYSTEM_USERS.contains(&user.as_str()) {
            let finding = Finding::error("reserved-name", format!("\"{user}\" is a user of the system"));
            report.add(at, finding.help("write a name of your own; admins become root with sudo"));
        }
        if keys.is_empty() {
            let finding =
                Finding::error("no-key", format!("`{user}` has no key, and there are no passwords"));
            report.add(At::Value(&["box", "admins", user]), finding.help("write the line of a .pub file"));
        }
        for (position, key) in keys.iter().enumerate() {
            let position = position.to_string();
            let path = ["box", "admins", user.as_str(), position.as_str()];
            public_key(key, At::Value(&path), report);
        }
    }
}

/// Users that every Debian system has (base-passwd).
const SYSTEM_USERS: [&str; 20] = [
    "backup",
    "bin",
    "daemon",
    "games",
    "irc",
    "list",
    "lp",
    "mail",
    "man",
    "news",
    "nobody",
    "proxy",
    "sync",
    "sys",
    "uucp",
    "www-data",
    "sshd",
    "messagebus",
    "adm",
    "sudo",
];

fn public_key(key: &str, at: At<'_>, report: &mut Report<'_>) {
    if let Some((code, help)) = words::public_key(key) {
        if code == "private-key" {
            report.add_hidden(at, Finding::error(code, "this is a private key").help(help));
        } else {
            report.add(at, Finding::error(code, "this is not a public SSH key").help(help));
        }
    } else if key.contains(words::EXAMPLE_KEY) {
        let finding =
            Finding::warning("example-key", "this is the example's key, with which nobody can log in");
        report.add(at, finding.help("write the line of your own .pub file, such as ~/.ssh/id_ed25519.pub"));
    }
}

/// Packages and mirrors.
pub(super) fn packages(facts: &Facts<'_>, report: &mut Report<'_>) {
    let machine = &facts.profile.machine;
    for (position, package) in machine.packages.iter().enumerate() {
        let position = position.to_string();
        let path = ["box", "packages", position.as_str()];
        let excluded = facts.world.distribution.as_ref().and_then(|d| d.system.excluded.get(package));
        if let Some(reason) = words::package(package) {
            let message = format!("\"{package}\" is not the name of a package: {reason}");
            report.add(At::Value(&path), Finding::error("bad-package-name", message));
        } else if let Some(reason) = excluded {
            let message = format!("the package {package} cannot be on a box: {reason}");
            report.add(At::Value(&path), Finding::error("excluded-package", message).help("remove it"));
        }
    }
    let web = |address: &str| address.starts_with("http://") || address.starts_with("https://");
    if machine.mirror.as_deref().is_some_and(|mirror| !web(mirror)) {
        let finding = Finding::error("bad-mirror", "a package mirror is reached by http or https");
        report.add(
            At::Value(&["box", "mirror"]),
            finding.help("write it as \"http://mirror.example.net/debian\""),
        );
    }
    let registry = facts.profile.images.mirror.as_deref();
    if registry.is_some_and(|host| host.contains("://") || host.is_empty()) {
        let finding = Finding::error("bad-mirror", "a registry is named by its host, without a scheme");
        report
            .add(At::Value(&["images", "mirror"]), finding.help("write it as \"registry.example.net:5000\""));
    }
}

/// Live patches and extended maintenance, which only Ubuntu has.
pub(super) fn ubuntu_only(facts: &Facts<'_>, report: &mut Report<'_>) {
    let updates = &facts.profile.updates;
    let Some(distribution) = facts.world.distribution.as_ref().filter(|d| d.id != "ubuntu") else { return };
    let wanted = [
        (
            updates.livepatch,
            "livepatch",
            "nobody publishes live patches for its kernels, so the box restarts at night",
        ),
        (updates.esm, "esm", "it is Canonical's service for Ubuntu"),
    ];
    for (_, key, reason) in wanted.into_iter().filter(|(wanted, ..)| *wanted) {
        let finding = Finding::error("ubuntu-only", format!("{} has no {key}", distribution.title));
        let help = format!("{reason}; remove {key}, or write distribution = \"ubuntu-24.04\" in [box]");
        report.add(At::Value(&["updates", key]), finding.help(help));
    }
}

/// The ways in for admins.
pub(super) fn ssh(facts: &Facts<'_>, report: &mut Report<'_>) {
    let (ssh, cloudflare) = (&facts.profile.ssh, facts.profile.cloudflare.as_ref());
    if ssh.at.is_none() && ssh.lan != SshLan::Always {
        let message = match ssh.lan {
            SshLan::Never => "nobody can reach SSH: it has no tunnel, and at home `lan` is \"never\"",
            _ => {
                "nobody can reach SSH: it has no tunnel, whose failing would open it at home (`lan` is \"rescue\")"
            }
        };
        let finding = Finding::warning("ssh-unreachable", message);
        report.add(
            At::Key(&["ssh", "lan"]),
            finding.help("add at = \"ssh\" and a tunnel, or write lan = \"always\""),
        );
    }
    if ssh.at.is_some() && ssh.tunnel.is_none() {
        let finding = Finding::error("no-tunnel", "SSH has a name, but no tunnel of its own");
        let help = "add tunnel = \"UUID\", made with `cloudflared tunnel create`: the way in must not depend on Docker";
        report.add(At::Key(&["ssh", "at"]), finding.help(help));
    }
    if ssh.ci.is_some() && ssh.at.is_none() {
        let finding = Finding::error("no-name", "SSH has a name for programs, and none for people");
        let help =
            "add at = \"ssh\": the name for programs goes through the same tunnel, beside that for people";
        report.add(At::Key(&["ssh", "ci"]), finding.help(help));
    }
    if let (Some(own), Some(services)) = (&ssh.tunnel, cloudflare.map(|cloudflare| &cloudflare.tunnel))
        && own == services
    {
        let finding = Finding::error("shared-tunnel", "SSH and the services have the same tunnel");
        let help =
            "make a second tunnel: Cloudflare would send SSH to the services' cloudflared half of the time";
        report.add(At::Value(&["ssh", "tunnel"]), finding.help(help));
    }
    let admin = cloudflare.is_some_and(|cloudflare| cloudflare.admin.is_some());
    for (name, aud, key) in [(&ssh.at, &ssh.aud, "at"), (&ssh.ci, &ssh.ci_aud, "ci")] {
        if name.is_some() && aud.is_none() && !admin {
            let finding = Finding::error("no-access", "no Access application stands in front of SSH");
            let help = "add admin = { aud = \"…\" } to [cloudflare]: the application's audience tag";
            report.add(At::Key(&["ssh", key]), finding.help(help));
        } else if name.is_some() && cloudflare.is_none() {
            let message = "the box cannot check Access's tokens without the name of the team";
            let help = "add [cloudflare] with team = \"…\", as in TEAM.cloudflareaccess.com";
            report.add(At::Key(&["ssh", key]), Finding::error("no-team", message).help(help));
        }
    }
}
