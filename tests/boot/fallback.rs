//! What a box does when something does not work: it falls back, or says why not.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use boxwright::disk::{self, Role};
use boxwright::vm::{MachineOptions, Said, Unit};

use crate::harness::{Bench, When, probe, with_units};

/// Shortens the time in which a release has to get good.
fn within(seconds: u32) -> Vec<Unit> {
    let text = format!("[Service]\nEnvironment=WITHIN={seconds}\n");
    vec![Unit::DropIn { name: "boxwright-good.service".into(), text }]
}

#[test]
#[ignore = "takes many minutes under plain emulation"]
fn a_patch_that_breaks_the_box_is_set_aside_after_three_starts() {
    let Some(bench) = Bench::new() else { return };
    let disk = bench.disk("patched");
    // What a bad patch of Docker would leave in the upper layer.
    let breaking = "set -e
        cp /var/lib/dpkg/status /var/lib/dpkg/status.new && mv /var/lib/dpkg/status.new /var/lib/dpkg/status
        mkdir -p /etc/systemd/system/docker.service.d
        printf '[Service]\\nExecStartPre=/bin/false\\n' >/etc/systemd/system/docker.service.d/broken.conf
        sync";
    let options = with_units(&MachineOptions::default(), [probe("break", When::Good, breaking)]);
    let mut run = bench.start(&disk, &options);
    run.until_good();
    run.probe("break", Duration::from_secs(60));
    run.shut_down();

    let check = "test ! -e /etc/systemd/system/docker.service.d/broken.conf && cat /run/boxwright/notes";
    let options = with_units(&MachineOptions::default(), [within(150), probe("aside", When::Good, check)]);
    let mut run = bench.start(&disk, &options);
    for _ in 0..3 {
        run.until(Duration::from_secs(900), |said| matches!(said, Said::NotGood(_)));
    }
    run.until_text(Duration::from_secs(600), "it starts without patches");
    run.until_good();
    let notes = run.probe("aside", Duration::from_secs(60));
    assert!(notes.iter().any(|line| line.contains("3 times in a row")), "{notes:?}");
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
#[ignore = "takes many minutes under plain emulation"]
fn a_release_that_never_gets_good_is_passed_over_for_the_one_before() {
    let Some(bench) = Bench::new() else { return };
    let disk = bench.disk("update");
    let options =
        with_units(&MachineOptions::default(), [probe("patch", When::Good, "echo old >/etc/patched; sync")]);
    let mut run = bench.start(&disk, &options);
    run.until_good();
    run.probe("patch", Duration::from_secs(60));
    run.shut_down();

    let entries = bench.esp_list(&disk, "loader/entries");
    let [old] = entries.as_slice() else { panic!("{entries:?}") };
    assert!(!old.contains('+'), "{old} is blessed");
    let text = bench.esp_read(&disk, &format!("loader/entries/{old}"));
    let (name, old_id) = old.strip_suffix(".conf").unwrap().rsplit_once('-').unwrap();
    let new_id = "feedfacefeedface";
    let new = entry_of(&text, new_id, u64::MAX, "systemd.mask=docker.service");
    bench.esp_write(&disk, &format!("loader/entries/{name}-{new_id}+3.conf"), &new);

    let script = "cat /etc/patched; ls /efi/loader/entries";
    let options = with_units(&MachineOptions::default(), [within(150), probe("after", When::Good, script)]);
    let mut run = bench.start(&disk, &options);
    for _ in 0..3 {
        run.until_text(Duration::from_secs(900), &format!("release {new_id} is not good: docker.service"));
        run.until_text(Duration::from_secs(60), "starting again: this release was never good");
    }
    run.until_text(Duration::from_secs(900), &format!("release {old_id} is good"));
    let after = run.probe("after", Duration::from_secs(60));
    assert_eq!(after[0], "old", "the old release has its patches");
    assert!(after.iter().any(|line| line.contains(&format!("{new_id}+0-3"))), "{after:?}");
}

#[test]
#[ignore = "takes many minutes under plain emulation"]
fn another_release_begins_without_the_patches_of_the_one_before() {
    let Some(bench) = Bench::new() else { return };
    let disk = bench.disk("next");
    let script = "echo old >/etc/patched; cat /etc/machine-id; sync";
    let options = with_units(&MachineOptions::default(), [probe("patch", When::Good, script)]);
    let mut run = bench.start(&disk, &options);
    run.until_good();
    let before = run.probe("patch", Duration::from_secs(60));
    run.shut_down();
    let old = bench.esp_list(&disk, "loader/entries").remove(0);
    let text = bench.esp_read(&disk, &format!("loader/entries/{old}"));
    let name = old.strip_suffix(".conf").unwrap().rsplit_once('-').unwrap().0;
    let new_id = "0123456789abcdef";
    let new = entry_of(&text, new_id, u64::MAX, "");
    bench.esp_write(&disk, &format!("loader/entries/{name}-{new_id}+3.conf"), &new);

    let script = "test ! -e /etc/patched && cat /etc/machine-id";
    let options = with_units(&MachineOptions::default(), [probe("after", When::Good, script)]);
    let mut run = bench.start(&disk, &options);
    run.until_text(Duration::from_secs(900), &format!("release {new_id} is good"));
    assert_eq!(run.probe("after", Duration::from_secs(60)), before);
}

#[test]
#[ignore = "takes many minutes under plain emulation"]
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
    let mut run = bench.start(&disk, &MachineOptions::default());
    run.until_text(Duration::from_secs(600), "dm-verity device corrupted");
    // The kernel restarts by itself.
    run.until_text(Duration::from_secs(300), "BdsDxe: starting");
}

#[test]
#[ignore = "takes many minutes under plain emulation"]
fn a_missing_system_partition_leaves_a_box_that_says_so() {
    let Some(bench) = Bench::new() else { return };
    let disk = bench.disk("damaged");
    let mut run = bench.start(&disk, &MachineOptions::default());
    run.until_good();
    run.shut_down();
    let layout = disk::read(&disk.path).unwrap().layout;
    let system = layout.find(Role::System).unwrap();
    let file = OpenOptions::new().write(true).open(&disk.path).unwrap();
    let zeroes = vec![0; 1 << 20];
    for offset in (0..system.length.min(512 << 20)).step_by(zeroes.len()) {
        file.write_all_at(&zeroes, system.start + offset).unwrap();
    }
    let script = "cat /run/boxwright/degraded; systemctl is-active docker; \
                  blkid -p -o value -s TYPE /dev/boxwright/system; findmnt -no FSTYPE /run/initramfs/system; true";
    let options = with_units(&MachineOptions::default(), [probe("degraded", When::Early, script)]);
    let mut run = bench.start(&disk, &options);
    run.until_text(Duration::from_secs(600), "starts without its services");
    let seen = run.probe("degraded", Duration::from_secs(600));
    assert!(seen[0].contains("cannot be mounted"), "{seen:?}");
    assert_eq!(seen.last().unwrap(), "tmpfs", "nothing was formatted: {seen:?}");
}
