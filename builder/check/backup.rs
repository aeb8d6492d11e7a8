//! Rules about backups: where they go, how many are kept, who could delete them.

use crate::catalog::Role;
use crate::diag::Finding;
use crate::profile::{BackupPlace, BackupTarget, DiskSource, Filesystem, OneOrMany, Reboot, TimeOfDay};

use super::report::{At, Facts, Report};
use super::words;

/// What a lock has at least, in days: it is renewed once a day, from the second day on.
const SHORTEST_LOCK: u32 = 3;

/// Where backups go, how many are kept, and when.
pub(super) fn backups(facts: &Facts<'_>, report: &mut Report<'_>) {
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
    let Some(place) = target.place() else {
        let finding = Finding::error("bad-target", "a target is either a bucket, a server or a disk");
        let help = "write { s3 = \"BUCKET\", endpoint = \"…\" }, { sftp = \"HOST\", … } or { disk = \"…\" }";
        report.add(At::Whole(&["backup", "to", position]), finding.help(help));
        return;
    };
    without_use(target, place, position, report);
    match place {
        BackupPlace::Disk(disk) => {
            owners(facts, disk, At::Value(&["backup", "to", position, "disk"]), report);
            folder(target, position, report);
        }
        BackupPlace::Sftp(host) => {
            server(host, target, position, report);
            host_keys(target, position, report);
            folder(target, position, report);
        }
        BackupPlace::Bucket(bucket) => {
            // The rules of S3 for buckets, which R2 shares.
            let right = (3..=63).contains(&bucket.len())
                && bucket
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
            if !right {
                let finding = Finding::error("bad-target", format!("\"{bucket}\" cannot be a bucket's name"));
                report.add(
                    At::Value(&["backup", "to", position, "s3"]),
                    finding.help("write 3 to 63 small letters, digits and hyphens"),
                );
            }
            endpoint(target, position, report);
            lock(target, position, report);
        }
    }
}

/// Keys of one kind of target at another.
fn without_use(target: &BackupTarget, place: BackupPlace<'_>, position: &str, report: &mut Report<'_>) {
    let (what, bucket, server) = match place {
        BackupPlace::Bucket(_) => ("a bucket", true, false),
        BackupPlace::Sftp(_) => ("a server that is reached over SFTP", false, true),
        BackupPlace::Disk(_) => ("a disk", false, false),
    };
    let keys = [
        ("endpoint", "endpoint", target.endpoint.is_some(), bucket),
        ("region", "region", target.region.is_some(), bucket),
        ("locked", "object lock", target.locked.is_some(), bucket),
        ("user", "user", target.user.is_some(), server),
        ("port", "port of its own", target.port.is_some(), server),
        ("host-key", "host key", target.host_key.is_some(), server),
    ];
    for (key, meant, ..) in keys.into_iter().filter(|(.., there, of_use)| *there && !of_use) {
        let finding = Finding::error("no-use", format!("{what} has no {meant}"));
        let help = match (key, place) {
            ("locked", BackupPlace::Sftp(_)) => {
                "remove it; have another machine fetch a copy, and write `pulled = true`, or add a bucket with object lock"
            }
            _ => "remove it",
        };
        report.add(At::Key(&["backup", "to", position, key]), finding.help(help));
    }
}

/// The folder of a target that is no bucket.
fn folder(target: &BackupTarget, position: &str, report: &mut Report<'_>) {
    let folder = target.folder().unwrap_or_default();
    let (top, below) = match target.place() {
        // The whole path from the server's root.
        Some(BackupPlace::Sftp(_)) => ("server", folder.strip_prefix('/').unwrap_or(folder)),
        _ => ("disk", folder),
    };
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !below.split('/').all(plain) || below.contains(char::is_control) {
        let finding = Finding::error("bad-target", format!("\"{folder}\" is no folder of the {top}"));
        let help = if top == "disk" {
            "write a path below the disk, such as \"backups\""
        } else {
            "write a path such as \"/srv/box\", or \"backups\" below the account's own folder"
        };
        report.add(At::Value(&["backup", "to", position, "prefix"]), finding.help(help));
    }
}

/// Where a server is, and as whom the box logs in there.
fn server(host: &str, target: &BackupTarget, position: &str, report: &mut Report<'_>) {
    // It is part of the names of secrets and of files.
    let right = host.len() <= 253 && host.split('.').all(|part| words::label(part).is_none());
    if !right {
        let finding = Finding::error("bad-target", format!("\"{host}\" cannot be a server's name"));
        let help = "write its name in small letters, or its IPv4 address, alone: the account is `user`, the folder `prefix`, \
                    the port `port`";
        report.add(At::Value(&["backup", "to", position, "sftp"]), finding.help(help));
    }
    match target.user.as_deref() {
        None => {
            let finding = Finding::error("bad-target", "the account at the server is missing");
            let help = "add user = \"NAME\", an account for the backups of this box alone";
            report.add(At::Whole(&["backup", "to", position]), finding.help(help));
        }
        Some(user) if user.is_empty() || user.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            let finding = Finding::error("bad-target", "this cannot be the name of an account");
            report.add(
                At::Value(&["backup", "to", position, "user"]),
                finding.help("write it without blanks, such as \"box-backup\""),
            );
        }
        Some(_) => {}
    }
}

/// The keys by which the server is known: nothing is trusted because it answers first.
fn host_keys(target: &BackupTarget, position: &str, report: &mut Report<'_>) {
    let path = ["backup", "to", position, "host-key"];
    let keys = target.host_key.as_ref().map(OneOrMany::as_slice).unwrap_or_default();
    if keys.is_empty() {
        let finding = Finding::error("bad-target", "nothing says by which key the server is known");
        let help = "add host-key = [\"ecdsa-sha2-nistp256 AAAA…\", \"ssh-ed25519 AAAA…\"]: what \
                    `cat /etc/ssh/ssh_host_*_key.pub` prints there, or what its provider publishes";
        report.add(At::Whole(&["backup", "to", position]), finding.help(help));
        return;
    }
    for key in keys {
        let Some((code, _)) = words::public_key(key) else { continue };
        if code == "private-key" {
            let help = "take it out, and give the server a new one: this one is no longer a secret. The public key is in the \
                        file that ends in .pub";
            report.add_hidden(At::Value(&path), Finding::error(code, "this is a private key").help(help));
        } else {
            let finding = Finding::error("bad-key", "this is not a server's public host key");
            let help = "write the type and the key, \"ssh-ed25519 AAAA…\"; `ssh-keyscan` puts the server's name before them";
            report.add(At::Value(&path), finding.help(help));
        }
    }
    // Kopia asks for whichever a server has first in the order ECDSA, RSA, Ed25519, and takes no second one.
    if !keys.iter().any(|key| key.starts_with("ecdsa-")) {
        let message = "a server that has an ECDSA host key shows that one, and this profile does not know it";
        let finding = Finding::note("host-key-order", message);
        let help = "add all that `cat /etc/ssh/ssh_host_*_key.pub` prints there, unless these are all";
        report.add(At::Value(&path), finding.help(help));
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
