//! What systemd-boot reads: its settings and one entry for each release (UAPI.1, Boot Loader Specification, type 1).

use super::release::{Release, short};

/// How often a release that never got good is started before the one before it is used.
pub const TRIES: u32 = 3;

/// loader/loader.conf. Nobody edits a command line, nothing else that lies on the disk is offered, and no key is
/// enrolled.
pub const LOADER_CONF: &str = "\
timeout 0
editor no
auto-entries no
auto-firmware no
secure-boot-enroll off
";

/// Where the kernel with this release's digest is on the ESP. Releases with the same kernel share it.
pub fn kernel_path(release: &Release) -> String {
    format!("boxwright/linux-{}", short(&release.kernel))
}

/// Where its initrd is.
pub fn initrd_path(release: &Release) -> String {
    format!("boxwright/initrd-{}", short(&release.initrd))
}

/// The name of the release's entry, with its tries.
pub fn entry_path(release: &Release) -> String {
    format!("loader/entries/{}-{}+{TRIES}.conf", release.box_name, release.id())
}

/// The release's entry. systemd-boot starts the greatest `version` among the entries with tries left.
pub fn entry(release: &Release) -> String {
    let Release { box_name, version, command_line, .. } = release;
    format!(
        "title {box_name} {version} ({})\nsort-key boxwright\nversion {version}\nlinux /{}\ninitrd /{}\noptions {command_line}\n",
        release.id(),
        kernel_path(release),
        initrd_path(release),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn an_entry_names_the_release_and_its_files() {
        let release = Release {
            box_name: "nas".into(),
            version: 12,
            digest: Sha256::of_bytes(b"release"),
            command_line: "boot=boxwright quiet".into(),
            kernel: Sha256::of_bytes(b"kernel"),
            initrd: Sha256::of_bytes(b"initrd"),
        };
        let id = release.id();
        assert_eq!(id.len(), 16);
        assert_eq!(entry_path(&release), format!("loader/entries/nas-{id}+3.conf"));
        let text = entry(&release);
        assert!(text.starts_with(&format!("title nas 12 ({id})\n")), "{text}");
        assert!(text.contains(&format!("\nlinux /{}\n", kernel_path(&release))), "{text}");
        assert!(text.ends_with("\noptions boot=boxwright quiet\n"), "{text}");
    }
}
