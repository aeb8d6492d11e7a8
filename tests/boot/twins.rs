//! Two disks from one image in one machine.

use std::time::Duration;

use boxwright::disk;
use boxwright::vm::{MachineOptions, Said};

use crate::harness::{Bench, When, probe, with_units};

#[test]
fn of_two_new_disks_from_one_image_neither_is_touched() {
    let Some(bench) = Bench::new() else { return };
    let [disk, twin] = ["one", "two"].map(|name| bench.disk(name));
    let before = [&disk, &twin].map(|disk| disk::read(&disk.path).unwrap().layout);
    let options = MachineOptions { disks: vec![twin.path.clone()], ..MachineOptions::default() };
    let mut run = bench.start(&disk, &options);
    let said = run.until(Duration::from_secs(600), |said| matches!(said, Said::CannotStart(_) | Said::Good));
    let Said::CannotStart(reason) = said else { panic!("{said:?}") };
    assert!(reason.contains("two disks from one image"), "{reason}");
    run.cut_power();
    let after = [&disk, &twin].map(|disk| disk::read(&disk.path).unwrap().layout);
    assert_eq!(before, after);
}

#[test]
#[ignore = "takes many minutes under plain emulation"]
fn a_box_that_has_started_once_is_not_confused_by_a_new_twin() {
    let Some(bench) = Bench::new() else { return };
    let [disk, twin] = ["old", "new"].map(|name| bench.disk(name));
    let mut run = bench.start(&disk, &MachineOptions::default());
    run.until_good();
    run.shut_down();
    let before = disk::read(&twin.path).unwrap().layout;
    let script = "readlink /dev/boxwright/disk /dev/boxwright/state; findmnt -no SOURCE /srv/state";
    let options = MachineOptions { disks: vec![twin.path.clone()], ..MachineOptions::default() };
    let mut run = bench.start(&disk, &with_units(&options, [probe("devices", When::Good, script)]));
    run.until_good();
    let seen = run.probe("devices", Duration::from_secs(60));
    assert!(seen[1].starts_with(&seen[0]), "{seen:?}");
    run.cut_power();
    assert_eq!(before, disk::read(&twin.path).unwrap().layout);
}
