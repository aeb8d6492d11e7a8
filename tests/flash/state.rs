//! A disk that has been a box: its state stays when the same box is flashed again, and goes only when that is said.

use boxwright::digest::Sha256;
use boxwright::disk::{self, Role};
use boxwright::flash::{Contents, Medium, Target, write};
use boxwright::ui::Ui;

use crate::images::{self, Bench};

const SIZE: u64 = 4 << 30;

/// A disk on which the first release of the box `name` was started.
fn started(bench: &Bench, name: &str) -> Option<std::path::PathBuf> {
    let image = bench.image(name, 1);
    let disk = bench.empty(&format!("{name}.disk"), SIZE);
    bench.flash(&[image.to_str().unwrap(), "--to", disk.to_str().unwrap()]).good();
    images::start(&disk, name).then_some(disk)
}

/// The entries behind the image, and the digests of their bytes.
fn state(disk: &std::path::Path) -> Vec<(u32, gptman::GPTPartitionEntry, Sha256)> {
    let entries = images::table(disk, true).unwrap().into_iter().filter(|(number, _)| *number > 4);
    let content = |entry: &gptman::GPTPartitionEntry| {
        let length = (entry.ending_lba + 1 - entry.starting_lba) * 512;
        Sha256::of_bytes(&images::bytes(disk, entry.starting_lba * 512, length))
    };
    entries.map(|(number, entry)| (number, entry.clone(), content(&entry))).collect()
}

#[test]
fn the_same_box_keeps_its_state_bit_for_bit() {
    let bench = Bench::new();
    let Some(path) = started(&bench, "attic") else { return };
    let disk = path.to_str().unwrap();
    let before = state(&path);
    let guids = disk::read(&path).unwrap().layout;
    assert_eq!(before.len(), 4);
    let new = bench.image("attic", 2);
    let said = bench.flash(&[new.to_str().unwrap(), "--to", disk]).good();
    assert!(said.out.contains("kept         _empty, _empty, system, state"), "{said:?}");
    assert_eq!(state(&path), before);
    assert_eq!(images::difference(&new, &path), None);
    assert_eq!(images::table(&path, true), images::table(&path, false));
    let now = disk::read(&path).unwrap().layout;
    assert!(now.disk_guid != guids.disk_guid && now.partitions[0].guid != guids.partitions[0].guid);
    assert_eq!(now.find(Role::Base).unwrap().name, "base_2");
    if images::there("sgdisk") {
        let seen = std::process::Command::new("sgdisk").arg("-v").arg(&path).output().unwrap();
        assert!(String::from_utf8_lossy(&seen.stdout).contains("No problems found"), "{seen:?}");
    }
}

#[test]
fn a_write_that_broke_does_not_lose_the_state() {
    let bench = Bench::new();
    let Some(path) = started(&bench, "attic") else { return };
    let before = state(&path);
    let new = bench.image("attic", 2);
    let (source, aim) = images::aimed(&bench, &new, &path);
    let plan = images::order(&source, &aim).plan().unwrap().0;
    // The power goes in the middle: what was there then is a first MiB without a table.
    let target = Target::open(&path).unwrap();
    target.write(0, &plan.blank).unwrap();
    target.write(SIZE - 33 * 512, &[0; 33 * 512]).unwrap();
    drop(target);
    assert!(images::table(&path, true).is_none() && images::table(&path, false).is_none());
    let contents = Contents::of(&Target::open(&path).unwrap()).unwrap();
    assert_eq!(contents.state, aim.contents.state);
    // Another box is refused as before.
    let other = bench.image("cellar", 1);
    bench
        .flash(&[other.to_str().unwrap(), "--to", path.to_str().unwrap()])
        .refused(&["holds the state of the box attic, and the image is of cellar"]);
    let (source, aim) = images::aimed(&bench, &new, &path);
    let plan = images::order(&source, &aim).plan().unwrap().0;
    write::act(&plan, &source, &Target::open(&path).unwrap(), &Ui::silent()).unwrap();
    assert_eq!(state(&path), before);
    // The record is gone.
    assert!(!images::bytes(&path, 0, 1 << 20).windows(17).any(|window| window == b"BOXWRIGHTFLASHING"));
}

#[test]
fn an_image_that_was_copied_over_a_box_by_other_means_does_not_hide_its_state() {
    let bench = Bench::new();
    let Some(path) = started(&bench, "attic") else { return };
    let before = state(&path);
    let (new, other) = (bench.image("attic", 2), bench.image("cellar", 1));
    let copied = std::process::Command::new("dd")
        .args([
            "bs=1M",
            "conv=notrunc",
            &format!("if={}", other.display()),
            &format!("of={}", path.display()),
        ])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{copied:?}");
    // The boot entries are of another box now, and the state is still that of this one.
    bench
        .flash(&[other.to_str().unwrap(), "--to", path.to_str().unwrap()])
        .refused(&["holds the state of the box attic, and the image is of cellar"]);
    let (source, aim) = images::aimed(&bench, &new, &path);
    let plan = images::order(&source, &aim).plan().unwrap().0;
    write::act(&plan, &source, &Target::open(&path).unwrap(), &Ui::silent()).unwrap();
    let after = state(&path);
    // The image's own second table lies where the second slot begins: that copying has damaged it.
    assert_eq!(after[0].1, before[0].1);
    assert_eq!(after[1..], before[1..]);
}

#[test]
fn another_boxs_state_is_refused_until_it_may_go() {
    let bench = Bench::new();
    let Some(path) = started(&bench, "attic") else { return };
    let layout = disk::read(&path).unwrap().layout;
    let [system, state_partition] = [Role::System, Role::State].map(|role| layout.find(role).unwrap().start);
    let other = bench.image("cellar", 1);
    let arguments = [other.to_str().unwrap(), "--to", path.to_str().unwrap()];
    bench.flash(&arguments).refused(&["attic", "cellar", "--erase-state", "nothing was written"]);
    assert_eq!(state(&path).len(), 4);
    // The name on the system partition counts, also where the image is of another box.
    let dry = bench.flash(&[&arguments[..], &["--dry-run", "--json"]].concat());
    let dry: serde_json::Value = serde_json::from_str(&dry.out).unwrap();
    assert_eq!(dry["refusals"][0]["code"], "other-state");
    assert_eq!(dry["holds"]["box"], "attic");
    bench.flash(&[&arguments[..], &["--erase-state"]].concat()).good();
    assert_eq!(state(&path).len(), 0);
    // The first start of a box called attic finds nothing that it would take for its own.
    assert!(images::bytes(&path, system, 4096).iter().all(|byte| *byte == 0));
    // Were it encrypted, both headers of LUKS2 and the key slots behind them would be gone: no key opens the rest.
    assert!(images::bytes(&path, state_partition, 16 << 20).iter().all(|byte| *byte == 0));
}

#[test]
fn an_image_that_has_outgrown_the_slots_is_refused() {
    let bench = Bench::new();
    let Some(path) = started(&bench, "attic") else { return };
    // As if the first release had been smaller: its state begins where the new image still is.
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut table = gptman::GPT::read_from(&mut file, 512).unwrap();
    for number in 4..7 {
        table.remove(number).unwrap();
    }
    table[7].starting_lba = 1601 * 2048 - 2048;
    table[3].ending_lba = table[7].starting_lba - 1;
    table.write_into(&mut file).unwrap();
    let new = bench.image("attic", 2);
    bench
        .flash(&[new.to_str().unwrap(), "--to", path.to_str().unwrap()])
        .refused(&["has outgrown the disk's slots", "--erase-state and restore it"]);
}
