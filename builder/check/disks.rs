//! Rules about `[disks]` and who works on them.

use std::collections::BTreeMap;

use crate::catalog::{DiskFolder, Service, Use, User, Volume};
use crate::diag::Finding;
use crate::profile::{Disk, DiskSource, Filesystem, nearest};

use super::report::{At, Facts, Line, Report};
use super::words;

/// Each disk says what it is, once, and in a way that can be found.
pub(super) fn sources(facts: &Facts<'_>, report: &mut Report<'_>) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (name, disk) in &facts.profile.disks {
        let path = ["disks", name.as_str()];
        name_of(name, &path, report);
        let Some(source) = disk.source() else {
            let written =
                [&disk.label, &disk.uuid, &disk.nfs, &disk.cifs].iter().filter(|one| one.is_some()).count();
            let finding = match written {
                0 => Finding::error("disk-without-source", format!("`{name}` does not say which disk it is")),
                _ => Finding::error(
                    "disk-with-several",
                    format!("`{name}` says more than one thing about which disk it is"),
                ),
            };
            let help =
                "write one of label = \"…\", uuid = \"…\", nfs = \"host:/path\", cifs = \"//host/share\"";
            report.add(At::Whole(&path), finding.help(help));
            continue;
        };
        let (key, text) = match source {
            DiskSource::Label(text) => ("label", text),
            DiskSource::Uuid(text) => ("uuid", text),
            DiskSource::Nfs(text) => ("nfs", text),
            DiskSource::Cifs(text) => ("cifs", text),
        };
        let value = ["disks", name.as_str(), key];
        if let Some((message, help)) = source_problem(source, disk.filesystem) {
            report.add(At::Value(&value), Finding::error("bad-disk", message).help(help));
        }
        if let Some(first) = seen.insert(format!("{key} {}", text.to_lowercase()), name) {
            let message = format!("`{first}` and `{name}` are the same disk");
            report.add(At::Value(&value), Finding::error("disk-twice", message).help("remove one of them"));
        }
        options(name, disk, source, report);
    }
}

/// Names under /srv that are not for data disks.
const RESERVED: [&str; 3] = ["boxwright", "state", "system"];

fn name_of(name: &str, path: &[&str], report: &mut Report<'_>) {
    if let Some(reason) = words::label(name) {
        let message = format!("\"{name}\" cannot be a disk's name: {reason}");
        report.add(
            At::Key(path),
            Finding::error("bad-disk-name", message).help("it becomes the folder /srv/NAME"),
        );
    } else if RESERVED.contains(&name) {
        let message = format!("/srv/{name} is the box's own");
        report.add(At::Key(path), Finding::error("reserved-name", message).help("write another name"));
    }
}

/// What is wrong with a source, and what to write.
fn source_problem(source: DiskSource<'_>, filesystem: Option<Filesystem>) -> Option<(String, &'static str)> {
    match source {
        DiskSource::Label(label) => {
            // mkfs.ext4(8), mkfs.xfs(8), mkfs.exfat(8); GPT and ntfs allow more.
            let longest = match filesystem {
                Some(Filesystem::Xfs) => 12,
                Some(Filesystem::Exfat) => 15,
                Some(Filesystem::Ext4) => 16,
                _ => 255,
            };
            let bad = label.is_empty() || label.contains('/') || label.chars().any(char::is_control);
            let help = "write the label that `lsblk -f` shows";
            (bad || label.len() > longest)
                .then(|| (format!("\"{label}\" cannot be a filesystem's label"), help))
        }
        DiskSource::Uuid(uuid) => {
            let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
            let digits = uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
            // ext4, xfs, btrfs; exFAT; NTFS.
            let shaped = matches!(lengths.as_slice(), [8, 4, 4, 4, 12] | [4, 4] | [16]);
            let help = "write the UUID that `lsblk -f` shows";
            (!(digits && shaped)).then(|| (format!("\"{uuid}\" is not a filesystem's UUID"), help))
        }
        DiskSource::Nfs(export) => {
            let right = export.split_once(":/").is_some_and(|(host, _)| is_host(host)) && plain(export);
            (!right).then(|| (format!("\"{export}\" is not an NFS export"), "write \"host:/path\""))
        }
        DiskSource::Cifs(share) => {
            let parts = share.strip_prefix("//").and_then(|rest| rest.split_once('/'));
            let right = parts.is_some_and(|(host, share)| is_host(host) && !share.is_empty())
                && !share.contains('\\');
            (!(right && plain(share)))
                .then(|| (format!("\"{share}\" is not a share"), "write \"//host/share\""))
        }
    }
}

fn is_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().is_ok()
        || host.split('.').all(|part| words::label(&part.to_lowercase()).is_none())
}

/// Without what would end a field of fstab or begin another line.
fn plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || c == '"')
}

fn options(name: &str, disk: &Disk, source: DiskSource<'_>, report: &mut Report<'_>) {
    if source.is_network() && disk.filesystem.is_some() {
        let finding = Finding::error("no-use", "a network share has no filesystem of its own");
        report.add(At::Key(&["disks", name, "filesystem"]), finding.help("remove `filesystem`"));
    }
}

/// Every disk is used, and everything that is used exists.
pub(super) fn uses(facts: &Facts<'_>, report: &mut Report<'_>) {
    let disks = &facts.profile.disks;
    let mut used: Vec<&str> = Vec::new();
    for (line, service) in facts.known() {
        let path = ["services", line.key, "disk"];
        let names = line.usage.disks();
        used.extend(names.iter().map(String::as_str));
        if !names.is_empty() && service.disk == Use::Never {
            let message = format!("{} does not work on a data disk", service.title);
            report.add(At::Key(&path), Finding::error("no-use", message).help("remove `disk`"));
        }
        if names.is_empty() && service.disk == Use::Required {
            let message = format!("{} needs a data disk", service.title);
            let help = match disks.keys().next() {
                Some(disk) => format!("add disk = \"{disk}\""),
                None => "add a disk to [disks], and disk = \"…\" here".to_owned(),
            };
            report.add(At::Key(&path), Finding::error("no-disk", message).help(help));
        }
        for name in names.iter().filter(|name| !disks.contains_key(*name)) {
            report.add(At::Value(&path), unknown(name, disks));
        }
    }
    used.extend(
        facts
            .lines
            .iter()
            .filter(|line| line.service.is_none())
            .flat_map(|l| l.usage.disks())
            .map(String::as_str),
    );
    for (position, target) in facts.profile.backup.iter().flat_map(|backup| &backup.to).enumerate() {
        let Some(name) = &target.disk else { continue };
        used.push(name);
        if !disks.contains_key(name) {
            let position = position.to_string();
            report.add(At::Value(&["backup", "to", position.as_str(), "disk"]), unknown(name, disks));
        }
    }
    for name in disks.keys().filter(|name| !used.contains(&name.as_str())) {
        let finding = Finding::warning("unused-disk", format!("no service works on the disk `{name}`"));
        let help = format!("write disk = \"{name}\" on a service, or remove the disk");
        report.add(At::Key(&["disks", name]), finding.help(help));
    }
}

fn unknown(name: &str, disks: &BTreeMap<String, Disk>) -> Finding {
    let finding = Finding::error("unknown-disk", format!("there is no disk `{name}`"));
    match nearest(name, disks.keys().map(String::as_str)) {
        Some(near) => finding.help(format!("write \"{near}\"")),
        None => finding.help(format!("add to [disks]: {name} = {{ label = \"…\" }}")),
    }
}

/// Who writes to a disk is its owner, or nothing can be written.
pub(super) fn owners(facts: &Facts<'_>, report: &mut Report<'_>) {
    for (line, service) in facts.known() {
        for container in service.containers.values() {
            let writes = container.volumes.iter().any(|volume| {
                !volume.read_only
                    && matches!(volume.disk, Some(DiskFolder::Whole(true) | DiskFolder::Folder(_)))
            });
            let User::Ids(uid, gid) = container.user else { continue };
            if !writes || uid == 0 {
                continue;
            }
            for name in line.usage.disks() {
                let owner = facts.profile.disks.get(name).and_then(|disk| disk.owner);
                if owner.is_some_and(|owner| owner.uid != uid && owner.gid != gid) {
                    let message =
                        format!("{} runs as {uid}:{gid}, which is not the owner of `{name}`", service.title);
                    let help =
                        format!("write owner = \"{uid}:{gid}\" in [disks] {name}, or use another disk");
                    let at = At::Value(&["services", line.key, "disk"]);
                    report.add(at, Finding::warning("disk-owner", message).help(help));
                }
            }
        }
    }
}

/// The drawback of keeping a folder on a disk that others may write to.
pub(super) const SHARED_DISK: &str = "shared-disk";

/// Who may change or delete what `service` keeps in a folder of its own on a data disk, because they have all of that disk: the
/// message and what to do.
pub(super) fn shared(line: &Line<'_>, service: &Service, facts: &Facts<'_>) -> Option<(String, String)> {
    if !volumes(service).any(|volume| volume.folder().is_some()) {
        return None;
    }
    let whole = |volume: &Volume| volume.disk == Some(DiskFolder::Whole(true)) && !volume.read_only;
    let disks = line.usage.disks();
    disks.iter().filter(|disk| facts.profile.disks.get(*disk).is_some_and(|disk| !disk.read_only)).find_map(
        |disk| {
            let writes = |other: &(&Line<'_>, &Service)| {
                other.1.name != service.name
                    && other.0.usage.disks().contains(disk)
                    && volumes(other.1).any(whole)
            };
            let others: Vec<&str> =
                facts.known().filter(writes).map(|(_, other)| other.title.as_str()).collect();
            let message = format!(
                "what {} keeps on the disk `{disk}` can be changed and deleted there by {}",
                service.title,
                others.join(", ")
            );
            let help = "give it a disk of its own in [disks]".to_owned();
            (!others.is_empty()).then_some((message, help))
        },
    )
}

fn volumes(service: &Service) -> impl Iterator<Item = &Volume> {
    service.containers.values().flat_map(|container| &container.volumes)
}
