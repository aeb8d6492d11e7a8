//! What `--to` means: a disk of this machine or a file, what is on it, and everything that speaks against it.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::OFlags;

use super::contents::Contents;
use super::machine::{Disk, Machine};
use super::medium::Medium;
use super::refusals::{self, Refusal, Room, Wanted};
use super::source::Source;
use crate::diag::InputError;

/// What is to be flashed.
#[derive(Debug, Clone)]
pub struct Aim {
    /// The device, or the file.
    pub path: PathBuf,
    /// The disk, if it is one.
    pub disk: Option<Disk>,
    /// The size in bytes that it has, or that the file will have.
    pub size: u64,
    /// The size in bytes that it has now; a file that is not there has none.
    pub has: Option<u64>,
    /// See [`Machine::sequence`].
    pub sequence: Option<String>,
    /// What is on it.
    pub contents: Contents,
    /// What speaks against it.
    pub refusals: Vec<Refusal>,
}

impl Aim {
    /// Looks at `path`, onto which `source` is to be written. `size` is the one that is asked for, for a file.
    ///
    /// # Errors
    /// [`InputError`] if that cannot be flashed at all; another error if it cannot be read.
    pub fn take(
        machine: &Machine,
        path: &Path,
        (source, erase_state): (&Source, bool),
        size: Option<u64>,
    ) -> Result<Self> {
        let mut aim = match std::fs::metadata(path) {
            Ok(found) if found.file_type().is_block_device() => {
                if size.is_some() {
                    bail!(InputError(format!("--size is for files, and {} is a disk", path.display())));
                }
                Self::disk(machine, whole_disk(machine, path, found.rdev())?)
            }
            Ok(found) if found.is_file() => Self::file(machine, path, found.len(), (size, source))?,
            Ok(_) => bail!(InputError(format!("{} is neither a disk nor a file", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                new_file(path, size.unwrap_or(whole(source)))?
            }
            Err(error) => return Err(error).with_context(|| format!("looking at {}", path.display())),
        };
        let box_name = source.manifest.as_ref().map(|manifest| manifest.name.as_str());
        let wanted = Wanted { layout: &source.layout, box_name, erase_state };
        let is_device = aim.disk.is_some();
        let room = Room { path: &aim.path, size: aim.size, is_device, contents: &aim.contents };
        aim.refusals.extend(refusals::of_room(&room, &wanted));
        Ok(aim)
    }

    /// Looks at a disk, whatever is to be written to it.
    pub fn disk(machine: &Machine, disk: Disk) -> Self {
        let uses = machine.uses(&disk.name);
        let mut refusals = refusals::of_disk(&disk, &uses);
        let mut contents = Contents::default();
        match OpenOptions::new().read(true).open(&disk.path) {
            Ok(file) => {
                let look = Look { file, size: disk.size };
                // A disk that is broken must not hide the others.
                match Contents::of(&look) {
                    Ok(found) => contents = found,
                    Err(error) => refusals.push(refusals::unreadable(&disk.path, &format!("{error:#}"))),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => refusals.push(refusals::unreadable(&disk.path, &error.to_string())),
        }
        if rustix::fs::access(&disk.path, rustix::fs::Access::WRITE_OK) == Err(rustix::io::Errno::ACCESS) {
            refusals.push(refusals::no_rights(&disk.path, true));
        }
        let exclusive = OFlags::EXCL.bits().cast_signed();
        let busy = OpenOptions::new().read(true).custom_flags(exclusive).open(&disk.path);
        if uses.is_empty() && busy.is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy) {
            refusals.push(refusals::busy(&disk.path));
        }
        // Only now: opening a disk is when the kernel may notice that its medium is a new one.
        let sequence = machine.sequence(&disk.name);
        let (path, size) = (disk.path.clone(), disk.size);
        Self { path, size, has: Some(size), disk: Some(disk), sequence, contents, refusals }
    }

    /// Whether the device `number`, which is open by now, is the disk that was looked at. Names are given anew when disks have
    /// been away for a moment, and two of them may be equal in all but this.
    pub fn is_still(&self, machine: &Machine, number: u64) -> bool {
        let Some(disk) = &self.disk else { return true };
        let Ok(name) = machine.name_of(number) else { return false };
        let serial = machine.disk(&name).and_then(|disk| disk.serial);
        serial == disk.serial && machine.sequence(&name) == self.sequence
    }

    fn file(machine: &Machine, path: &Path, has: u64, with: (Option<u64>, &Source)) -> Result<Self> {
        let (asked, source) = with;
        let size = asked.unwrap_or(if has == 0 { whole(source) } else { has });
        if size < has {
            bail!(InputError(format!(
                "{} has {has} bytes already, more than --size says; remove it first",
                path.display()
            )));
        }
        let mut refusals = Vec::new();
        let mut contents = Contents { blank: true, ..Contents::default() };
        match File::open(path) {
            Ok(file) => {
                let look = Look { file, size: has };
                contents = Contents::of(&look).with_context(|| format!("reading {}", path.display()))?;
                if !contents.table && !contents.blank && contents.state.is_none() || (1..512).contains(&has) {
                    refusals.push(refusals::other_file(path));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error).with_context(|| format!("opening {}", path.display())),
        }
        if rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err() {
            refusals.push(refusals::no_rights(path, false));
        }
        refusals.extend(machine.loop_of(path).map(|device| refusals::looped(path, &device)));
        let path = path.to_owned();
        Ok(Self { path, disk: None, size, has: Some(has), sequence: None, contents, refusals })
    }
}

/// A disk that is only looked at.
struct Look {
    file: File,
    size: u64,
}

impl Medium for Look {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn forget(&self, _: &Range<u64>) -> bool {
        false
    }

    fn settle(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The size of the image's file.
fn whole(source: &Source) -> u64 {
    source.layout.total_bytes
}

fn new_file(path: &Path, size: u64) -> Result<Aim> {
    if path.starts_with("/dev") {
        bail!(InputError(format!(
            "there is no device {}; `boxwright flash` alone lists the disks",
            path.display()
        )));
    }
    let contents = Contents { blank: true, ..Contents::default() };
    let (path, refusals) = (path.to_owned(), Vec::new());
    Ok(Aim { path, disk: None, size, has: None, sequence: None, contents, refusals })
}

/// The disk with the device number `number`, which must be a whole one.
fn whole_disk(machine: &Machine, path: &Path, number: u64) -> Result<Disk> {
    let name =
        machine.name_of(number).with_context(|| format!("{} is unknown to the kernel", path.display()))?;
    if let Some(disk) = machine.disk_of_partition(&name) {
        bail!(InputError(format!(
            "{} is a partition, and the image is of a whole disk: name /dev/{disk} if that is meant",
            path.display()
        )));
    }
    let disk =
        machine.disk(&name).filter(|_| !["dm-", "md", "zram"].iter().any(|made| name.starts_with(made)));
    let Some(mut disk) = disk else {
        bail!(InputError(format!(
            "{} is no disk of its own, and a box starts from one; name a whole disk",
            path.display()
        )));
    };
    if disk.size == 0 {
        bail!(InputError(format!("{} has no medium in it", path.display())));
    }
    // The kernel's name may have no node, as in a container.
    if !disk.path.exists() {
        disk.path = path.to_owned();
    }
    Ok(disk)
}
