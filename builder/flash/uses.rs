//! What uses a disk: mounts in every namespace that can be seen, swap, and what is built on it (LVM, RAID, LUKS, loop
//! devices), however many layers up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::machine::Machine;

/// One way in which a disk is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// The running system is on it.
    System {
        /// What is mounted, and where.
        device: String,
        /// The mount point.
        at: String,
    },
    /// A filesystem on it is mounted.
    Mounted {
        /// What is mounted.
        device: String,
        /// The mount point.
        at: String,
        /// The process in whose mount namespace it is, if that is not ours.
        process: Option<String>,
    },
    /// It holds swap.
    Swap {
        /// The device.
        device: String,
    },
    /// Something is built on it.
    Held {
        /// The disk or partition.
        device: String,
        /// The device that is built on it.
        by: String,
        /// What that is.
        kind: Holder,
    },
}

/// What is built on a disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A logical volume, with its name.
    Lvm(String),
    /// An opened encrypted device, with its name.
    Luks(String),
    /// A RAID array.
    Raid,
    /// A loop device.
    Loop,
    /// A filesystem on several devices.
    Btrfs,
    /// Something else of the device mapper, with its name.
    Mapped(String),
    /// Anything else.
    Other,
}

/// Mount points without which the running system does not run.
const SYSTEM: [&str; 8] = ["/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/etc", "/nix/store"];

impl Machine {
    /// Everything that uses the disk called `disk`.
    pub fn uses(&self, disk: &str) -> Vec<Use> {
        let (nodes, mut uses) = self.above(disk);
        let numbers: BTreeMap<String, &String> = nodes
            .iter()
            .filter_map(|name| {
                let number = fs::read_to_string(self.node(name).join("dev")).ok()?;
                Some((number.trim().to_owned(), name))
            })
            .collect();
        for mount in self.mounts() {
            let by_name = || mount.source.as_deref().and_then(node_name).filter(|name| nodes.contains(name));
            let Some(device) = numbers.get(&mount.number).map(|name| (*name).clone()).or_else(by_name) else {
                continue;
            };
            uses.insert(match mount.process {
                None if SYSTEM.contains(&mount.at.as_str()) => Use::System { device, at: mount.at },
                process => Use::Mounted { device, at: mount.at, process },
            });
        }
        let swaps = fs::read_to_string(self.proc.join("swaps")).unwrap_or_default();
        for path in swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
            if let Some(device) = node_name(&unescape(path)).filter(|name| nodes.contains(name)) {
                uses.insert(Use::Swap { device });
            }
        }
        // A system disk is mounted in all namespaces: once is enough to say it.
        let own: Vec<(String, String)> = uses.iter().filter_map(own_mount).collect();
        uses.into_iter().filter(|found| !repeats(found, &own)).collect()
    }

    fn node(&self, name: &str) -> PathBuf {
        self.sys.join("class/block").join(name)
    }

    /// The disk, its partitions, and all devices that are built on them; and who holds what.
    fn above(&self, disk: &str) -> (BTreeSet<String>, BTreeSet<Use>) {
        let (mut nodes, mut uses) = (BTreeSet::new(), BTreeSet::new());
        let loops = self.loops();
        let pools = self.pools();
        let mut waiting = VecDeque::from([disk.to_owned()]);
        while let Some(name) = waiting.pop_front() {
            if !nodes.insert(name.clone()) {
                continue;
            }
            let folder = self.node(&name);
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.path().join("partition").exists() {
                    waiting.extend(entry.file_name().into_string());
                }
            }
            let mut hold = |by: String, kind| {
                uses.insert(Use::Held { device: name.clone(), by, kind });
            };
            for entry in fs::read_dir(folder.join("holders")).into_iter().flatten().flatten() {
                let Ok(holder) = entry.file_name().into_string() else { continue };
                hold(holder.clone(), self.kind(&holder));
                waiting.push_back(holder);
            }
            for (device, _) in loops.iter().filter(|(_, on)| *on == name) {
                hold(device.clone(), Holder::Loop);
                waiting.push_back(device.clone());
            }
            for (pool, _) in pools.iter().filter(|(_, on)| *on == name) {
                hold(pool.clone(), Holder::Btrfs);
            }
        }
        (nodes, uses)
    }

    fn kind(&self, holder: &str) -> Holder {
        let text = |file: &str| {
            fs::read_to_string(self.node(holder).join(file)).map(|text| text.trim().to_owned()).ok()
        };
        let name = text("dm/name").unwrap_or_default();
        match text("dm/uuid") {
            Some(id) if id.starts_with("LVM-") => Holder::Lvm(name),
            Some(id) if id.starts_with("CRYPT-") => Holder::Luks(name),
            Some(_) => Holder::Mapped(name),
            None if self.node(holder).join("md").exists() => Holder::Raid,
            None => Holder::Other,
        }
    }

    /// Loop devices on devices.
    fn loops(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.sys.join("block")).into_iter().flatten().flatten();
        let of = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let file = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
            Some((name, node_name(file.trim())?))
        };
        entries.filter_map(of).collect()
    }

    /// The loop device that shows the file at `path`.
    pub fn loop_of(&self, path: &Path) -> Option<String> {
        let wanted = fs::canonicalize(path).ok()?;
        fs::read_dir(self.sys.join("block")).into_iter().flatten().flatten().find_map(|entry| {
            let file = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
            (Path::new(file.trim()) == wanted).then(|| entry.file_name().into_string().ok())?
        })
    }

    /// The devices of mounted btrfs filesystems: the mounts name one of them at the most.
    fn pools(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for pool in fs::read_dir(self.sys.join("fs/btrfs")).into_iter().flatten().flatten() {
            let Ok(name) = pool.file_name().into_string() else { continue };
            for device in fs::read_dir(pool.path().join("devices")).into_iter().flatten().flatten() {
                found.extend(device.file_name().into_string().map(|device| (name.clone(), device)));
            }
        }
        found
    }

    /// The mounts of this process, then those of all others that can be seen and live elsewhere.
    fn mounts(&self) -> Vec<Mount> {
        let mut mounts = read_mounts(&self.proc.join("self"), None);
        let space = |folder: &Path| fs::read_link(folder.join("ns/mnt")).ok();
        let mut seen: BTreeSet<PathBuf> = space(&self.proc.join("self")).into_iter().collect();
        for entry in fs::read_dir(&self.proc).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
            let (Some(number), Some(namespace)) = (number, space(&entry.path())) else { continue };
            if seen.insert(namespace) {
                let program = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                let process = format!("{} ({number})", program.trim());
                mounts.extend(read_mounts(&entry.path(), Some(process)));
            }
        }
        mounts
    }
}

struct Mount {
    number: String,
    at: String,
    source: Option<String>,
    process: Option<String>,
}

/// The mounts that the folder of a process lists (proc_pid_mountinfo(5)).
fn read_mounts(folder: &Path, process: Option<String>) -> Vec<Mount> {
    let text = fs::read_to_string(folder.join("mountinfo")).unwrap_or_default();
    let mount = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(2);
        let number = front.next()?.to_owned();
        let at = unescape(front.nth(1)?);
        let source = back.split(' ').nth(1).map(unescape);
        Some(Mount { number, at, source, process: process.clone() })
    };
    text.lines().filter_map(mount).collect()
}

/// The kernel's name of the device at `path`.
pub fn node_name(path: &str) -> Option<String> {
    if !path.starts_with("/dev/") {
        return None;
    }
    let real = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    Some(real.strip_prefix("/dev").ok()?.to_str()?.replace('/', "!"))
}

/// `text` with the octal escapes of the kernel's tables replaced.
fn unescape(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

fn own_mount(found: &Use) -> Option<(String, String)> {
    match found {
        Use::System { device, at } | Use::Mounted { device, at, process: None } => {
            Some((device.clone(), at.clone()))
        }
        _ => None,
    }
}

/// Whether `found` is a mount in another namespace of what is mounted in ours as well.
fn repeats(found: &Use, own: &[(String, String)]) -> bool {
    match found {
        Use::Mounted { device, process: Some(_), .. } => own.iter().any(|(mounted, _)| mounted == device),
        _ => false,
    }
}
