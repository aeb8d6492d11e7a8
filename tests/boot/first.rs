//! The first boots of a box: it takes the disk, gets good, and keeps what it has to keep.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use boxwright::disk::{self, Role};
use boxwright::tool::Tool;
use boxwright::vm::{BoxDisk, MachineOptions};

use crate::harness::{Bench, GOOD, SOON, When, checks, probe, value, with_units};
use crate::stick::{self, Sticks};

/// What a box is, line by line.
const IDENTITY: &str = "
echo machine-id $(cat /etc/machine-id)
echo disk $(sfdisk --disk-id /dev/boxwright/disk)
echo esp $(blkid -p -s PART_ENTRY_UUID -o value /dev/boxwright/esp)
echo upper $(ls /var/lib/boxwright/uppers)
echo entry $(ls /efi/loader/entries)
echo boots $(cat /run/boxwright/upper/boots 2>/dev/null || echo 0)
touch /etc/patched-by-probe
";

/// What a box makes of the disk, and whether the firmware enforces Secure Boot.
const MACHINE: &str = "
echo state $(df --block-size=1 --output=size /srv/state | tail -n 1)
echo secure-boot $(od -A n -t u1 -j 4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c 2>/dev/null)
";

/// What has to be true at the second start.
const KEPT: [(&str, &str); 9] = [
    ("patched", "test -e /etc/patched-by-probe"),
    ("overlay", "findmnt -no FSTYPE / | grep -x overlay"),
    ("read-only", "findmnt -no OPTIONS /run/boxwright/layers/base | grep -w ro"),
    ("verity", "dmsetup table boxwright-base | grep \"verity.*panic_on_corruption\""),
    ("mode", "stat -c %a /etc | grep -x 755"),
    ("journal", "journalctl --list-boots --no-pager -q | grep -cE \"[0-9a-f]{32}\" | grep -x 2"),
    (
        "own-state",
        "findmnt -no SOURCE /srv/state | xargs readlink -f | grep -x \"$(readlink -f /dev/boxwright/state)\"",
    ),
    ("own-disk", "readlink -f /dev/boxwright/state | grep -x \"$(readlink -f /dev/boxwright/disk)[0-9]*\""),
    (
        "patching",
        "unattended-upgrade --dry-run --verbose >/run/seen 2>&1 && \
         grep \"^Allowed origins are: origin=Debian,codename=trixie-security$\" /run/seen",
    ),
];

#[test]
fn a_box_gets_good_and_stays_who_it_is() {
    let Some(bench) = Bench::new() else { return };
    let (disk, twin) = (bench.disk("same"), bench.disk("twin"));
    let sticks = Sticks::new(&bench);
    let prepare = sticks.as_ref().map(Sticks::prepare).unwrap_or_default();
    let script = format!("{IDENTITY}{MACHINE}{prepare}");
    let options = with_units(&MachineOptions::default(), [probe("identity", When::Good, &script)]);
    let mut run = bench.start(&disk, &options);
    run.until_good();
    let seen = run.probe("identity", SOON);
    if let Some(sticks) = &sticks {
        sticks.assert_told_apart(&bench, &mut run);
    }
    let of_machine = |line: &String| line.starts_with("state ") || line.starts_with("secure-boot");
    let (machine, first): (Vec<String>, Vec<String>) = seen.into_iter().partition(of_machine);
    let console = run.shut_down();
    sticks.iter().for_each(Sticks::assert_overwritten);
    assert!(!console.iter().any(|line| line.contains("is not clean")), "{console:?}");
    assert!(!value(&first, "entry").contains('+'), "the entry is blessed: {first:?}");
    assert_eq!(value(&first, "boots"), "0", "the health check resets the count of boots");
    takes_all_of_the_disk(&disk, &value(&machine, "state"));

    // Another disk from the same image, as new: the box that has started once keeps its own.
    let untouched = std::fs::metadata(&twin.path).unwrap().modified().unwrap();
    let options = MachineOptions { disks: vec![twin.path.clone()], ..MachineOptions::default() };
    let kept = [&KEPT[..], if sticks.is_some() { &[stick::KEPT] } else { &[] }].concat();
    let script = format!("{IDENTITY}{}", checks(&kept));
    let mut run = bench.start(&disk, &with_units(&options, [probe("kept", When::Good, &script)]));
    run.until_good();
    let second = run.checks("kept", kept.len());
    run.cut_power();
    assert_eq!(first, second);
    assert_eq!(
        std::fs::metadata(&twin.path).unwrap().modified().unwrap(),
        untouched,
        "the twin was written to"
    );
    another_box_is_another(&bench, &twin, &first);
}

/// The first start leaves no room at the end of `disk`, and a table that other programs accept.
fn takes_all_of_the_disk(disk: &BoxDisk, filesystem: &str) {
    let layout = disk::read(&disk.path).unwrap().layout;
    let state = layout.find(Role::State).unwrap();
    let left = layout.total_bytes - state.start - state.length;
    assert!(left < 2 << 20, "{left} bytes are left behind the last partition");
    let filesystem: u64 = filesystem.parse().unwrap();
    assert!(
        filesystem > state.length / 100 * 95 && filesystem <= state.length,
        "{filesystem} {}",
        state.length
    );
    let mut copy = [0; 8];
    File::open(&disk.path).unwrap().read_exact_at(&mut copy, layout.total_bytes - 512).unwrap();
    assert_eq!(&copy, b"EFI PART", "the copy of the table is in the last sector");
    // gdisk is not among the tools: a second opinion where the host has it.
    let sgdisk = Path::new("/usr/sbin/sgdisk");
    if sgdisk.exists() {
        let said = Tool::new(sgdisk).arg("--verify").arg(&disk.path).output().unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("No problems found"), "{said}");
    }
}

/// The box on `disk` loses power while it takes the disk, and gets good nevertheless, under Secure Boot; it is not the box
/// whose identity is `first`.
fn another_box_is_another(bench: &Bench, disk: &BoxDisk, first: &[String]) {
    let script = format!("{IDENTITY}{MACHINE}");
    let options = MachineOptions { secure_boot: true, ..MachineOptions::default() };
    let options = with_units(&options, [probe("identity", When::Good, &script)]);
    let mut run = bench.start(disk, &options);
    run.until_text(GOOD, "first start: preparing");
    run.cut_power();
    let mut run = bench.start(disk, &options);
    run.until_good();
    let other = run.probe("identity", SOON);
    assert_eq!(value(&other, "secure-boot"), "1");
    for key in ["machine-id", "disk", "esp"] {
        assert_ne!(value(first, key), value(&other, key), "{key} of two boxes from one image");
    }
}
