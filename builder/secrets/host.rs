//! The secrets of the box itself: those that sections of the profile call for rather than a service.
//!
//! In: the profile. Out: entries of [`Needs`], all in the section `box` of `secrets.toml`: no service has that name.

use std::collections::BTreeMap;

use crate::profile::{BackupPlace, BackupTarget, DiskSource, Notifier, Profile};

use super::needs::{Apply, Id, Line, Need, Needs, Placed};
use super::shape::Shape;

/// The section of what belongs to no service.
const SECTION: &str = "box";

/// Adds what `profile` itself calls for.
pub(super) fn add(needs: &mut Needs, profile: &Profile) {
    recovery_key(needs, profile);
    ssh(needs, profile);
    disks(needs, profile);
    alerts(needs, profile);
    if let Some(backup) = &profile.backup {
        for (name, target) in backup.target_names().iter().zip(&backup.to) {
            backup_target(needs, name, target);
        }
    }
    if profile.updates.livepatch || profile.updates.esm {
        let token =
            Text { about: "The token of your Ubuntu Pro subscription", obtain: "ubuntu.com/pro/dashboard" };
        needs.host("pro-token", "updates", token, Shape::Text);
        needs.told("pro-token", "updates", Apply::Command(program("pro-token")));
    }
}

/// What the template says about a secret.
struct Text<'a> {
    about: &'a str,
    obtain: &'a str,
}

impl Needs {
    /// A secret that is placed as a file of root's under its own name, for a section of the profile.
    fn host(&mut self, name: &str, user: &str, text: Text<'_>, shape: Shape) {
        let id = Id::new(SECTION, name);
        let line = Line { prefix: String::new(), secret: id.clone(), optional: false };
        self.files.insert(Placed {
            path: id.to_string(),
            uid: 0,
            gid: 0,
            optional: false,
            lines: vec![line],
        });
        self.input(name, (user, true), text, shape);
    }

    /// A secret without a file of its own.
    fn input(
        &mut self,
        name: &str,
        (user, required): (&str, bool),
        text: Text<'_>,
        shape: Shape,
    ) -> &mut Need {
        let id = Id::new(SECTION, name);
        let users = BTreeMap::from([(user.to_owned(), required)]);
        let (about, obtain) = (text.about.to_owned(), Some(text.obtain.to_owned()));
        let obtain = obtain.filter(|text| !text.is_empty());
        let apply = BTreeMap::new();
        let need = Need { id: id.clone(), about, obtain, shape, public: false, users, apply };
        self.owner.entry(id).or_insert(need)
    }

    /// How a new value reaches a section of the profile that does not read it anew each time.
    fn told(&mut self, name: &str, user: &str, apply: Apply) {
        if let Some(need) = self.owner.get_mut(&Id::new(SECTION, name)) {
            need.apply.insert(user.to_owned(), apply);
        }
    }
}

/// The program of the box's own that knows what to do about a new value of this secret.
fn program(name: &str) -> String {
    format!("/usr/lib/boxwright/rotation/{name}")
}

/// What opens an encrypted box where its TPM does not. The initrd (firmware/initrd/boxwright/encryption.sh) and the box
/// (overlays/system/encryption) look for it under this name.
fn recovery_key(needs: &mut Needs, profile: &Profile) {
    if profile.machine.encrypt.is_none() {
        return;
    }
    let obtain = format!(
        "invent one: `openssl rand -hex 32` prints it. To open the box with a USB stick (FAT), put the key into a text \
         file on it with the name boxwright-{}.key",
        profile.machine.name
    );
    let text = Text {
        about: "The key that opens the encrypted disk where the TPM does not: after a firmware update, on a new board, \
                after flashing a new release. It opens everything on the disk, so keep it like the data themselves",
        obtain: &obtain,
    };
    needs.host("recovery-key", "encrypt", text, Shape::RecoveryKey);
    needs.told("recovery-key", "encrypt", Apply::Restart("boxwright-encryption.service".to_owned()));
}

fn ssh(needs: &mut Needs, profile: &Profile) {
    let ssh = &profile.ssh;
    if ssh.at.is_none() && ssh.ci.is_none() {
        return;
    }
    let text = Text {
        about: "The credential of SSH's own tunnel: the JSON file, or the token",
        obtain: "`cloudflared tunnel create NAME` writes ~/.cloudflared/UUID.json; it is not the services' tunnel",
    };
    needs.host("ssh-tunnel", "ssh", text, Shape::Tunnel(ssh.tunnel.clone()));
    needs.told("ssh-tunnel", "ssh", Apply::Restart("boxwright-ssh-tunnel.service".to_owned()));
}

fn disks(needs: &mut Needs, profile: &Profile) {
    let shares = profile.disks.iter().filter_map(|(name, disk)| match disk.source() {
        Some(DiskSource::Cifs(share)) => Some((name, share)),
        _ => None,
    });
    for (name, share) in shares {
        let mut lines = Vec::new();
        for (key, what, required) in
            [("user", "user name", true), ("password", "password", true), ("domain", "domain", false)]
        {
            let own = format!("disk-{name}-{key}");
            let about = format!("The {what} for the share {share}, mounted at /srv/{name}");
            let text = Text { about: &about, obtain: "" };
            needs.input(&own, ("disks", required), text, Shape::Text).public = key != "password";
            // systemctl knows the unit of a mount point.
            needs.told(&own, "disks", Apply::Restart(format!("/srv/{name}")));
            // The keys of mount.cifs(8)'s credentials file.
            let prefix = if key == "user" { "username=".to_owned() } else { format!("{key}=") };
            lines.push(Line { prefix, secret: Id::new(SECTION, own), optional: !required });
        }
        needs.files.insert(Placed {
            path: format!("{SECTION}/disk-{name}"),
            uid: 0,
            gid: 0,
            optional: false,
            lines,
        });
    }
}

fn alerts(needs: &mut Needs, profile: &Profile) {
    let alerts = &profile.alerts;
    if alerts.to.contains(&Notifier::Pushbullet) {
        let text = Text {
            about: "The access token with which the box sends alerts over Pushbullet",
            obtain: "www.pushbullet.com: Settings, Account, Create Access Token",
        };
        needs.host("pushbullet", "alerts", text, Shape::Text);
    }
    if alerts.to.contains(&Notifier::Ntfy) {
        let text = Text {
            about: "The ntfy topic that alerts are sent to; whoever guesses it reads along, so make it long",
            obtain: "invent one, such as the output of `openssl rand -hex 16`, and subscribe to it in the app",
        };
        needs.host("ntfy-topic", "alerts", text, Shape::Invented);
    }
    if let Some(mail) = alerts.mail.as_ref().filter(|mail| mail.user.is_some()) {
        let about =
            format!("The password of `{}` at {}", mail.user.as_deref().unwrap_or_default(), mail.host);
        let text = Text { about: &about, obtain: "your mail provider" };
        needs.host("mail-password", "alerts", text, Shape::Text);
    }
    if alerts.heartbeat {
        let text = Text {
            about: "The address that the box calls at regular times, so that someone notices when it falls silent",
            obtain: "a check at healthchecks.io, or a push monitor of an Uptime Kuma elsewhere",
        };
        needs.host("heartbeat", "alerts", text, Shape::Url);
    }
}

fn backup_target(needs: &mut Needs, name: &str, target: &BackupTarget) {
    let text = Text {
        about: "The password that encrypts the backups; without it they are worth nothing, so keep it elsewhere too",
        obtain: "invent one, such as the output of `openssl rand -base64 24`",
    };
    needs.host("backup-password", "backup", text, Shape::Invented);
    needs.told("backup-password", "backup", Apply::Command(program("backup-password")));
    match target.place() {
        Some(BackupPlace::Bucket(bucket)) => bucket_keys(needs, name, bucket, target),
        Some(BackupPlace::Sftp(host)) => private_key(needs, name, host, target),
        Some(BackupPlace::Disk(_)) | None => {}
    }
}

fn bucket_keys(needs: &mut Needs, name: &str, bucket: &str, target: &BackupTarget) {
    let at = target.endpoint.as_deref().unwrap_or("its S3 provider");
    let obtain = "for Cloudflare R2: R2, Manage API tokens, a token for this bucket with Object Read & Write";
    for (key, what) in [("key-id", "access key id"), ("secret-key", "secret access key")] {
        let about = format!("The {what} for the bucket {bucket} at {at}");
        needs.host(&format!("backup-{name}-{key}"), "backup", Text { about: &about, obtain }, Shape::Text);
    }
}

fn private_key(needs: &mut Needs, name: &str, host: &str, target: &BackupTarget) {
    let user = target.user.as_deref().unwrap_or("the account");
    let about = format!(
        "The private SSH key with which the box writes its backups as {user} at {host}: one of its own, without a passphrase"
    );
    let obtain = format!(
        "make one: `ssh-keygen -t ed25519 -N '' -f backup_ed25519`. The line of backup_ed25519.pub goes into \
         .ssh/authorized_keys of {user} at {host}, with `restrict,command=\"internal-sftp\"` before it where that is \
         OpenSSH, or onto the provider's page for SSH keys"
    );
    let text = Text { about: &about, obtain: &obtain };
    needs.host(&format!("backup-{name}-private-key"), "backup", text, Shape::SshKey);
}
