//! The first boots of a box: it gets good, and keeps what it has to keep.

use std::time::Duration;

use boxwright::vm::MachineOptions;

use crate::harness::{Bench, When, probe, with_units};

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

/// What has to be true at the second start, a line each.
const KEPT: &str = "
check() { if eval \"$2\" >/dev/null 2>&1; then echo \"check $1: yes\"; else echo \"check $1: no: $(eval \"$2\" 2>&1 | tail -n 3)\"; fi; }
check patched 'test -e /etc/patched-by-probe'
check overlay 'findmnt -no FSTYPE / | grep -x overlay'
check read-only 'findmnt -no OPTIONS /run/boxwright/layers/base | grep -w ro'
check verity 'dmsetup table boxwright-base | grep verity.*panic_on_corruption'
check mode 'stat -c %a /etc | grep -x 755'
check journal 'journalctl --list-boots --no-pager -q | grep -cE [0-9a-f]{32} | grep -x 2'
";

fn value(lines: &[String], key: &str) -> String {
    let prefix = format!("{key} ");
    let found = lines.iter().find_map(|line| line.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("no {key} in {lines:?}")).to_owned()
}

#[test]
fn a_box_gets_good_and_stays_who_it_is() {
    let Some(bench) = Bench::new() else { return };
    let disk = bench.disk("same");
    let options = with_units(&MachineOptions::default(), [probe("identity", When::Good, IDENTITY)]);
    let mut run = bench.start(&disk, &options);
    run.until_good();
    let first = run.probe("identity", Duration::from_secs(120));
    let console = run.shut_down();
    assert!(!console.iter().any(|line| line.contains("is not clean")), "{console:?}");
    assert!(!value(&first, "entry").contains('+'), "the entry is blessed: {first:?}");
    assert_eq!(value(&first, "boots"), "0", "the health check resets the count of boots");

    let script = format!("{IDENTITY}{KEPT}");
    let kept = with_units(&MachineOptions::default(), [probe("kept", When::Good, &script)]);
    let mut run = bench.start(&disk, &kept);
    run.until_good();
    let second = run.probe("kept", Duration::from_secs(180));
    run.cut_power();
    let (checks, second): (Vec<String>, Vec<String>) =
        second.into_iter().partition(|line| line.starts_with("check "));
    assert_eq!(first, second);
    assert_eq!(checks.len(), 6, "{checks:?}");
    assert!(checks.iter().all(|check| check.ends_with(": yes")), "{checks:?}");

    let other = bench.disk("other");
    let mut run = bench.start(&other, &options);
    run.until_good();
    let other = run.probe("identity", Duration::from_secs(120));
    for key in ["machine-id", "disk", "esp"] {
        assert_ne!(value(&first, key), value(&other, key), "{key} of two boxes from one image");
    }
}

#[test]
fn secure_boot_is_enforced() {
    let Some(bench) = Bench::new() else { return };
    let disk = bench.disk("secure");
    let script =
        "od -A n -t u1 -j 4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let options = MachineOptions { secure_boot: true, ..MachineOptions::default() };
    let mut run = bench.start(&disk, &with_units(&options, [probe("secure", When::Good, script)]));
    run.until_good();
    assert_eq!(run.probe("secure", Duration::from_secs(60))[0].trim(), "1");
}
