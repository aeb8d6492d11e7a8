//! Where everything of the drawing is: a row for each service, the ways in on its left, the way out on its right.

use serde::Serialize;

use crate::catalog::Role;
use crate::check::CheckedProfile;
use crate::plan::{Plan, ServicePlan};
use crate::profile::{Audience, BackupPlace, BackupTarget, Egress, SshLan};

/// The width of a card's text in characters of 12 px; a browser's widest usual font takes 7 px for one.
const LINE: usize = 44;
/// The width of a way in.
const ENTRY_LINE: usize = 38;
/// The height of a line of text, of a way in, and the space between rows.
const LINE_HEIGHT: u32 = 17;
const ENTRY_HEIGHT: u32 = 42;
const GAP: u32 = 14;
/// Where the first row begins, below the headings.
const TOP: u32 = 104;

/// Everything that is drawn. Lengths are in pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Scene {
    name: String,
    domain: Option<String>,
    height: u32,
    rows: Vec<Row>,
    /// Where the tunnel's bar begins and ends, if anything is published.
    tunnel: Option<Span>,
    /// The services in the VPN's network namespace.
    vpn: Option<Vpn>,
    /// Next to the services that reach the internet by themselves.
    internet: Option<Span>,
    /// The box itself.
    frame: Span,
    /// What stands below: disks, backups.
    notes: Vec<Text>,
}

/// A part of the height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Span {
    y: u32,
    height: u32,
}

/// The frame around what lives in the VPN's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Vpn {
    y: u32,
    height: u32,
    /// The service whose namespace it is.
    title: String,
    provider: String,
}

/// A line of text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Text {
    y: u32,
    text: String,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    y: u32,
    height: u32,
    /// Half of the height: where lines meet the card.
    middle: u32,
    title: String,
    lines: Vec<Text>,
    entries: Vec<Entry>,
    /// `direct`, `vpn` or `none`.
    egress: &'static str,
}

/// A way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Entry {
    y: u32,
    /// `tunnel`, `own` (a tunnel of its own), `edge` or `home`.
    kind: &'static str,
    text: String,
    note: &'static str,
    /// Whether it leads past the tunnel.
    bypasses: bool,
    /// All of the text, where it was cut.
    full: String,
}

impl Scene {
    /// Lays out the box of `profile`.
    pub(super) fn of(profile: &CheckedProfile, plan: &Plan) -> Self {
        let infrastructure = |service: &&ServicePlan| {
            matches!(service.role, Some(Role::Ingress)) || plan.vpn.as_ref() == Some(&service.name)
        };
        let cards = || plan.services.iter().filter(|service| service.runs() && !infrastructure(service));
        let mut y = TOP;
        let mut rows = Vec::new();
        if let Some(row) = ssh(profile, y) {
            y = row.y + row.height + GAP;
            rows.push(row);
        }
        for service in cards().filter(|service| service.namespace.is_none()) {
            rows.push(row(service, plan, y));
            y = rows.last().map_or(y, |row| row.y + row.height + GAP);
        }
        let vpn_at = y;
        // The frame has a heading.
        y += 2 * GAP + LINE_HEIGHT;
        let first = y;
        for service in cards().filter(|service| service.namespace.is_some()) {
            rows.push(row(service, plan, y));
            y = rows.last().map_or(y, |row| row.y + row.height + GAP);
        }
        let vpn = plan.vpn.as_ref().and_then(|name| plan.service(name)).filter(|_| y > first);
        let vpn = vpn.map(|service| Vpn {
            y: vpn_at,
            height: y - vpn_at,
            title: service.title.clone(),
            provider: profile.profile().vpn.as_ref().map(|vpn| vpn.provider.clone()).unwrap_or_default(),
        });
        y = if vpn.is_some() { y + GAP } else { vpn_at };
        let notes = notes(profile, y + GAP);
        let through: Vec<&Entry> =
            rows.iter().flat_map(|row| &row.entries).filter(|entry| entry.kind == "tunnel").collect();
        let tunnel = through
            .first()
            .zip(through.last())
            .map(|(first, last)| Span { y: first.y - 4, height: last.y + ENTRY_HEIGHT - first.y + 2 });
        let direct = || rows.iter().filter(|row| row.egress == "direct");
        let internet = direct()
            .next()
            .zip(direct().next_back())
            .map(|(first, last)| Span { y: first.y, height: last.y + last.height - first.y });
        Self {
            name: profile.name().to_owned(),
            domain: profile.profile().machine.domain.clone(),
            height: y + GAP + LINE_HEIGHT * u32::try_from(notes.len()).unwrap_or_default() + GAP,
            rows,
            tunnel,
            vpn,
            internet,
            frame: Span { y: TOP - GAP, height: y + GAP / 2 - TOP },
            notes,
        }
    }
}

/// The row of a service.
fn row(service: &ServicePlan, plan: &Plan, y: u32) -> Row {
    let mut entries = Vec::new();
    if let (Some(hostname), Some(audience)) = (&service.hostname, service.audience) {
        let note = match audience {
            Audience::Admin => "Cloudflare Tunnel, after a login as admin",
            Audience::Family => "Cloudflare Tunnel, after a login as family",
            Audience::Everyone => "Cloudflare Tunnel, for everyone",
        };
        entries.push(("tunnel", hostname.clone(), note));
    }
    if let Some(hostname) = &service.page_hostname {
        entries.push(("tunnel", hostname.clone(), "Cloudflare Tunnel, this page for everyone"));
    }
    for (source, kind, note) in
        [("edge", "edge", "from Cloudflare's addresses alone"), ("lan", "home", "from the networks at home")]
    {
        let ports = plan.ports.iter().filter(|port| port.service == service.name && port.source == source);
        let ports: Vec<String> = ports.map(|port| format!("{}/{}", port.port, port.protocol)).collect();
        if !ports.is_empty() {
            entries.push((kind, format!("port {}", ports.join(", ")), note));
        }
    }
    let egress = match service.egress {
        Egress::Direct => "direct",
        Egress::Vpn => "vpn",
        Egress::None => "none",
    };
    card(&service.title, &[service.about.replace('`', ""), details(service)], &entries, egress, y)
}

/// What else there is to a service: further containers, disks, whom it talks to, what it reaches at home.
fn details(service: &ServicePlan) -> String {
    let more: Vec<&str> = service
        .containers
        .iter()
        .filter(|container| !container.main)
        .map(|container| container.name.as_str())
        .collect();
    let disks: Vec<&str> = service.disks.iter().map(|disk| disk.name.as_str()).collect();
    let home: Vec<&str> = service.reach.keys().map(String::as_str).collect();
    let talks: Vec<&str> = service.talks_to.iter().map(String::as_str).collect();
    let parts = [("with", more), ("on the disk", disks), ("talks to", talks), ("reaches at home", home)];
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    let text =
        parts.map(|(what, names)| format!("{what} {}", names.join(", "))).collect::<Vec<_>>().join("; ");
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The way in for whoever looks after the box.
fn ssh(profile: &CheckedProfile, y: u32) -> Option<Row> {
    let ssh = &profile.profile().ssh;
    let mut entries = Vec::new();
    if let Some(at) = &ssh.at {
        entries.push(("own", profile.hostname(at), "a Cloudflare Tunnel of its own"));
    }
    match ssh.lan {
        SshLan::Always => entries.push(("home", "port 22/tcp".to_owned(), "from the networks at home")),
        SshLan::Rescue => {
            entries.push(("home", "port 22/tcp".to_owned(), "from home, while the tunnel is down"));
        }
        SshLan::Never => {}
    }
    let admins: Vec<&str> = profile.profile().machine.admins.keys().map(String::as_str).collect();
    let about = format!("With a key, for {}", admins.join(", "));
    (!entries.is_empty()).then(|| card("SSH", &[about], &entries, "none", y))
}

fn card(
    title: &str,
    about: &[String],
    entries: &[(&'static str, String, &'static str)],
    egress: &'static str,
    y: u32,
) -> Row {
    let lines: Vec<String> = about.iter().flat_map(|text| wrapped(text, LINE)).collect();
    let count = |list: usize| u32::try_from(list).unwrap_or(u32::MAX);
    let height = (42 + LINE_HEIGHT * count(lines.len())).max(ENTRY_HEIGHT * count(entries.len()) + 8);
    let lines =
        lines.into_iter().zip(0..).map(|(text, index)| Text { y: y + 44 + LINE_HEIGHT * index, text });
    // The ways in stand in the middle of the card's height.
    let start = y + (height - ENTRY_HEIGHT * count(entries.len())) / 2 + 3;
    let entries = entries.iter().zip(0..).map(|((kind, text, note), index)| Entry {
        y: start + ENTRY_HEIGHT * index,
        kind,
        text: cut(text, ENTRY_LINE),
        note,
        bypasses: matches!(*kind, "home" | "edge"),
        full: text.clone(),
    });
    Row {
        y,
        height,
        middle: y + height / 2,
        title: cut(title, LINE),
        lines: lines.collect(),
        entries: entries.collect(),
        egress,
    }
}

/// What stands below the box.
fn notes(profile: &CheckedProfile, y: u32) -> Vec<Text> {
    let mut notes = Vec::new();
    let disks: Vec<&str> = profile.profile().disks.keys().map(String::as_str).collect();
    if !disks.is_empty() {
        notes.push(format!("Data disks: {}", disks.join(", ")));
    }
    if let Some(backup) = &profile.profile().backup {
        let places = backup.to.iter().filter_map(BackupTarget::place);
        let targets: Vec<&str> = places.map(BackupPlace::name).collect();
        notes.push(format!("Backups every day at {} to {}", backup.at, targets.join(", ")));
    }
    notes.into_iter().zip(0..).map(|(text, index)| Text { y: y + LINE_HEIGHT * index, text }).collect()
}

/// `text` in lines of at most `width` characters; longer words are cut.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace().map(|word| cut(word, width)) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// `text` in at most `width` characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}
