//! What a box does when something does not work: it falls back, or says why not.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use boxwright::disk::{self, Role};
use boxwright::vm::{BoxDisk, MachineOptions};

use crate::harness::{Bench, GOOD, SOON, When, probe, value, with_units};
use crate::{packages, patching};

/// Keeps what is installed now, as every patching does first, and installs what breaks the box.
const BREAK: &str = "
set -eu
mkdir -p /run/packages
mount -o ro /dev/disk/by-id/virtio-extra0 /run/packages
/usr/lib/boxwright/keep-yesterday
dpkg --install /run/packages/iptables.deb >/dev/null 2>&1
sync
";

/// What is installed, and what the box has to say.
const LOOK: &str = "
version() { dpkg-query --show --showformat '${Version}' $1; }
echo spare $(version runit-helper)
echo iptables $(version iptables)
echo release $(cat /run/boxwright/release)
echo machine $(cat /etc/machine-id)
echo filesystem $(blkid -p -o value -s UUID /dev/boxwright/system)
sed 's/^/note /' /run/boxwright/notes 2>/dev/null
/usr/lib/boxwright/hold-aside
echo refused $(cat /etc/apt/preferences.d/boxwright-aside 2>/dev/null)
ls /efi/loader/entries | sed 's/^/entry /'
";

/// A box that lives through all of it, on one disk: a start costs minutes.
struct Story<'a> {
    bench: &'a Bench,
    disk: BoxDisk,
    packages: PathBuf,
}

#[test]
fn patches_last_are_dropped_when_they_break_the_box_and_belong_to_their_release() {
    let Some(bench) = Bench::of("tests/boot/tunnel.toml") else { return };
    let packages = packages::disk(&bench, &[("iptables.deb", packages::newest("iptables"))]);
    let story = Story { bench: &bench, disk: bench.disk("story"), packages };
    patching::a_new_release_is_patched_before_its_tunnel_opens(&bench, &story.disk);
    story.a_patch_lasts_and_another_breaks_the_box();
    story.the_patch_that_breaks_the_box_is_set_aside();
    let filesystem = story.a_release_that_never_gets_good_is_passed_over();
    story.a_damaged_system_partition_leaves_a_box_that_says_so(&filesystem);
}

impl Story<'_> {
    fn options(&self) -> MachineOptions {
        MachineOptions { disks: vec![self.packages.clone()], ..MachineOptions::default() }
    }

    fn a_patch_lasts_and_another_breaks_the_box(&self) {
        let units = [probe("look", When::Early, LOOK), probe("break", When::Good, BREAK)];
        let mut run = self.bench.start(&self.disk, &with_units(&self.options(), units));
        let seen = run.probe("look", GOOD);
        assert_eq!(value(&seen, "spare"), "99", "{seen:?}");
        run.until_good();
        run.probe("break", SOON);
        run.shut_down();
    }

    fn the_patch_that_breaks_the_box_is_set_aside(&self) {
        let options = with_units(&self.options(), [probe("aside", When::Good, LOOK)]);
        let mut run = self.bench.start(&self.disk, &options);
        for _ in 0..3 {
            run.until_text(GOOD, "is not good: ");
            run.until_text(SOON, "three starts that do not get good set the patches aside");
        }
        run.until_text(GOOD, "the patches of yesterday are used");
        run.until_good();
        let seen = run.probe("aside", SOON);
        assert!(value(&seen, "note").contains("3 times in a row"), "{seen:?}");
        assert_eq!(value(&seen, "spare"), "99", "the patches of the day before are there: {seen:?}");
        assert_ne!(value(&seen, "iptables"), "99", "{seen:?}");
        assert_eq!(value(&seen, "refused"), "Package: iptables Pin: version 99 Pin-Priority: -1");
        run.shut_down();
    }

    /// The id of the filesystem of the system partition.
    fn a_release_that_never_gets_good_is_passed_over(&self) -> String {
        let entries = self.bench.esp_list(&self.disk, "loader/entries");
        let [old] = entries.as_slice() else { panic!("{entries:?}") };
        let text = self.bench.esp_read(&self.disk, &format!("loader/entries/{old}"));
        let (name, old_id) = old.strip_suffix(".conf").unwrap().rsplit_once('-').unwrap();
        assert!(!old.contains('+'), "{old} is blessed");
        // Two of its three tries are used up.
        let new_id = "feedfacefeedface";
        let new = entry_of(&text, new_id, u64::MAX, "systemd.mask=docker.service");
        self.bench.esp_write(&self.disk, &format!("loader/entries/{name}-{new_id}+1-2.conf"), &new);

        let units = [probe("new", When::Early, LOOK), probe("old", When::Good, LOOK)];
        let mut run = self.bench.start(&self.disk, &with_units(&self.options(), units));
        let seen = run.probe("new", GOOD);
        assert_eq!(value(&seen, "release"), new_id);
        assert_ne!(value(&seen, "spare"), "99", "patches belong to their release: {seen:?}");
        let machine = value(&seen, "machine");
        run.until_text(GOOD, &format!("release {new_id} is not good: docker.service is masked"));
        run.until_text(SOON, "starting again: this release was never good");
        run.until_text(GOOD, &format!("release {old_id} is good"));
        let seen = run.probe("old", SOON);
        assert_eq!(value(&seen, "spare"), "99", "the old release has its patches: {seen:?}");
        assert_eq!(value(&seen, "machine"), machine, "the machine id is the box's: {seen:?}");
        assert!(seen.contains(&format!("entry {name}-{new_id}+0-3.conf")), "{seen:?}");
        run.shut_down();
        value(&seen, "filesystem")
    }

    fn a_damaged_system_partition_leaves_a_box_that_says_so(&self, filesystem: &str) {
        let layout = disk::read(&self.disk.path).unwrap().layout;
        let system = layout.find(Role::System).unwrap();
        let file = OpenOptions::new().write(true).open(&self.disk.path).unwrap();
        let zeroes = vec![0; 1 << 20];
        for offset in (0..system.length.min(512 << 20)).step_by(zeroes.len()) {
            file.write_all_at(&zeroes, system.start + offset).unwrap();
        }
        let script = "echo degraded $(cat /run/boxwright/degraded)
            echo system $(findmnt -no FSTYPE /run/initramfs/system)
            echo filesystem $(blkid -p -o value -s UUID /dev/boxwright/system)
            left=100
            until systemctl is-active --quiet ssh.service || [ $left = 0 ]; do left=$((left - 1)); sleep 2; done
            echo ssh $(systemctl is-active ssh.service)
            echo docker $(systemctl is-active docker.service)";
        let units = [probe("degraded", When::Early, script)];
        let mut run = self.bench.start(&self.disk, &with_units(&self.options(), units));
        run.until_text(GOOD, "starts without its services");
        let seen = run.probe("degraded", GOOD);
        assert!(value(&seen, "degraded").contains("cannot be mounted"), "{seen:?}");
        assert_eq!(value(&seen, "system"), "tmpfs", "{seen:?}");
        assert_eq!(value(&seen, "filesystem"), filesystem, "nothing was formatted: {seen:?}");
        assert_eq!(value(&seen, "ssh"), "active", "{seen:?}");
        assert_eq!(value(&seen, "docker"), "inactive", "{seen:?}");
        // While the probe waited for SSH, or after it.
        run.said_or_says(GOOD, "staying as it is: the system partition is unusable");
        run.cut_power();
    }
}

/// The entry of another release made from the same layers: with `version`, the id `id`, and more on its command line.
fn entry_of(text: &str, id: &str, version: u64, more: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(' ') {
        Some(("version", _)) => format!("version {version}"),
        Some(("options", words)) => {
            let kept: Vec<&str> =
                words.split(' ').filter(|word| !word.starts_with("boxwright.release=")).collect();
            format!("options {} boxwright.release={id} {more}", kept.join(" "))
        }
        _ => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

#[test]
fn a_flipped_byte_in_a_layer_stops_the_box_before_it_is_used() {
    let Some(bench) = Bench::new() else { return };
    let disk = bench.disk("flipped");
    let layout = disk::read(&disk.path).unwrap().layout;
    let base = layout.find(Role::Base).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(&disk.path).unwrap();
    // The squashfs superblock says where its directory table is, which every path leads through.
    let mut table = [0; 8];
    file.read_exact_at(&mut table, base.start + 72).unwrap();
    let place = base.start + u64::from_le_bytes(table) + 10;
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 1], place).unwrap();
    // The kernel restarts by itself: the release's own command line has a longer time.
    let options = MachineOptions { command_line: vec!["panic=3".into()], ..MachineOptions::default() };
    let mut run = bench.start(&disk, &options);
    run.until_text(GOOD, "dm-verity device corrupted");
    run.until_text(SOON, "BdsDxe: starting");
    run.cut_power();
}
