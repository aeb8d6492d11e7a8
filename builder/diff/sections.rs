//! A [`Difference`] as titled rows, from which the text and the Markdown are made alike. Files are not among them.

use super::{
    Changed, ContainerChange, Difference, FileChange, FileState, Hostname, PackageChange, PackageMove,
    Pinned, UnitState,
};
use crate::plan::{NetworkPlan, PublishedPort};
use crate::profile::Audience;
use crate::ui::human_bytes;

/// How much of a digest a person is shown: `sha256:` and twelve digits.
const SHORT: usize = 19;

/// How many CVEs of a package are named.
const NAMED: usize = 8;

/// Rows about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// Its title.
    pub(super) title: &'static str,
    /// What differs.
    pub(super) rows: Vec<Row>,
}

/// One thing that differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// What it is called.
    pub(super) name: String,
    /// What it was; none if it is new.
    pub(super) old: Option<String>,
    /// What it is; none if it is gone.
    pub(super) new: Option<String>,
    /// What else there is to say.
    pub(super) note: String,
}

impl Row {
    /// `+` for what is new, `-` for what is gone, `~` for the rest.
    pub(super) fn sign(&self) -> char {
        match (&self.old, &self.new) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        }
    }
}

/// All sections that have rows.
pub(super) fn sections(difference: &Difference) -> Vec<Section> {
    let sections = [
        ("lock and release", rows(&difference.values, Clone::clone)),
        ("sources", rows(&difference.sources, Clone::clone)),
        ("sizes", difference.sizes.iter().map(size).collect()),
        ("services", rows(&difference.services, Clone::clone)),
        ("host names", rows(&difference.hostnames, hostname)),
        ("open ports", rows(&difference.ports, port)),
        ("networks", difference.networks.iter().map(network).collect()),
        ("units", rows(&difference.units, |state| unit(*state).to_owned())),
        ("container images", difference.containers.iter().map(container).collect()),
        ("packages", difference.packages.iter().map(package).collect()),
    ];
    sections
        .into_iter()
        .filter(|(_, rows): &(_, Vec<Row>)| !rows.is_empty())
        .map(|(title, rows)| Section { title, rows })
        .collect()
}

fn rows<T>(changes: &[Changed<T>], show: impl Fn(&T) -> String) -> Vec<Row> {
    let row = |change: &Changed<T>| Row {
        name: change.name.clone(),
        old: change.old.as_ref().map(&show),
        new: change.new.as_ref().map(&show),
        note: String::new(),
    };
    changes.iter().map(row).collect()
}

fn size(change: &Changed<u64>) -> Row {
    let note = match (change.old, change.new) {
        (Some(old), Some(new)) if new > old => format!("{} more", human_bytes(new - old)),
        (Some(old), Some(new)) => format!("{} less", human_bytes(old - new)),
        _ => String::new(),
    };
    let show = |bytes: Option<u64>| bytes.map(human_bytes);
    Row { name: change.name.clone(), old: show(change.old), new: show(change.new), note }
}

fn hostname(hostname: &Hostname) -> String {
    let audience = match hostname.audience {
        Audience::Admin => "admin",
        Audience::Family => "family",
        Audience::Everyone => "everyone",
    };
    format!("{} for {audience}", hostname.service)
}

fn port(port: &PublishedPort) -> String {
    format!("{}, {}/{} of {}", port.service, port.container_port, port.protocol, port.container)
}

fn unit(state: UnitState) -> &'static str {
    match state {
        UnitState::Enabled => "enabled",
        UnitState::Masked => "masked",
    }
}

/// A network that changed is told by what changed of it.
fn network(change: &Changed<NetworkPlan>) -> Row {
    let (old, new) = match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            let (old, new): (Vec<String>, Vec<String>) =
                aspects(old).into_iter().zip(aspects(new)).filter(|(old, new)| old != new).unzip();
            (Some(old.join("; ")), Some(new.join("; ")))
        }
        (old, new) => {
            let all = |network: &NetworkPlan| aspects(network).join("; ");
            (old.as_ref().map(all), new.as_ref().map(all))
        }
    };
    Row { name: change.name.clone(), old, new, note: String::new() }
}

/// What is to be said of a network: always the same number of parts.
fn aspects(network: &NetworkPlan) -> [String; 4] {
    let members: Vec<String> = network.members.iter().map(member).collect();
    let way_out = match (network.internal, network.egress) {
        (true, _) => "no way out",
        (false, true) => "to the internet",
        (false, false) => "not to the internet",
    };
    let home = if network.reach.is_empty() { "nothing at home".to_owned() } else { network.reach.join(", ") };
    [network.subnet.to_string(), members.join(", "), way_out.to_owned(), home]
}

/// A member with the names that it has besides its own.
fn member(member: &crate::plan::Member) -> String {
    let other: Vec<&str> =
        member.names.iter().map(String::as_str).filter(|name| *name != member.container).collect();
    if other.is_empty() {
        member.container.clone()
    } else {
        format!("{} ({})", member.container, other.join(", "))
    }
}

fn container(change: &ContainerChange) -> Row {
    let show = |pinned: &Pinned| {
        let digest = pinned.digest.as_ref().map(|digest| digest.chars().take(SHORT).collect::<String>());
        let parts = [(!pinned.tag.is_empty()).then(|| pinned.tag.clone()), digest];
        let shown = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        if shown.is_empty() { "not resolved".to_owned() } else { shown }
    };
    let services = change.services.join(", ");
    Row {
        name: change.repository.clone(),
        old: change.old.as_ref().map(show),
        new: change.new.as_ref().map(show),
        note: match change.services.len() {
            0 => String::new(),
            1 => format!("service {services}"),
            _ => format!("services {services}"),
        },
    }
}

fn package(change: &PackageChange) -> Row {
    let mut note = change.part_of.to_owned();
    match change.change {
        PackageMove::Downgraded => note.push_str("; an earlier version"),
        PackageMove::Rebuilt => note.push_str("; another file"),
        _ => {}
    }
    if let Some(fixed) = change.fixed.as_ref().filter(|fixed| !fixed.is_empty()) {
        let named = fixed.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        note.push_str(&format!("; fixes {named}"));
        // A kernel's may be a thousand; JSON has them all.
        match fixed.len().saturating_sub(NAMED) {
            0 => {}
            more => note.push_str(&format!(" and {more} more")),
        }
    }
    Row { name: change.name.clone(), old: change.old.clone(), new: change.new.clone(), note }
}

/// What of a file differs besides its content, as a row.
pub(super) fn file(change: &FileChange) -> Row {
    let describe = |state: &FileState| {
        let mut words = vec![state.kind.to_owned(), state.mode.clone()];
        if state.owner != "0:0" {
            words.push(state.owner.clone());
        }
        words.extend(state.target.iter().map(|target| format!("to {target}")));
        // The lines say how text has grown.
        if change.diff.is_none() {
            words.extend(state.size.map(|size| format!("{size} bytes")));
        }
        words.join(" ")
    };
    let same = |row: &Row| row.old == row.new && change.diff.is_none();
    let mut row = Row {
        name: format!("/{}", change.path),
        old: change.old.as_ref().map(describe),
        new: change.new.as_ref().map(describe),
        note: String::new(),
    };
    if same(&row) {
        row.note.push_str("other bytes");
    }
    row
}
