//! Partition tables of strangers: a disk with one that makes no sense is shown like the others.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use boxwright::flash::Aim;

use crate::images::{self, Bench};
use crate::machine::Fake;

const SIZE: u64 = 4 << 30;

/// Changes both headers and both first entries of the disk at `path`, and makes all checksums right.
fn forge(path: &Path, header: Option<(u64, &[u8])>, entry: Option<(u64, &[u8])>) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let sum = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at).unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        crc.sum().to_le_bytes()
    };
    for (head, array) in [(512, 1024), (SIZE - 512, SIZE - 33 * 512)] {
        if let Some((at, bytes)) = entry {
            file.write_all_at(bytes, array + at).unwrap();
            file.write_all_at(&sum(array, 128 * 128), head + 88).unwrap();
        }
        if let Some((at, bytes)) = header {
            file.write_all_at(bytes, head + at).unwrap();
        }
        file.write_all_at(&[0; 4], head + 16).unwrap();
        file.write_all_at(&sum(head, 92), head + 16).unwrap();
    }
}

#[test]
fn a_table_that_makes_no_sense_does_not_end_the_list() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let path = bench.empty("disk.img", SIZE);
    let fake = Fake::new();
    // A name that no real disk has: looking at one opens its device.
    fake.device("pci0/ata1", "sdyv", "65:80", &[]);
    let machine = fake.machine();
    let mut disk = machine.disk("sdyv").unwrap();
    (disk.path, disk.size) = (path.clone(), SIZE);
    let to = [image.to_str().unwrap(), "--to", path.to_str().unwrap()];
    bench.flash(&to).good();
    let whole = Aim::disk(&machine, disk.clone()).contents;
    assert_eq!(whole.image_of.as_deref(), Some("attic"));
    let (head, tail) = (images::bytes(&path, 0, 1 << 20), images::bytes(&path, SIZE - 33 * 512, 33 * 512));
    let (none, most) = (0_u64.to_le_bytes(), u64::MAX.to_le_bytes());
    let (size, count, array) = (256_u32.to_le_bytes(), u32::MAX.to_le_bytes(), (1_u64 << 63).to_le_bytes());
    let nowhere = [none, none].concat();
    let headers: [(u64, &[u8]); 4] = [(84, &size), (80, &count), (80, &size), (72, &array)];
    let entries: [(u64, &[u8]); 2] = [(32, &nowhere), (40, &most)];
    let forged = headers.map(|header| (Some(header), None)).into_iter();
    for (header, entry) in forged.chain(entries.map(|entry| (None, Some(entry)))) {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&head, 0).unwrap();
        file.write_all_at(&tail, SIZE - 33 * 512).unwrap();
        forge(&path, header, entry);
        let found = Aim::disk(&machine, disk.clone()).contents;
        assert!(found.table && found.image_of.is_none() && found.state.is_none(), "{found:?}");
        bench.call("inspect", &[path.to_str().unwrap()]).refused(&["the partition table", "no image"]);
        bench.flash(&[path.to_str().unwrap(), "--to", "x", "--unverified"]).refused(&["no image"]);
    }
    bench.flash(&to).good();
}

#[test]
fn a_state_in_a_table_that_cannot_be_used_is_not_taken_for_nothing() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let path = bench.empty("disk", SIZE);
    let to = [image.to_str().unwrap(), "--to", path.to_str().unwrap()];
    bench.flash(&to).good();
    if !images::start(&path, "attic") {
        return;
    }
    // A copy on a smaller disk: the state ends behind its end.
    let (_, state) = images::table(&path, true).unwrap().pop().unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len((state.starting_lba + 2048) * 512).unwrap();
    bench.flash(&to).refused(&["names the state of a box", "--erase-state", "nothing was written"]);
    bench.flash(&[&to[..], &["--erase-state"]].concat()).good();
    assert_eq!(images::table(&path, true), images::table(&path, false));
    assert!(images::table(&path, true).unwrap().len() == 4);
}
