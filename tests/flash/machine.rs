//! What sysfs, udev and proc say of machines that are not this one: LVM, RAID and LUKS, however they are stacked, and disks of
//! all kinds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use boxwright::flash::{Aim, Connection, Holder, Machine, Use};

/// A machine in a folder.
pub struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    pub fn new() -> Self {
        let fake = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["sys/block", "sys/class/block", "sys/dev/block", "proc/self", "udev"] {
            fs::create_dir_all(fake.folder.path().join(folder)).unwrap();
        }
        fake
    }

    pub fn machine(&self) -> Machine {
        let path = |name: &str| self.folder.path().join(name);
        Machine { sys: path("sys"), proc: path("proc"), udev: path("udev") }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A whole device at `at` below sys/devices.
    pub fn device(&self, at: &str, name: &str, number: &str, files: &[(&str, &str)]) {
        let folder = format!("sys/devices/{at}/block/{name}");
        self.write(&format!("{folder}/dev"), number);
        self.write(&format!("{folder}/size"), "62333952");
        self.write(&format!("{folder}/queue/logical_block_size"), "512");
        for (file, text) in files {
            self.write(&format!("{folder}/{file}"), text);
        }
        for list in [format!("block/{name}"), format!("class/block/{name}"), format!("dev/block/{number}")] {
            let link = self.folder.path().join("sys").join(list);
            symlink(self.folder.path().join(&folder), link).unwrap();
        }
    }

    fn partition(&self, at: &str, disk: &str, (name, number): (&str, &str)) {
        let folder = format!("sys/devices/{at}/block/{disk}/{name}");
        let index = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        self.write(&format!("{folder}/partition"), index);
        self.write(&format!("{folder}/dev"), number);
        self.write(&format!("{folder}/size"), "2048");
        self.write(&format!("{folder}/uevent"), "PARTN=1\nPARTNAME=data\n");
        symlink(self.folder.path().join(&folder), self.folder.path().join("sys/class/block").join(name))
            .unwrap();
    }

    fn holds(&self, device: &str, holder: &str) {
        let real = fs::canonicalize(self.folder.path().join("sys/class/block").join(device)).unwrap();
        fs::create_dir_all(real.join("holders")).unwrap();
        symlink(Path::new("/nowhere"), real.join("holders").join(holder)).unwrap();
    }
}

const USB: &str = "pci0000:00/usb1/1-1/1-1:1.0/host6/target6:0:0/6:0:0:0";

#[test]
fn disks_are_named_as_their_makers_do() {
    let fake = Fake::new();
    fake.write("sys/devices/pci0000:00/usb1/1-1/idVendor", "0781\n");
    fake.write("sys/devices/pci0000:00/usb1/1-1/serial", "4C5300\n");
    let vendor =
        [("device/vendor", "SanDisk \n"), ("device/model", "Ultra\u{1b}[31m\n"), ("removable", "0\n")];
    fake.device(USB, "sdb", "8:16", &vendor);
    fake.partition(USB, "sdb", ("sdb1", "8:17"));
    fake.write("udev/b8:17", "S:disk/by-id/x\nE:ID_FS_TYPE=vfat\nE:ID_FS_LABEL=PHOTOS\n");
    let nvme =
        [("device/model", "Samsung SSD"), ("device/serial", "S4EW"), ("queue/logical_block_size", "4096")];
    fake.device("pci0000:00/nvme/nvme0", "nvme0n1", "259:0", &nvme);
    fake.write("udev/b259:0", "E:ID_SERIAL_SHORT=S4EW-UDEV\n");
    fake.device(
        "platform/mmc0",
        "mmcblk0",
        "179:0",
        &[("device/type", "SD"), ("device/name", "SC64G"), ("ro", "1")],
    );
    fake.device("platform/mmc1", "mmcblk1", "179:8", &[("device/type", "MMC"), ("device/name", "DG4064")]);
    fake.device("virtual", "zram0", "253:0", &[]);
    fake.device("virtual", "dm-0", "252:0", &[]);
    let disks = fake.machine().disks().unwrap();
    let shown: Vec<_> = disks
        .iter()
        .map(|disk| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            (disk.name.as_str(), text(&disk.model), text(&disk.serial), disk.connection, disk.removable)
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("mmcblk0", "SC64G".into(), String::new(), Connection::Sd, true),
            ("mmcblk1", "DG4064".into(), String::new(), Connection::Emmc, false),
            ("nvme0n1", "Samsung SSD".into(), "S4EW-UDEV".into(), Connection::Nvme, false),
            ("sdb", "SanDisk Ultra [31m".into(), "4C5300".into(), Connection::Usb, true),
        ]
    );
    assert!(disks[0].read_only && disks[2].sector == 4096);
    let part = &disks[3].partitions[0];
    assert_eq!((part.label.as_deref(), part.filesystem.as_deref()), (Some("PHOTOS"), Some("vfat")));
    assert_eq!(fake.machine().disk_of_partition("sdb1").as_deref(), Some("sdb"));
    assert_eq!(fake.machine().disk_of_partition("sdb"), None);
}

#[test]
fn what_is_built_on_a_disk_is_followed_to_its_mounts() {
    let fake = Fake::new();
    fake.device("pci0/ata1", "sda", "8:0", &[]);
    fake.partition("pci0/ata1", "sda", ("sda1", "8:1"));
    fake.partition("pci0/ata1", "sda", ("sda2", "8:2"));
    fake.device("pci0/ata2", "sdb", "8:16", &[]);
    fake.device("virtual", "md0", "9:0", &[("md/level", "raid1")]);
    fake.device("virtual", "dm-0", "252:0", &[("dm/name", "cr"), ("dm/uuid", "CRYPT-LUKS2-aa")]);
    fake.device("virtual", "dm-1", "252:1", &[("dm/name", "vg-root"), ("dm/uuid", "LVM-bb")]);
    fake.device("virtual", "dm-2", "252:2", &[("dm/name", "vg-swap"), ("dm/uuid", "LVM-cc")]);
    // sda2 and sdb are a RAID, on which there is an encrypted LVM with the root and swap.
    for (device, holder) in
        [("sda2", "md0"), ("sdb", "md0"), ("md0", "dm-0"), ("dm-0", "dm-1"), ("dm-0", "dm-2")]
    {
        fake.holds(device, holder);
    }
    fake.write(
        "proc/self/mountinfo",
        "22 1 252:1 / / rw shared:1 - ext4 /dev/mapper/vg-root rw\n\
         23 22 8:1 / /boot/efi rw shared:2 - vfat /dev/sda1 rw\n\
         24 22 0:40 / /mnt/with\\040blank rw - btrfs /dev/sdc rw\n",
    );
    fake.write("proc/swaps", "Filename Type Size Used Priority\n/dev/dm-2 partition 1 0 -2\n");
    let root = Use::System { device: "dm-1".into(), at: "/".into() };
    let swap = Use::Swap { device: "dm-2".into() };
    let held = |device: &str, by: &str, kind| Use::Held { device: device.into(), by: by.into(), kind };
    let uses = fake.machine().uses("sda");
    for wanted in [
        root.clone(),
        Use::System { device: "sda1".into(), at: "/boot/efi".into() },
        swap.clone(),
        held("sda2", "md0", Holder::Raid),
        held("md0", "dm-0", Holder::Luks("cr".into())),
        held("dm-0", "dm-1", Holder::Lvm("vg-root".into())),
    ] {
        assert!(uses.contains(&wanted), "{wanted:?} is not in {uses:?}");
    }
    let uses = fake.machine().uses("sdb");
    assert!(uses.contains(&root) && uses.contains(&swap) && uses.contains(&held("sdb", "md0", Holder::Raid)));
    // Btrfs has a device number of its own: its mounts name one device, and sysfs all of them.
    fake.device("pci0/ata3", "sdc", "8:32", &[]);
    fake.device("pci0/ata4", "sdd", "8:48", &[]);
    fs::create_dir_all(fake.folder.path().join("sys/fs/btrfs/a-b/devices/sdd")).unwrap();
    let mounted = Use::Mounted { device: "sdc".into(), at: "/mnt/with blank".into(), process: None };
    assert_eq!(fake.machine().uses("sdc"), [mounted]);
    assert_eq!(fake.machine().uses("sdd"), [held("sdd", "a-b", Holder::Btrfs)]);
}

/// Two names that no real disk has: looking at one opens its device.
#[test]
fn a_disk_under_raid_luks_and_lvm_is_refused_with_what_switches_them_off() {
    let fake = Fake::new();
    for (at, name, number) in [("pci0/ata1", "sdyy", "65:0"), ("pci0/ata2", "sdyx", "65:16")] {
        fake.device(at, name, number, &[]);
    }
    fake.device("virtual", "md127", "9:127", &[("md/level", "raid1")]);
    fake.device("virtual", "dm-8", "252:8", &[("dm/name", "vault"), ("dm/uuid", "CRYPT-LUKS2-aa")]);
    fake.device("virtual", "dm-9", "252:9", &[("dm/name", "vg-root"), ("dm/uuid", "LVM-bb")]);
    for (device, holder) in [("sdyy", "md127"), ("md127", "dm-8"), ("dm-8", "dm-9")] {
        fake.holds(device, holder);
    }
    fake.write("proc/self/mountinfo", "22 1 252:9 / / rw shared:1 - ext4 /dev/mapper/vg-root rw\n");
    let refusals = |name: &str| {
        let machine = fake.machine();
        let found = Aim::disk(&machine, machine.disk(name).unwrap()).refusals;
        found.into_iter().map(|one| (one.code, one.reason, one.advice)).collect::<Vec<_>>()
    };
    let found = refusals("sdyy");
    for (code, reason, advice) in [
        ("system", "the system that is running now is on it (/dev/dm-9 is /)", "take another disk"),
        ("held", "/dev/sdyy is part of the RAID array /dev/md127", "`mdadm --stop /dev/md127` first"),
        (
            "held",
            "/dev/md127 is part of the opened encrypted device vault (/dev/dm-8)",
            "`cryptsetup close vault` first",
        ),
        (
            "held",
            "/dev/dm-8 is part of the logical volume vg-root (/dev/dm-9)",
            "switch its volume group off with `vgchange --activate n` (vg-root) first",
        ),
    ] {
        let there = found.iter().any(|(is, why, what)| *is == code && why == reason && what.contains(advice));
        assert!(there, "no {code} with {reason}: {advice} in {found:#?}");
    }
    let codes: Vec<&str> = refusals("sdyx").into_iter().map(|(code, ..)| code).collect();
    assert!(!codes.iter().any(|code| ["system", "held"].contains(code)), "{codes:?}");
}

#[test]
fn another_disk_under_the_same_name_is_told() {
    let fake = Fake::new();
    let at = "pci0/ata7";
    let file = |name: &str, text: &str| fake.write(&format!("sys/devices/{at}/block/sdyw/{name}"), text);
    fake.device(at, "sdyw", "65:96", &[("diskseq", "7\n"), ("device/serial", "S4EW\n")]);
    let machine = fake.machine();
    let aim = Aim::disk(&machine, machine.disk("sdyw").unwrap());
    let number = rustix::fs::makedev(65, 96);
    assert!(aim.is_still(&machine, number) && !aim.is_still(&machine, rustix::fs::makedev(65, 97)));
    // The same kind of stick, or one that has no number.
    file("diskseq", "8\n");
    assert!(!aim.is_still(&machine, number));
    file("diskseq", "7\n");
    assert!(aim.is_still(&machine, number));
    // An older kernel does not count them.
    file("device/serial", "S4EX\n");
    assert!(!aim.is_still(&machine, number));
}
