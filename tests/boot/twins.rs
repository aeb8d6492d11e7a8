//! Two new disks from one image in one machine: copied, and flashed. (first.rs has a new one beside one that was started.)

use std::time::Duration;

use boxwright::disk;
use boxwright::vm::{BoxDisk, MachineOptions, Said};

use crate::harness::Bench;

#[test]
fn of_two_new_disks_from_one_image_neither_is_touched() {
    let Some(bench) = Bench::new() else { return };
    let [disk, twin] = ["one", "two"].map(|name| bench.disk(name));
    let written = |disk: &BoxDisk| std::fs::metadata(&disk.path).unwrap().modified().unwrap();
    let before = [&disk, &twin].map(|disk| disk::read(&disk.path).unwrap().layout);
    let untouched = written(&twin);
    let options = MachineOptions { disks: vec![twin.path.clone()], ..MachineOptions::default() };
    let mut run = bench.start(&disk, &options);
    let said = run.until(Duration::from_secs(1200), |said| matches!(said, Said::CannotStart(_) | Said::Good));
    let Said::CannotStart(reason) = said else { panic!("{said:?}") };
    assert!(reason.contains("two disks from one image"), "{reason}");
    run.cut_power();
    let after = [&disk, &twin].map(|disk| disk::read(&disk.path).unwrap().layout);
    assert_eq!(before, after);
    assert_eq!(written(&twin), untouched, "the disk that was not started from was written to");
}

#[test]
fn of_two_flashed_disks_the_one_that_was_started_is_used() {
    let Some(bench) = Bench::new() else { return };
    let [disk, twin] = ["flashed", "other"].map(|name| bench.flashed(name));
    let written = |disk: &BoxDisk| std::fs::metadata(&disk.path).unwrap().modified().unwrap();
    let layout = |disk: &BoxDisk| disk::read(&disk.path).unwrap().layout;
    let (before, untouched) = (layout(&twin), written(&twin));
    assert_eq!(layout(&disk).partitions[1..], before.partitions[1..], "the layers are the same");
    let options = MachineOptions { disks: vec![twin.path.clone()], ..MachineOptions::default() };
    let mut run = bench.start(&disk, &options);
    run.until_good();
    run.cut_power();
    assert!(layout(&disk).find(disk::Role::State).is_some());
    assert_eq!((layout(&twin), written(&twin)), (before.clone(), untouched), "the other disk was written to");
    // Flashed again, the box that was started keeps what it has made.
    let made = |disk: &BoxDisk| layout(disk).partitions.split_off(before.partitions.len());
    let kept = made(&disk);
    assert!(bench.flash(&disk, &["--size", "12G"]).contains("kept         _empty, _empty, system, state"));
    assert_eq!(made(&disk), kept);
    // The other one starts as well, with that beside it, and its receipt is on its ESP.
    let options = MachineOptions { disks: vec![disk.path.clone()], ..MachineOptions::default() };
    let (before, untouched) = (layout(&disk), written(&disk));
    let mut run = bench.start(&twin, &options);
    run.until_good();
    run.cut_power();
    assert_eq!((layout(&disk), written(&disk)), (before, untouched), "the first disk was written to");
    assert!(bench.esp_read(&twin, "flashed.txt").contains("read back and compared"));
}
