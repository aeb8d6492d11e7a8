//! Loop devices as disks, with the real kernel: everything that is refused, and what is written. For root.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::images::{self, Bench, there};

/// A file as a disk, until this is dropped.
pub struct Loop {
    pub device: String,
}

impl Loop {
    /// `None`, and a line that says so, where this user or kernel cannot make one.
    pub fn new(file: &Path, options: &[&str]) -> Option<Self> {
        if !there("losetup") {
            return None;
        }
        let made =
            Command::new("losetup").args(["--find", "--show"]).args(options).arg(file).output().unwrap();
        if !made.status.success() {
            assert!(std::env::var_os("CI").is_none(), "{made:?}");
            eprintln!("SKIPPED: loop devices are for root: {}", String::from_utf8_lossy(&made.stderr));
            return None;
        }
        Some(Self { device: String::from_utf8(made.stdout).unwrap().trim().to_owned() })
    }

    pub fn name(&self) -> &str {
        self.device.trim_start_matches("/dev/")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

/// One test with loop devices at a time: looking at all disks gets in the way of those that use one of them.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program} {arguments:?}: {done:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const SIZE: u64 = 4 << 30;

fn sized(size: u64) -> String {
    size.to_string()
}

#[test]
fn a_disk_is_written_and_the_kernel_sees_its_partitions() {
    let _turn = turn();
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    // What was there before must not shine through, and the size is not a round one.
    let size = 4_000_000_000_u64 / 512 * 512;
    let file = bench.empty("disk", size);
    let layout = boxwright::disk::read(&image).unwrap().layout;
    let gap = layout.partitions[1].start + (10 << 20);
    fs::OpenOptions::new().write(true).open(&file).unwrap().write_all_at(&[0xa5; 64 << 20], gap).unwrap();
    let Some(disk) = Loop::new(&file, &["--partscan"]) else { return };
    let before = bench.flash(&[text(&image), "--to", &disk.device]);
    before.refused(&["is not a removable disk", "--confirm", &sized(size)]);
    bench.flash(&[text(&image), "--to", &disk.device, "--confirm", "123"]).refused(&["--confirm says 123"]);
    let said = bench.flash(&[text(&image), "--to", &disk.device, "--confirm", &sized(size)]).good();
    assert!(said.err.contains("it may be pulled out now"), "{said:?}");
    assert_eq!(images::difference(&image, &file), None);
    let shown = |disk: &Loop| {
        let part = Path::new("/sys/block").join(disk.name()).join(format!("{}p4/size", disk.name()));
        fs::read_to_string(part).map(|sectors| sectors.trim().to_owned()).ok()
    };
    let seen = shown(&disk);
    drop(disk);
    let Some(disk) = Loop::new(&file, &["--partscan"]) else { return };
    // Some kernels know no GUID partition tables; with the others nothing needs to be plugged in again.
    assert_eq!(seen, shown(&disk));
    assert!(seen.is_none_or(|sectors| sectors == "16384"));
    assert!(images::bytes(&file, gap, 64 << 20).iter().all(|byte| *byte == 0));
    if there("sgdisk") {
        let seen = Command::new("sgdisk").args(["-v", &disk.device]).output().unwrap();
        assert!(String::from_utf8_lossy(&seen.stdout).contains("No problems found"), "{seen:?}");
    }
}

#[test]
fn everything_that_speaks_against_a_disk_is_said_at_once() {
    let _turn = turn();
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let file = bench.empty("disk", 64 << 20);
    let Some(disk) = Loop::new(&file, &["--read-only", "--sector-size", "4096"]) else { return };
    bench.flash(&[text(&image), "--to", &disk.device]).refused(&[
        "cannot be written",
        "sectors of 4096 bytes, and images are made for 512",
        "has 64.00 MiB, and the box needs",
        "nothing was written",
    ]);
    bench.flash(&[text(&image), "--to", text(&file)]).refused(&[&format!("is in use as {}", disk.device)]);
}

#[test]
fn disks_in_use_are_refused() {
    let _turn = turn();
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let file = bench.empty("disk", SIZE);
    let first = bench.flash(&[text(&image), "--to", text(&file)]).good();
    assert!(first.out.contains("attic"));
    let Some(disk) = Loop::new(&file, &["--partscan"]) else { return };
    let to = [text(&image), "--to", &disk.device, "--confirm", &sized(SIZE)];
    let esp = format!("{}p1", disk.device);
    if !Path::new(&esp).exists() {
        // A kernel that knows no GUID partition tables is told.
        run("partx", &["--add", &disk.device]);
    }
    bench.flash(&[text(&image), "--to", &esp]).refused(&["is a partition", &format!("name {}", disk.device)]);
    // Mounted here, and in a namespace of another process only.
    let at = bench.path("mnt");
    fs::create_dir(&at).unwrap();
    let part = format!("{}p3", disk.device);
    run("mke2fs", &["-q", "-F", &part]);
    run("mount", &["-o", "ro", &part, text(&at)]);
    bench.flash(&to).refused(&[&format!("{part} is mounted at {}", text(&at)), "umount"]);
    run("umount", &[text(&at)]);
    let mut other = Command::new("unshare")
        .args(["--mount", "sh", "-c", &format!("mount -o ro {part} {} && echo up && cat", text(&at))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(other.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    bench.flash(&to).refused(&["in another mount namespace", "end that process or container first"]);
    drop(other.stdin.take());
    other.wait().unwrap();
    // Swap.
    let swap = format!("{}p4", disk.device);
    run("mkswap", &["-q", &swap]);
    run("swapon", &[&swap]);
    let said = bench.flash(&to);
    run("swapoff", &[&swap]);
    said.refused(&[&format!("{swap} is in use as swap")]);
    // Another disk on it.
    if let Some(above) = Loop::new(Path::new(&swap), &[]) {
        bench
            .flash(&to)
            .refused(&[&format!("is part of the loop device {}", above.device), "losetup --detach"]);
    }
    mapped(&bench, &disk, &to);
    // Somebody has it for themselves, and the kernel does not say who.
    let taken = boxwright::flash::Target::open(&PathBuf::from(&disk.device)).unwrap();
    bench.flash(&to).refused(&["in use by something that the kernel does not name"]);
    drop(taken);
    bench.flash(&to).good();
}

/// A device of the device mapper, where this kernel has it.
fn mapped(bench: &Bench, disk: &Loop, to: &[&str]) {
    let name = format!("boxwright-test-{}", std::process::id());
    let table = format!("0 8192 linear {} 2048", disk.device);
    let made = Command::new("dmsetup").args(["create", &name, "--table", &table]).output();
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("SKIPPED: there is no device mapper here");
        return;
    }
    let said = bench.flash(to);
    run("dmsetup", &["remove", &name]);
    said.refused(&[&format!("is part of the mapped device {name}"), "dmsetup remove"]);
}

#[test]
fn the_disk_that_this_system_runs_from_is_refused() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let text_of = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let source = text_of("findmnt", &["--noheadings", "--output", "SOURCE", "/"]);
    let inverse =
        text_of("lsblk", &["--inverse", "--noheadings", "--list", "--output", "NAME,TYPE", &source]);
    let Some(name) = inverse.lines().find_map(|line| line.strip_suffix("disk")) else {
        eprintln!("SKIPPED: the root of this system is on no disk");
        return;
    };
    let disk = format!("/dev/{}", name.trim());
    // Never without --dry-run: whatever is broken, this disk stays as it is.
    let said = bench.flash(&[text(&image), "--to", &disk, "--dry-run"]);
    said.refused(&["the system that is running now is on it"]);
}

#[test]
fn the_list_has_disks_that_can_be_meant_first_and_the_reasons_against_the_others() {
    let _turn = turn();
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let [good, small] = [("good", SIZE), ("small", 64 << 20)].map(|(name, size)| bench.empty(name, size));
    let (Some(good), Some(small)) = (Loop::new(&good, &[]), Loop::new(&small, &[])) else { return };
    let said = bench.flash(&[text(&image), "--json"]).good();
    let list: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let place =
        |wanted: &str| list.as_array().unwrap().iter().position(|disk| disk["path"] == wanted).unwrap();
    assert!(place(&good.device) < place(&small.device), "{list:#}");
    assert_eq!(list[place(&good.device)]["refusals"], serde_json::json!([]));
    assert_eq!(list[place(&good.device)]["disk"]["connection"], "loop");
    assert_eq!(list[place(&small.device)]["refusals"][0]["code"], "too-small");
    let said = bench.flash(&[text(&image)]).refused(&["name one with --to"]);
    for line in
        ["disks that could be meant:", "disks that cannot be used now:", "holds nothing at its beginning"]
    {
        assert!(said.out.contains(line), "{}", said.out);
    }
}

#[test]
fn a_disk_that_was_exchanged_since_it_was_looked_at_is_not_written() {
    use boxwright::flash::{Aim, Machine};
    let _turn = turn();
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let file = bench.empty("disk", SIZE);
    let Some(disk) = Loop::new(&file, &[]) else { return };
    let machine = Machine::default();
    let (source, _) = images::aimed(&bench, &image, &bench.path("none"));
    let aim = Aim::take(&machine, Path::new(&disk.device), (&source, false), None).unwrap();
    let device = disk.device.clone();
    drop(disk);
    // An equal one, of the same name and size, with nothing on it.
    let Some(disk) = Loop::new(&file, &[]) else { return };
    if aim.sequence.is_none() || disk.device != device {
        eprintln!("SKIPPED: this kernel does not count disks, or gave another name");
        return;
    }
    let order = images::order(&source, &aim);
    let plan = order.plan().unwrap().0;
    let written = order.carry_out(&plan, &machine, &boxwright::ui::Ui::silent());
    assert!(format!("{:#}", written.unwrap_err()).contains("has changed since it was looked at"));
    assert_eq!(fs::metadata(&file).map(|about| std::os::unix::fs::MetadataExt::blocks(&about)).unwrap(), 0);
}

#[test]
fn a_run_that_is_stopped_leaves_no_table() {
    use rustix::process::{Pid, Signal, kill_process};
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let disk = bench.empty("disk", SIZE);
    bench.flash(&[text(&image), "--to", text(&disk)]).good();
    for pause in [0, 20, 60, 120, 250] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_boxwright"))
            .args(["flash", text(&image), "--to", text(&disk), "--cache", text(&bench.path("cache"))])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let ended = child.wait().unwrap();
        let tables = [true, false].map(|first| images::table(&disk, first).is_some());
        // Nothing was begun, or all is done, or nothing starts.
        assert!(
            tables == [false, false] || tables == [true, true] && images::difference(&image, &disk).is_none()
        );
        assert!(tables == [true, true] || !ended.success());
        bench.flash(&[text(&image), "--to", text(&disk)]).good();
    }
}
