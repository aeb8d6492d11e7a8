//! Rules about looking after the box: VPN provider, backups, alerts, mail.

use std::collections::BTreeSet;

use crate::catalog::Role;
use crate::diag::Finding;
use crate::profile::{
    BackupTarget, DiskSource, Filesystem, Notifier, Reboot, TimeOfDay, Vpn, VpnType, values,
};

use super::report::{At, Facts, Report};

/// The provider that is none: the profile names the server.
const CUSTOM: &str = "custom";

/// The VPN's provider, and its server.
pub(super) fn vpn(facts: &Facts<'_>, report: &mut Report<'_>) {
    let Some(vpn) = &facts.profile.vpn else { return };
    if vpn.provider.trim().is_empty() {
        let finding = Finding::error("bad-value", "the VPN's provider has no name");
        report.add(
            At::Value(&["vpn", "provider"]),
            finding.help("write one such as \"mullvad\", as Gluetun names it"),
        );
    }
    vpn_server(vpn, report);
}

/// A server of one's own is named whole, and nobody else's is.
fn vpn_server(vpn: &Vpn, report: &mut Report<'_>) {
    let custom = vpn.provider == CUSTOM;
    if custom && vpn.kind == VpnType::Openvpn {
        let finding = Finding::error("no-server", "a VPN of your own is reached by WireGuard alone");
        report.add(At::Value(&["vpn", "type"]), finding.help("write type = \"wireguard\""));
        return;
    }
    for (key, is_there) in [("endpoint", vpn.endpoint.is_some()), ("public-key", vpn.public_key.is_some())] {
        if custom && !is_there {
            let finding = Finding::error(
                "no-server",
                format!("nothing says where the VPN's server is: {key} is missing"),
            );
            let help = "write endpoint = \"ADDRESS:PORT\" and public-key = \"KEY\", the `Endpoint` and `PublicKey` of its WireGuard \
                        configuration";
            report.add(At::Value(&["vpn", "provider"]), finding.help(help));
        } else if !custom && is_there {
            let finding = Finding::error(
                "bad-value",
                format!("the servers of {} are known: {key} is for one of your own", vpn.provider),
            );
            report.add(At::Value(&["vpn", key]), finding.help("remove it, or write provider = \"custom\""));
        }
    }
    for (key, places) in [("countries", &vpn.countries), ("cities", &vpn.cities)] {
        if custom && !places.is_empty() {
            let finding = Finding::warning("unused-key", "a server of your own is where its endpoint is");
            report.add(At::Key(&["vpn", key]), finding.help(format!("remove {key}")));
        }
    }
    if vpn.public_key.as_deref().is_some_and(|key| values::wireguard_key(key).is_none()) {
        let finding = Finding::error("bad-value", "the server's public key is not 32 bytes in base64");
        report.add(
            At::Value(&["vpn", "public-key"]),
            finding.help("copy `PublicKey` of its WireGuard configuration"),
        );
    }
}

/// What a lock has at least, in days: it is renewed once a day, from the second day on.
const SHORTEST_LOCK: u32 = 3;

/// Where backups go, how many are kept, and when.
pub(super) fn backup(facts: &Facts<'_>, report: &mut Report<'_>) {
    let Some(backup) = &facts.profile.backup else { return };
    if facts.world.catalog.with_role(Role::Backup).is_none() {
        let finding = Finding::error("no-backup-service", "nothing in overlays/services writes backups");
        report.add(
            At::Key(&["backup"]),
            finding.help("remove the section; the box would only seem to have backups"),
        );
    }
    if backup.to.is_empty() {
        let finding = Finding::error("no-target", "the backup goes nowhere");
        let help = "write to = [{ s3 = \"BUCKET\", endpoint = \"ACCOUNT.r2.cloudflarestorage.com\" }]";
        report.add(At::Whole(&["backup", "to"]), finding.help(help));
    }
    left_out(facts, report);
    let mut seen: Vec<&BackupTarget> = Vec::new();
    for (position, target) in backup.to.iter().enumerate() {
        let position = position.to_string();
        if seen.contains(&target) {
            let finding = Finding::error("target-twice", "this target stands here twice");
            report.add(At::Value(&["backup", "to", &position]), finding.help("remove one of them"));
        }
        seen.push(target);
        backup_target(facts, target, &position, report);
    }
    deletable(&backup.to, report);
    let keep = backup.keep;
    if [keep.daily, keep.weekly, keep.monthly, keep.yearly].iter().all(|count| *count == 0) {
        let finding = Finding::error("keeps-nothing", "no backup would be kept");
        report.add(
            At::Key(&["backup", "keep"]),
            finding.help("write keep = { daily = 7, weekly = 4, monthly = 6 }"),
        );
    }
    if let Reboot::At(reboot) = facts.profile.updates.reboot {
        let minutes = |time: TimeOfDay| u32::from(time.hour) * 60 + u32::from(time.minute);
        let between = (minutes(reboot) + 24 * 60 - minutes(backup.at)) % (24 * 60);
        if between < 30 {
            let message = format!("the box may restart at {reboot}, {between} minutes into the backup");
            let finding = Finding::warning("backup-at-reboot", message);
            report.add(
                At::Value(&["backup", "at"]),
                finding.help("leave at least half an hour before `reboot`"),
            );
        }
    }
}

/// Whoever takes a box over has its keys, and begins with the backups.
fn deletable(targets: &[BackupTarget], report: &mut Report<'_>) {
    if targets.is_empty() || targets.iter().any(|target| target.locked.is_some() || target.pulled) {
        return;
    }
    let message = "whoever takes over the box can delete all of its backups";
    let finding = Finding::warning("backups-deletable", message);
    let help = "add a bucket with object lock and write `locked = \"30d\"` there; or have another machine fetch a copy of a \
                target, and write `pulled = true` there";
    report.add(At::Key(&["backup", "to"]), finding.help(help));
}

/// The lock of a bucket's objects.
fn lock(target: &BackupTarget, position: &str, report: &mut Report<'_>) {
    let Some(days) = target.locked else { return };
    let at = At::Value(&["backup", "to", position, "locked"]);
    if target.endpoint.as_deref().is_some_and(|endpoint| endpoint.ends_with(".r2.cloudflarestorage.com")) {
        let finding = Finding::error("no-object-lock", "Cloudflare R2 has no object lock");
        report.add(
            at,
            finding.help("take a bucket elsewhere for this, such as at Backblaze B2, Wasabi or AWS"),
        );
    } else if days.0 < SHORTEST_LOCK {
        let message =
            format!("the lock is renewed once a day, and {days} leave no time for a day without power");
        let finding = Finding::error("bad-value", message);
        report.add(at, finding.help(format!("write \"{SHORTEST_LOCK}d\" or more; \"30d\" is usual")));
    }
}

/// What services keep on data disks instead of the state partition is theirs to back up otherwise: it may be terabytes.
fn left_out(facts: &Facts<'_>, report: &mut Report<'_>) {
    for (line, service) in facts.known().filter(|(line, _)| !line.usage.disks().is_empty()) {
        let volumes = service.containers.values().flat_map(|container| &container.volumes);
        let moved = volumes.filter(|volume| volume.without_disk).filter_map(|volume| volume.state.as_deref());
        let kept =
            |folder: &str| service.backup.paths.iter().any(|path| path.split('/').next() == Some(folder));
        if moved.into_iter().any(kept) {
            let message = format!(
                "backups leave out what {} keeps on the disk: only its database and settings are in them",
                service.title
            );
            let finding = Finding::note("disk-not-in-backup", message);
            let help =
                "keep a second copy of the disk, or leave `disk` away if the state partition has the room";
            report.add(At::Value(&["services", line.key, "disk"]), finding.help(help));
        }
    }
}

fn backup_target(facts: &Facts<'_>, target: &BackupTarget, position: &str, report: &mut Report<'_>) {
    let path = ["backup", "to", position];
    let key = |key: &'static str| ["backup", "to", position, key];
    match (&target.s3, &target.disk) {
        (None, None) | (Some(_), Some(_)) => {
            let finding = Finding::error("bad-target", "a target is either a bucket or a disk");
            report.add(
                At::Whole(&path),
                finding.help("write { s3 = \"BUCKET\", endpoint = \"…\" } or { disk = \"…\" }"),
            );
        }
        (None, Some(disk)) => {
            owners(facts, disk, At::Value(&key("disk")), report);
            let folder = target.prefix.as_deref().unwrap_or("backups");
            let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
            if !folder.split('/').all(plain) {
                let finding = Finding::error("bad-target", format!("\"{folder}\" is no folder of the disk"));
                report.add(
                    At::Value(&key("prefix")),
                    finding.help("write a path below the disk, such as \"backups\""),
                );
            }
            let others = [
                ("endpoint", target.endpoint.is_some()),
                ("region", target.region.is_some()),
                ("locked", target.locked.is_some()),
            ];
            for (name, _) in others.iter().filter(|(_, there)| *there) {
                let what = if *name == "locked" { "object lock" } else { *name };
                let finding = Finding::error("no-use", format!("a disk has no {what}"));
                report.add(At::Key(&key(name)), finding.help("remove it"));
            }
        }
        (Some(bucket), None) => {
            // The rules of S3 for buckets, which R2 shares.
            let right = (3..=63).contains(&bucket.len())
                && bucket
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
            if !right {
                let finding = Finding::error("bad-target", format!("\"{bucket}\" cannot be a bucket's name"));
                report.add(
                    At::Value(&key("s3")),
                    finding.help("write 3 to 63 small letters, digits and hyphens"),
                );
            }
            endpoint(target, position, report);
            lock(target, position, report);
        }
    }
}

/// What is backed up belongs to a user of its own, whom no service can be: the disk has to know owners.
fn owners(facts: &Facts<'_>, name: &str, at: At<'_>, report: &mut Report<'_>) {
    let Some(disk) = facts.profile.disks.get(name) else { return };
    let share = matches!(disk.source(), Some(DiskSource::Cifs(_)));
    if share || matches!(disk.filesystem, Some(Filesystem::Exfat | Filesystem::Ntfs)) {
        let message = format!("files on `{name}` have no owners, and backups need one of their own");
        let finding = Finding::error("bad-target", message);
        report.add(at, finding.help("name a disk with ext4, xfs or btrfs, an NFS export, or a bucket"));
    } else if matches!(disk.source(), Some(DiskSource::Nfs(_))) {
        let message = "the server of this export has to let the box's root give folders to other users";
        let finding = Finding::note("backup-on-nfs", message);
        report.add(at, finding.help("export it with no_root_squash to the box"));
    }
}

fn endpoint(target: &BackupTarget, position: &str, report: &mut Report<'_>) {
    let key = ["backup", "to", position, "endpoint"];
    match target.endpoint.as_deref() {
        None => {
            let finding = Finding::error("bad-target", "the bucket's server is missing");
            let help = "add endpoint = \"ACCOUNT.r2.cloudflarestorage.com\" or \"s3.REGION.amazonaws.com\"";
            report.add(At::Whole(&["backup", "to", position]), finding.help(help));
        }
        Some(endpoint) if endpoint.contains("://") || endpoint.contains('/') || endpoint.is_empty() => {
            let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
            let host = host.split('/').next().unwrap_or_default();
            let finding = Finding::error("bad-target", "the bucket's server is a host name alone");
            report.add(At::Value(&key), finding.help(format!("write \"{host}\"")));
        }
        Some(endpoint) if endpoint.starts_with("ACCOUNT.") => {
            let finding = Finding::warning("example-value", "this is the example's server");
            report.add(At::Value(&key), finding.help("write the id of your Cloudflare account for ACCOUNT"));
        }
        Some(_) => {}
    }
}

/// The UPS cuts the box's power at the end, and gives it back with the mains.
pub(super) fn ups(facts: &Facts<'_>, report: &mut Report<'_>) {
    if facts.profile.machine.ups.is_some() {
        let message =
            "the UPS switches a box off that has shut down: its firmware has to start it when power returns";
        let finding = Finding::note("start-with-power", message);
        let help =
            "set \"Restore on AC Power Loss\" (or the like) to \"Power On\" in the machine's firmware (BIOS)";
        report.add(At::Value(&["box", "ups"]), finding.help(help));
    }
}

/// Who is told.
pub(super) fn alerts(facts: &Facts<'_>, report: &mut Report<'_>) {
    let alerts = &facts.profile.alerts;
    let mut seen = BTreeSet::new();
    for (position, notifier) in alerts.to.iter().enumerate() {
        if !seen.insert(notifier) {
            let position = position.to_string();
            let finding = Finding::warning("needless-value", "this stands here twice");
            report.add(At::Value(&["alerts", "to", &position]), finding.help("remove one of them"));
        }
    }
    if seen.contains(&Notifier::Mail) && alerts.mail.is_none() {
        let finding = Finding::error("no-mail-server", "alerts go by mail, and there is no mail server");
        let help = "add mail = { host = \"smtp.example.net\", from = \"box@example.com\" } to [alerts]";
        report.add(At::Value(&["alerts", "to"]), finding.help(help));
    }
    if alerts.ntfy.is_some() && !seen.contains(&Notifier::Ntfy) {
        let finding = Finding::warning("unused-key", "no alert goes by ntfy");
        report.add(At::Key(&["alerts", "ntfy"]), finding.help("add \"ntfy\" to `to`, or remove it"));
    }
    let server = alerts.ntfy.as_ref().map(|ntfy| ntfy.server.as_str());
    if server.is_some_and(|server| !server.starts_with("https://") && !server.starts_with("http://")) {
        let finding = Finding::error("bad-value", "this is not the address of a server");
        report.add(At::Value(&["alerts", "ntfy", "server"]), finding.help("write \"https://ntfy.sh\""));
    }
    let Some(mail) = &alerts.mail else { return };
    let addresses = [("from", Some(&mail.from)), ("to", mail.to.as_ref())];
    for (key, address) in addresses.into_iter().filter_map(|(key, address)| Some((key, address?))) {
        let parts = address.split_once('@');
        let right =
            parts.is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'));
        if !right || address.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let finding = Finding::error("bad-value", format!("\"{address}\" is not a mail address"));
            report.add(At::Value(&["alerts", "mail", key]), finding.help("write \"name@example.com\""));
        }
    }
    if mail.host.contains("://") || mail.host.contains(':') || mail.host.trim().is_empty() {
        let finding = Finding::error("bad-value", "the mail server is a host name alone");
        report.add(
            At::Value(&["alerts", "mail", "host"]),
            finding.help("write \"smtp.example.net\", and port = 587 beside it"),
        );
    }
}
