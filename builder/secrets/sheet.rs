//! The recovery sheet: what somebody needs on paper on the day on which both the box and the computer with the profile are gone.
//!
//! It is meant for one printed page, and the one text besides the bundle that has values in it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::Secrets;
use super::needs::Id;
use crate::catalog::{Catalog, Role, Service};
use crate::digest::Sha256;
use crate::profile::{BackupPlace, BackupTarget, OneOrMany, Profile};

/// The section of the box's own secrets.
const SECTION: &str = "box";

impl Secrets {
    /// The sheet of the box with that profile.
    pub fn recovery_sheet(&self, profile: &Profile, catalog: &Catalog) -> Zeroizing<String> {
        let machine = &profile.machine;
        let writer = catalog.with_role(Role::Backup);
        // A buffer that grows would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(64 << 10));
        let out: &mut String = &mut text;
        // Writing into a String cannot fail.
        _ = writeln!(out, "RECOVERY SHEET of the box {}", machine.name);
        _ = writeln!(
            out,
            "Whoever has this paper can read all of the box's backups. Keep it where no computer is.\n"
        );
        if let Some(domain) = &machine.domain {
            field(out, "domain", domain);
        }
        match &profile.backup {
            Some(backup) => {
                for (name, target) in backup.target_names().iter().zip(&backup.to) {
                    self.target(out, name, target);
                }
                _ = writeln!(out);
                self.secret(out, "backup password", "backup-password");
                let kind =
                    writer.map(|service| format!(", a repository of {}", service.title)).unwrap_or_default();
                field(out, "backups are of", &format!("box@{}{kind}", machine.name));
            }
            None => _ = writeln!(out, "This box writes no backups: there is nothing that would come back."),
        }
        if machine.encrypt.is_some() {
            _ = writeln!(out);
            self.secret(out, "recovery key", "recovery-key");
        }
        tunnels(out, profile);
        steps(out, profile, writer);
        text
    }

    fn target(&self, out: &mut String, name: &str, target: &BackupTarget) {
        let folder = target.folder().unwrap_or_default();
        _ = writeln!(out);
        match target.place() {
            Some(BackupPlace::Bucket(bucket)) => {
                field(out, "bucket", bucket);
                field(out, "  at", target.endpoint.as_deref().unwrap_or_default());
                if let Some(region) = &target.region {
                    field(out, "  region", region);
                }
                if !folder.is_empty() {
                    field(out, "  folder", folder);
                }
                self.secret(out, "  access key id", &format!("backup-{name}-key-id"));
                self.secret(out, "  secret key", &format!("backup-{name}-secret-key"));
            }
            Some(BackupPlace::Sftp(host)) => sftp(out, host, folder, target),
            Some(BackupPlace::Disk(disk)) => field(out, "disk", &format!("{disk}, in the folder {folder}")),
            None => {}
        }
        if let Some(days) = target.locked {
            field(out, "  locked for", &days.to_string());
        }
    }

    fn secret(&self, out: &mut String, title: &str, name: &str) {
        let value = self.values.get(&Id::new(SECTION, name));
        field(
            out,
            title,
            value.map_or("____________________ (it is not in this secrets file)", |value| value.reveal()),
        );
    }
}

fn field(out: &mut String, title: &str, value: &str) {
    _ = writeln!(out, "{title:<18} {value}");
}

/// All but the private key, which is too long for paper: whoever has the account lets another one in.
fn sftp(out: &mut String, host: &str, folder: &str, target: &BackupTarget) {
    field(out, "server (SFTP)", &format!("{host}, port {}", target.port.unwrap_or(22)));
    field(out, "  user", target.user.as_deref().unwrap_or_default());
    field(out, "  folder", folder);
    for key in target.host_key.iter().flat_map(OneOrMany::as_slice) {
        let mut words = key.split_ascii_whitespace();
        let (Some(kind), Some(blob)) = (words.next(), words.next()) else { continue };
        let digest = Sha256::of_bytes(&STANDARD.decode(blob).unwrap_or_default());
        // As `ssh` and `ssh-keygen -l` show it.
        field(out, "  host key", &format!("{kind}, SHA256:{}", STANDARD_NO_PAD.encode(digest.bytes())));
    }
    field(out, "  private key", "make a new one, and put it into the account (`boxwright secrets` says how)");
}

/// Their ids alone: the account at Cloudflare gives new credentials, which are too long for paper.
fn tunnels(out: &mut String, profile: &Profile) {
    let services = profile.cloudflare.as_ref().map(|cloudflare| &cloudflare.tunnel);
    let list: Vec<(&str, String)> = [("tunnel", services), ("tunnel of SSH", profile.ssh.tunnel.as_ref())]
        .into_iter()
        .filter_map(|(title, id)| Some((title, id?.to_string())))
        .collect();
    if list.is_empty() {
        return;
    }
    _ = writeln!(out);
    for (title, id) in list {
        field(out, title, &id);
    }
    _ = writeln!(out, "The account at Cloudflare gives their credentials again: cloudflared tunnel token ID");
}

fn steps(out: &mut String, profile: &Profile, writer: Option<&Service>) {
    let name = &profile.machine.name;
    _ = write!(
        out,
        "\nTo bring the box back\n\
         1. Get boxwright, and the profile {name}.toml: from wherever you keep it (a git repository).\n\
         2. boxwright secrets {name}.toml > secrets.toml; chmod 600 secrets.toml\n\
         \x20  Fill in what is on this sheet; the rest comes from where the comments say.\n\
         3. boxwright build {name}.toml\n\
         4. boxwright flash out/{name}.img --to DEVICE --secrets secrets.toml --restore latest\n\
         5. Start the new machine from that disk, with a cable to the internet. Its screen shows how far it is;\n\
         \x20  no service starts before everything is back. The old box stops its tunnels by itself.\n"
    );
    if let Some(service) = writer.filter(|_| profile.backup.is_some()) {
        let site = service.website.as_deref().unwrap_or_default();
        _ = writeln!(
            out,
            "Without boxwright, {} itself reads the backups with what stands above: {site}",
            service.title
        );
    }
}
