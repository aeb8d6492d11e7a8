//! Files as targets, and what the image has to be: packed or not, whole, with its manifest.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use boxwright::disk::{self, Role};
use boxwright::flash::Machine;
use boxwright::ui::Ui;

use crate::images::{self, Bench, there};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The ESP of a flashed file, as a file of its own.
fn esp(bench: &Bench, disk: &Path) -> PathBuf {
    let esp = disk::read(disk).unwrap().layout.find(Role::Esp).unwrap().clone();
    let path = bench.path("esp");
    let copy = Command::new("dd")
        .args([
            "bs=1M",
            "conv=sparse",
            &format!("skip={}", esp.start >> 20),
            &format!("count={}", esp.length >> 20),
        ])
        .args([format!("if={}", text(disk)), format!("of={}", text(&path))])
        .output()
        .unwrap();
    assert!(copy.status.success(), "{copy:?}");
    path
}

#[test]
fn a_file_is_a_disk_of_its_own_that_strangers_programs_accept() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let disk = bench.path("disk");
    let said = bench.flash(&[text(&image), "--to", text(&disk), "--size", "20G"]).good();
    assert_eq!(images::difference(&image, &disk), None);
    let about = fs::metadata(&disk).unwrap();
    assert_eq!(about.len(), 20 << 30);
    assert!(about.blocks() * 512 < 64 << 20, "it is sparse: {} blocks", about.blocks());
    let (was, now) = (disk::read(&image).unwrap().layout, disk::read(&disk).unwrap().layout);
    assert!(was.disk_guid != now.disk_guid && was.partitions[0].guid != now.partitions[0].guid);
    assert_eq!(was.partitions[1..], now.partitions[1..]);
    // Flashed again: other GUIDs once more.
    let second = bench.path("second");
    bench.flash(&[text(&image), "--to", text(&second)]).good();
    let second = disk::read(&second).unwrap().layout;
    assert!(second.disk_guid != now.disk_guid && second.partitions[0].guid != now.partitions[0].guid);
    assert_eq!(second.total_bytes, was.total_bytes);
    if there("sgdisk") {
        let seen = Command::new("sgdisk").args(["-v", "-p"]).arg(&disk).output().unwrap();
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        assert!(seen.contains("No problems found") && seen.contains("20.0 GiB"), "{seen}");
    }
    let esp = esp(&bench, &disk);
    if there("fsck.vfat") {
        let seen = Command::new("fsck.vfat").arg("-n").arg(&esp).output().unwrap();
        assert!(seen.status.success(), "{seen:?}");
    }
    if there("mtype") {
        let seen = Command::new("mtype").arg("-i").arg(&esp).arg("::/flashed.txt").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&seen.stdout), said.out);
        let seen = Command::new("mtype").arg("-i").arg(&esp).arg("::/loader/entries/a.con").output().unwrap();
        assert!(String::from_utf8_lossy(&seen.stdout).contains("boxwright.box=attic"), "{seen:?}");
    }
    for line in [
        "box          attic",
        "serial       unknown",
        "secrets      none",
        "size         20.00 GiB (21474836480 bytes)",
    ] {
        assert!(said.out.contains(line), "no {line} in {}", said.out);
    }
}

#[test]
fn packed_images_give_the_same_disk() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let plain = bench.path("plain");
    bench.flash(&[text(&image), "--to", text(&plain)]).good();
    for (program, end) in [("gzip", "gz"), ("zstd", "zst")] {
        if !there(program) {
            continue;
        }
        let packed = image.with_extension(format!("img.{end}"));
        let output = fs::File::create(&packed).unwrap();
        assert!(
            Command::new(program).args(["-1", "-c"]).arg(&image).stdout(output).status().unwrap().success()
        );
        let disk = bench.path(end);
        bench.flash(&[text(&packed), "--to", text(&disk)]).good();
        assert_eq!(images::difference(&plain, &disk), None);
        assert!(fs::metadata(&disk).unwrap().blocks() * 512 < 64 << 20);
        // Damaged, it is refused before anything is written.
        let mut bytes = fs::read(&packed).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0x55);
        fs::write(&packed, bytes).unwrap();
        fs::remove_file(&disk).unwrap();
        bench.flash(&[text(&packed), "--to", text(&disk)]).refused(&[text(&packed)]);
        assert!(!disk.exists());
    }
    assert_eq!(fs::read_dir(bench.path("cache")).unwrap().count(), 0, "nothing is left of unpacking");
}

#[test]
fn an_image_that_is_not_its_manifests_is_refused_before_anything_is_written() {
    use std::os::unix::fs::FileExt as _;
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let disk = bench.empty("disk", 4 << 30);
    let base = disk::read(&image).unwrap().layout.find(Role::Base).unwrap().start;
    let file = fs::OpenOptions::new().read(true).write(true).open(&image).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, base + 5000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], base + 5000).unwrap();
    bench
        .flash(&[text(&image), "--to", text(&disk)])
        .refused(&["is not what its manifest says", "Nothing was written"]);
    assert_eq!(fs::metadata(&disk).unwrap().blocks(), 0);
    fs::remove_file(image.with_extension("manifest.json")).unwrap();
    bench
        .flash(&[text(&image), "--to", text(&disk)])
        .refused(&["attic-1.manifest.json is missing", "--unverified"]);
    let said = bench.flash(&[text(&image), "--to", text(&disk), "--unverified"]).good();
    assert!(said.out.contains("digest       not compared"), "{said:?}");
    fs::write(bench.path("x.img"), vec![7; 2 << 20]).unwrap();
    bench.flash(&["x.img", "--to", text(&disk), "--unverified"]).refused(&["it is no image of Boxwright's"]);
    bench.flash(&["missing.img", "--to", text(&disk)]).refused(&["missing.img is no file"]);
}

#[test]
fn a_copy_of_an_image_that_lost_its_holes_is_written_as_the_image() {
    use std::os::unix::fs::FileExt as _;
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let full = bench.path("full.img");
    let copied = Command::new("cp").arg("--sparse=always").args([&image, &full]).status().unwrap();
    let hole = disk::read(&image).unwrap().layout.find(Role::Profile).unwrap().start - (80 << 20);
    let file = fs::OpenOptions::new().write(true).open(&full).unwrap();
    file.write_all_at(&[0; 64 << 20], hole).unwrap();
    assert!(copied.success() && fs::metadata(&full).unwrap().blocks() * 512 > 64 << 20);
    fs::copy(image.with_extension("manifest.json"), full.with_extension("manifest.json")).unwrap();
    let disk = bench.path("disk");
    bench.flash(&[text(&full), "--to", text(&disk)]).good();
    assert!(fs::metadata(&disk).unwrap().blocks() * 512 < 64 << 20);
    assert_eq!(images::difference(&image, &disk), None);
}

#[test]
fn what_a_file_held_before_is_gone_where_the_image_has_holes() {
    use std::os::unix::fs::FileExt as _;
    let bench = Bench::new();
    let (first, second) = (bench.image("attic", 1), bench.image("attic", 2));
    let disk = bench.path("disk");
    bench.flash(&[text(&first), "--to", text(&disk)]).good();
    let layout = disk::read(&disk).unwrap().layout;
    let secrets = layout.find(Role::Secrets).unwrap().start;
    let gap = layout.find(Role::Profile).unwrap().start - 4096;
    let file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
    for at in [secrets, secrets + 4_000_000, gap] {
        file.write_all_at(&[9; 4096], at).unwrap();
    }
    bench.flash(&[text(&second), "--to", text(&disk)]).good();
    assert!(images::bytes(&disk, secrets, 8 << 20).iter().all(|byte| *byte == 0));
    assert!(images::bytes(&disk, gap, 4096).iter().all(|byte| *byte == 0));
    assert_eq!(images::difference(&second, &disk), None);
}

#[test]
fn targets_that_are_none_are_refused() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    fs::write(bench.path("letter.txt"), "dear box\n").unwrap();
    fs::write(bench.path("holiday.jpg"), vec![3; 3 << 20]).unwrap();
    for file in ["letter.txt", "holiday.jpg"] {
        let before = fs::read(bench.path(file)).unwrap();
        bench.flash(&[text(&image), "--to", file]).refused(&["with something in it that is no disk image"]);
        bench.flash(&[text(&image), "--to", file, "--size", "4G"]).refused(&["no disk image"]);
        assert_eq!(fs::read(bench.path(file)).unwrap(), before);
    }
    bench.flash(&[text(&image), "--to", "small", "--size", "1G"]).refused(&["needs", "--size"]);
    assert!(!bench.path("small").exists());
    bench.flash(&[text(&image), "--to", "/dev/sdzz"]).refused(&["there is no device /dev/sdzz"]);
    bench.flash(&[text(&image), "--to", "/dev/null"]).refused(&["is neither a disk nor a file"]);
    bench.flash(&[text(&image), "--to", "."]).refused(&["is neither a disk nor a file"]);
    let said = bench.flash(&[text(&image), "--to", "new", "--size", "3G", "--dry-run"]).good();
    assert!(said.out.contains("nothing was written") && !bench.path("new").exists(), "{said:?}");
    // Nobody is there to be asked.
    bench.flash(&[text(&image)]).refused(&["name one with --to"]);
    bench.flash(&[]).refused(&["there is no image in out/"]);
}

#[test]
fn a_file_that_another_program_writes_stays_as_it_is() {
    use rustix::fs::{FlockOperation, flock};
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    for (name, size) in [("empty", 0), ("blank", 2 << 20)] {
        let disk = bench.empty(name, size);
        let writes = fs::File::open(&disk).unwrap();
        flock(&writes, FlockOperation::NonBlockingLockExclusive).unwrap();
        let to = [text(&image), "--to", text(&disk), "--size", "3G"];
        bench.flash(&to).refused(&["another program has locked", text(&disk), "nothing was written"]);
        assert_eq!(fs::metadata(&disk).unwrap().len(), size);
        drop(writes);
        bench.flash(&to).good();
        assert_eq!(fs::metadata(&disk).unwrap().len(), 3 << 30);
    }
}

#[test]
fn a_file_that_came_meanwhile_is_nobodys_to_overwrite() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let disk = bench.path("disk");
    let (source, aim) = images::aimed(&bench, &image, &disk);
    fs::write(&disk, "dear box").unwrap();
    let order = images::order(&source, &aim);
    let plan = order.plan().unwrap().0;
    let written = order.carry_out(&plan, &Machine::default(), &Ui::silent());
    assert!(format!("{:#}", written.unwrap_err()).contains("has changed since it was looked at"));
    assert_eq!(fs::read(&disk).unwrap(), b"dear box");
}

#[test]
fn a_run_that_fails_removes_what_it_made_and_nothing_else() {
    let bench = Bench::new();
    let (made, there) = (bench.path("made"), bench.empty("there", 0));
    for (version, disk) in [(1, &made), (2, &there)] {
        let image = bench.image("attic", version);
        let (source, aim) = images::aimed(&bench, &image, disk);
        let order = images::order(&source, &aim);
        let plan = order.plan().unwrap().0;
        // The image is cut off while it is read.
        fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(1 << 20).unwrap();
        order.carry_out(&plan, &Machine::default(), &Ui::silent()).unwrap_err();
    }
    assert!(!made.exists() && there.exists());
}
