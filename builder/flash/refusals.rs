//! Why a disk is not flashed: facts go in, every reason comes out, each with what to do about it.

use std::path::Path;

use serde::Serialize;

use super::contents::Contents;
use super::ends::{HEAD, TAIL};
use super::machine::Disk;
use super::plan::least_bytes;
use super::uses::{Holder, Use};
use crate::disk::Layout;
use crate::disk::gpt::SECTOR;
use crate::ui::human_bytes;

/// One reason, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// For programs.
    pub code: &'static str,
    /// Why.
    pub reason: String,
    /// What to do.
    pub advice: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.advice)
    }
}

fn refusal(code: &'static str, reason: impl Into<String>, advice: impl Into<String>) -> Refusal {
    Refusal { code, reason: reason.into(), advice: advice.into() }
}

/// What is known of the disk as such.
pub fn of_disk(disk: &Disk, uses: &[Use]) -> Vec<Refusal> {
    let mut found: Vec<Refusal> = uses.iter().map(of_use).collect();
    if disk.read_only {
        let advice = "slide the lock of the card to the other side, or take another disk";
        found.push(refusal("read-only", format!("{} cannot be written", disk.path.display()), advice));
    }
    if disk.sector != SECTOR {
        found.push(refusal(
            "sector-size",
            format!(
                "{} has sectors of {} bytes, and images are made for {SECTOR}",
                disk.path.display(),
                disk.sector
            ),
            "take another disk; some can be switched with their maker's program, or `nvme format --lbaf`",
        ));
    }
    found
}

fn of_use(found: &Use) -> Refusal {
    match found {
        Use::System { device, at } => refusal(
            "system",
            format!("the system that is running now is on it (/dev/{device} is {at})"),
            "take another disk; to replace this one, start from another system",
        ),
        Use::Mounted { device, at, process: None } => refusal(
            "mounted",
            format!("/dev/{device} is mounted at {at}"),
            format!("if that is really the disk, `umount {at}` first"),
        ),
        Use::Mounted { device, at, process: Some(process) } => refusal(
            "mounted",
            format!(
                "/dev/{device} is mounted at {at} in another mount namespace, that of the process {process}"
            ),
            "end that process or container first",
        ),
        Use::Swap { device } => refusal(
            "swap",
            format!("/dev/{device} is in use as swap"),
            format!("if that is really the disk, `swapoff /dev/{device}` first"),
        ),
        Use::Held { device, by, kind } => {
            let (what, advice) = of_holder(by, kind);
            refusal(
                "held",
                format!("/dev/{device} is part of {what}"),
                format!("if that is really the disk, {advice} first"),
            )
        }
    }
}

fn of_holder(by: &str, kind: &Holder) -> (String, String) {
    match kind {
        Holder::Lvm(name) => (
            format!("the logical volume {name} (/dev/{by})"),
            format!("switch its volume group off with `vgchange --activate n` ({name})"),
        ),
        Holder::Luks(name) => {
            (format!("the opened encrypted device {name} (/dev/{by})"), format!("`cryptsetup close {name}`"))
        }
        Holder::Raid => (format!("the RAID array /dev/{by}"), format!("`mdadm --stop /dev/{by}`")),
        Holder::Loop => (format!("the loop device /dev/{by}"), format!("`losetup --detach /dev/{by}`")),
        Holder::Btrfs => (format!("the mounted btrfs filesystem {by}"), "unmount that".to_owned()),
        Holder::Mapped(name) => {
            (format!("the mapped device {name} (/dev/{by})"), format!("`dmsetup remove {name}`"))
        }
        Holder::Other => (format!("/dev/{by}"), format!("switch off what made /dev/{by}")),
    }
}

/// What is to be put onto a target.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The image's partitions.
    pub layout: &'a Layout,
    /// The box of the image, if its manifest says.
    pub box_name: Option<&'a str>,
    /// Whether a former state may go.
    pub erase_state: bool,
}

/// The target, as far as it is about room and state.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    /// For messages.
    pub path: &'a Path,
    /// Its size in bytes.
    pub size: u64,
    /// Whether a box is to be started from it as it is, rather than from a copy of it.
    pub is_device: bool,
    /// What is on it.
    pub contents: &'a Contents,
}

/// What does not fit.
pub fn of_room(room: &Room<'_>, wanted: &Wanted<'_>) -> Vec<Refusal> {
    let mut found = Vec::new();
    let end = wanted.layout.partitions.iter().map(|part| part.start + part.length).max().unwrap_or(HEAD);
    let kept = room.contents.state.as_ref().filter(|_| !wanted.erase_state);
    let least = match (room.is_device, kept) {
        (true, None) => least_bytes(wanted.layout),
        _ => end + TAIL + SECTOR,
    };
    if room.size < least {
        let (path, has, needs) = (room.path.display(), human_bytes(room.size), human_bytes(least));
        found.push(refusal(
            "too-small",
            format!("{path} has {has}, and the box needs {needs} at the least (image, second slots, system and state)"),
            if room.is_device { "take a larger disk" } else { "name a larger size with --size" },
        ));
    }
    let Some(state) = kept else { return found };
    let erase = "to give that up, say --erase-state";
    if state.entries.is_empty() {
        found.push(refusal(
            "lost-state",
            format!(
                "{} names the state of a box in a partition table that cannot be used: it is damaged, or the disk is too small for it",
                room.path.display()
            ),
            format!("take another disk; {erase}"),
        ));
        return found;
    }
    match (state.owner.as_deref(), wanted.box_name) {
        (Some(owner), Some(name)) if owner == name => {}
        (Some(owner), Some(name)) => found.push(refusal(
            "other-state",
            format!("{} holds the state of the box {owner}, and the image is of {name}", room.path.display()),
            format!("take another disk; {erase}"),
        )),
        (owner, _) => found.push(refusal(
            "other-state",
            format!(
                "{} holds the state of {}, and whether the image is of the same one is not known",
                room.path.display(),
                owner.map_or_else(|| "some box".to_owned(), |owner| format!("the box {owner}")),
            ),
            format!("take another disk, or an image with its manifest; {erase}"),
        )),
    }
    if state.start() < end {
        found.push(refusal(
            "no-room-before-state",
            format!(
                "the image needs the first {} of {}, and the box's own partitions begin at {}: the release has outgrown the disk's slots",
                human_bytes(end),
                room.path.display(),
                human_bytes(state.start()),
            ),
            "make a backup on the box, then flash with --erase-state and restore it",
        ));
    }
    found
}

/// A disk that something holds which the kernel does not name.
pub fn busy(path: &Path) -> Refusal {
    refusal(
        "busy",
        format!(
            "{} is in use by something that the kernel does not name (a ZFS pool, another program that writes it)",
            path.display()
        ),
        "end that first",
    )
}

/// A disk that does not even say what is on it.
pub fn unreadable(path: &Path, error: &str) -> Refusal {
    refusal("unreadable", format!("{} cannot be read ({error})", path.display()), "take another disk")
}

/// A target that this user may not write.
pub fn no_rights(path: &Path, is_device: bool) -> Refusal {
    let advice = if is_device {
        "writing disks is for root: run the same command as root (for instance with sudo in front of it)"
    } else {
        "take a file that you may write"
    };
    refusal("rights", format!("{} may not be written by this user", path.display()), advice)
}

/// A file that holds something else than a disk.
pub fn other_file(path: &Path) -> Refusal {
    refusal(
        "other-file",
        format!("{} is a file with something in it that is no disk image", path.display()),
        "name another file, or remove this one first",
    )
}

/// A file that a loop device shows.
pub fn looped(path: &Path, device: &str) -> Refusal {
    refusal(
        "held",
        format!("{} is in use as /dev/{device}", path.display()),
        format!("flash /dev/{device} instead, or `losetup --detach /dev/{device}` first"),
    )
}
