//! The disks of this machine, from sysfs and udev's database.
//!
//! Only text files are read here, so that listing needs no rights, and tests can hand in the files of another machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{major, minor};
use serde::Serialize;

use crate::ui;

/// Where the kernel's and udev's files are.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Usually `/sys`.
    pub sys: PathBuf,
    /// Usually `/proc`.
    pub proc: PathBuf,
    /// Usually `/run/udev/data`.
    pub udev: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self { sys: "/sys".into(), proc: "/proc".into(), udev: "/run/udev/data".into() }
    }
}

/// How a disk is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// USB.
    Usb,
    /// A slot for SD cards.
    Sd,
    /// Soldered flash memory.
    Emmc,
    /// NVMe.
    Nvme,
    /// SATA or IDE.
    Sata,
    /// A disk of a virtual machine.
    Virtual,
    /// A file as a disk.
    Loop,
    /// Something else.
    Other,
}

impl Connection {
    /// For a person.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Usb => "USB",
            Self::Sd => "SD card",
            Self::Emmc => "eMMC",
            Self::Nvme => "NVMe",
            Self::Sata => "SATA",
            Self::Virtual => "virtual",
            Self::Loop => "loop",
            Self::Other => "internal",
        }
    }
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The kernel's name: `sda`.
    pub name: String,
    /// The device: `/dev/sda`.
    pub path: PathBuf,
    /// The maker's words.
    pub model: Option<String>,
    /// The maker's number.
    pub serial: Option<String>,
    /// The size in bytes.
    pub size: u64,
    /// The size of a logical sector.
    pub sector: u64,
    /// How it is connected.
    pub connection: Connection,
    /// Whether it is made for being taken out.
    pub removable: bool,
    /// Whether it says that it cannot be written.
    pub read_only: bool,
    /// Its partitions.
    pub partitions: Vec<Volume>,
    /// The filesystem on the whole disk, where there are no partitions.
    pub filesystem: Option<String>,
    /// The file behind a loop device.
    pub file: Option<PathBuf>,
}

/// A partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The kernel's name: `sda1`.
    pub name: String,
    /// Its name in the partition table, or the label of its filesystem.
    pub label: Option<String>,
    /// Its filesystem.
    pub filesystem: Option<String>,
    /// The size in bytes.
    pub size: u64,
}

impl Machine {
    /// All disks that could hold an image: no memory, no optical drives, nothing that is made of other disks.
    ///
    /// # Errors
    /// If the kernel lists none.
    pub fn disks(&self) -> Result<Vec<Disk>> {
        let folder = self.sys.join("block");
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let ignored = ["ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock"];
        names.retain(|name| !ignored.iter().any(|prefix| name.starts_with(prefix)) && !name.contains("boot"));
        Ok(names.iter().filter_map(|name| self.disk(name)).filter(|disk| disk.size > 0).collect())
    }

    /// The disk called `name`; `None` if there is none, or if it is a partition.
    pub fn disk(&self, name: &str) -> Option<Disk> {
        let folder = self.sys.join("block").join(name);
        let text = |path: &str| line(&folder.join(path));
        let number = text("dev")?;
        let udev = self.udev_of(&number);
        let from_udev = |key: &str| udev.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        let real = fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
        let connection = connection(name, &real, text("device/type").as_deref());
        let usb = (connection == Connection::Usb).then(|| usb_device(&real)).flatten();
        let usb_text = |file: &str| usb.as_ref().and_then(|folder| line(&folder.join(file)));
        let vendor = text("device/vendor").filter(|vendor| !vendor.starts_with("0x") && vendor != "ATA");
        let model = text("device/model").or_else(|| text("device/name")).or_else(|| usb_text("product"));
        let model = model.map(|model| match vendor {
            Some(vendor) => format!("{vendor} {model}"),
            None => model,
        });
        let serial = from_udev("ID_SERIAL_SHORT")
            .or_else(|| text("device/serial"))
            .or_else(|| text("serial"))
            .or_else(|| unit_serial(&folder.join("device/vpd_pg80")))
            .or_else(|| usb_text("serial"));
        let removable = text("removable").as_deref() == Some("1");
        Some(Disk {
            path: Path::new("/dev").join(name.replace('!', "/")),
            model,
            serial,
            size: text("size")?.parse::<u64>().ok()?.saturating_mul(512),
            sector: text("queue/logical_block_size").and_then(|text| text.parse().ok()).unwrap_or(512),
            connection,
            removable: removable || matches!(connection, Connection::Usb | Connection::Sd),
            read_only: text("ro").as_deref() == Some("1"),
            partitions: self.partitions(name, &folder),
            filesystem: from_udev("ID_FS_TYPE"),
            file: text("loop/backing_file").map(PathBuf::from),
            name: name.to_owned(),
        })
    }

    /// The kernel's name of the device with this number.
    ///
    /// # Errors
    /// If it knows none.
    pub fn name_of(&self, number: u64) -> Result<String> {
        let link = self.sys.join("dev/block").join(format!("{}:{}", major(number), minor(number)));
        let real = fs::canonicalize(&link).with_context(|| format!("reading {}", link.display()))?;
        let name = real.file_name().and_then(|name| name.to_str());
        Ok(name.context("the kernel's name of a disk is no text")?.to_owned())
    }

    /// What the kernel counts disks by, since 5.15: no two that were ever there have the same, whatever their names.
    pub fn sequence(&self, name: &str) -> Option<String> {
        line(&self.sys.join("block").join(name).join("diskseq"))
    }

    /// The disk of which `name` is a partition.
    pub fn disk_of_partition(&self, name: &str) -> Option<String> {
        let real = fs::canonicalize(self.sys.join("class/block").join(name)).ok()?;
        real.join("partition").exists().then(|| real.parent()?.file_name()?.to_str().map(str::to_owned))?
    }

    fn partitions(&self, disk: &str, folder: &Path) -> Vec<Volume> {
        let mut found: Vec<(u32, Volume)> = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = entry.path();
            let number = line(&path.join("partition")).and_then(|text| text.parse().ok());
            let Some(number) = number.filter(|_| name.starts_with(disk)) else { continue };
            let udev = line(&path.join("dev")).map(|number| self.udev_of(&number)).unwrap_or_default();
            let of = |key: &str| udev.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
            let events = fs::read_to_string(path.join("uevent")).unwrap_or_default();
            let named = events.lines().find_map(|line| line.strip_prefix("PARTNAME=")).map(printable);
            let size = line(&path.join("size")).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
            found.push((
                number,
                Volume {
                    name,
                    label: of("ID_FS_LABEL").or(named).filter(|label| !label.is_empty()),
                    filesystem: of("ID_FS_TYPE"),
                    size: size.saturating_mul(512),
                },
            ));
        }
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, volume)| volume).collect()
    }

    /// What udev knows of the device with this number.
    fn udev_of(&self, number: &str) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.udev.join(format!("b{number}"))).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), printable(value))).collect()
    }
}

/// How the disk `name` is connected, whose folder in sysfs is `real`.
fn connection(name: &str, real: &Path, kind: Option<&str>) -> Connection {
    let path = real.to_string_lossy();
    let within = |part: &str| path.contains(part);
    if name.starts_with("loop") {
        Connection::Loop
    } else if within("/usb") {
        Connection::Usb
    } else if name.starts_with("nvme") {
        Connection::Nvme
    } else if name.starts_with("mmcblk") {
        if kind == Some("SD") { Connection::Sd } else { Connection::Emmc }
    } else if within("/virtio") || name.starts_with("xvd") {
        Connection::Virtual
    } else if within("/ata") {
        Connection::Sata
    } else {
        Connection::Other
    }
}

/// The USB device above the disk at `real`: the nearest folder with the maker's texts.
fn usb_device(real: &Path) -> Option<PathBuf> {
    real.ancestors().find(|folder| folder.join("idVendor").exists()).map(Path::to_owned)
}

/// The serial number in SCSI's page 0x80.
fn unit_serial(path: &Path) -> Option<String> {
    let page = fs::read(path).ok()?;
    let text = printable(&String::from_utf8_lossy(page.get(4..)?));
    (!text.is_empty()).then_some(text)
}

/// The one line of the file at `path`, if it says anything.
fn line(path: &Path) -> Option<String> {
    let text = printable(&fs::read_to_string(path).ok()?);
    (!text.is_empty()).then_some(text)
}

/// `text` without what could confuse a terminal: makers write anything into a disk.
fn printable(text: &str) -> String {
    ui::printable(text).trim().to_owned()
}
