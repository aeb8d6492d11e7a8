//! Two new disks from one image in one machine. (first.rs has a new one beside one that was started.)

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
    let said = run.until(Duration::from_secs(600), |said| matches!(said, Said::CannotStart(_) | Said::Good));
    let Said::CannotStart(reason) = said else { panic!("{said:?}") };
    assert!(reason.contains("two disks from one image"), "{reason}");
    run.cut_power();
    let after = [&disk, &twin].map(|disk| disk::read(&disk.path).unwrap().layout);
    assert_eq!(before, after);
    assert_eq!(written(&twin), untouched, "the disk that was not started from was written to");
}
