//! Two ESPs: which files of the FAT filesystem differ, and in what.
//!
//! The filesystem is read by a crate that trusts it; so it reads in a thread of its own, no more than a damaged filesystem
//! with a circle in it may make it read, and whatever becomes of it is an answer: this one cannot be read.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use anyhow::{Context as _, Result, anyhow, ensure};
use fatfs::{DateTime, Dir, FileSystem, FsOptions};

use super::bytes::{self, Region, Spot};
use super::{Found, Stage, presence};
use crate::digest::{Hasher, Sha256};
use crate::interrupt;

/// How deep folders may lie.
const DEEPEST: usize = 16;
/// How often all of the filesystem may be read.
const TIMES: u64 = 4;
/// Where kernels and initrds are, which the base stage makes.
const KERNELS: &str = "/boxwright/";

/// What is known of one file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    folder: bool,
    attributes: u8,
    modified: String,
    created: String,
    digest: Option<Sha256>,
    bytes: u64,
}

/// What an ESP holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listing {
    /// The label and the number of the filesystem.
    volume: [String; 2],
    files: BTreeMap<String, Node>,
    /// The names in each folder, as they follow each other.
    order: BTreeMap<String, Vec<String>>,
}

/// Compares two ESPs, which differ.
///
/// # Errors
/// If the user asks to stop.
pub(super) fn compare(regions: [Region<'_>; 2], found: &mut Found<'_>) -> Result<()> {
    let listings = regions.map(|region| apart(|| list(&open(region)?)));
    interrupt::check()?;
    let [Ok(one), Ok(other)] = &listings else {
        let both = listings
            .map(|listing| listing.map_or_else(|error| format!("{error:#}"), |_| "can be read".into()));
        found.add(None, "files", both);
        return Ok(());
    };
    for (index, what) in ["number of the filesystem", "label"].into_iter().enumerate() {
        let both = [one, other].map(|listing| listing.volume.get(index).cloned().unwrap_or_default());
        if both[0] != both[1] {
            found.add(None, what, both);
        }
    }
    files(regions, [one, other], found)?;
    for (folder, names) in &one.order {
        let there = other.order.get(folder);
        if let Some(at) =
            there.and_then(|there| names.iter().zip(there).position(|(one, other)| one != other))
        {
            // Where a file is missing, the others have moved up.
            let same: BTreeSet<_> = names.iter().collect();
            if there.is_some_and(|there| there.iter().collect::<BTreeSet<_>>() == same) {
                let both = [Some(names), there].map(|names| {
                    names
                        .and_then(|names| names.get(at))
                        .map(|name| format!("{name} comes first"))
                        .unwrap_or_default()
                });
                found.add(Some(folder), "order", both);
            }
        }
    }
    Ok(())
}

fn files(regions: [Region<'_>; 2], listings: [&Listing; 2], found: &mut Found<'_>) -> Result<()> {
    let names: BTreeSet<&String> = listings.iter().flat_map(|listing| listing.files.keys()).collect();
    for name in names {
        found.stage = if name.starts_with(KERNELS) { Stage::Base } else { Stage::Boot };
        let [Some(one), Some(other)] = listings.map(|listing| listing.files.get(name)) else {
            found.add(Some(name), "missing", listings.map(|listing| presence(listing.files.get(name))));
            continue;
        };
        let facts = [
            ("kind", [one, other].map(|node| if node.folder { "folder" } else { "file" }.to_owned())),
            ("mode", [one, other].map(|node| format!("{:08b}", node.attributes))),
            ("time", [one, other].map(|node| node.modified.clone())),
            ("time of its making", [one, other].map(|node| node.created.clone())),
        ];
        for (what, both) in facts.into_iter().filter(|(_, both)| both[0] != both[1]) {
            found.add(Some(name), what, both);
        }
        if one.digest != other.digest {
            match content(regions, name)? {
                Some(spot) => found.add_at(Some(name), "content", Some(spot.offset), spot.shown()),
                None => {
                    found.add(Some(name), "content", [one, other].map(|node| format!("{} bytes", node.bytes)))
                }
            }
        }
    }
    found.stage = Stage::Boot;
    Ok(())
}

/// Where the contents of the file `name` differ first.
fn content(regions: [Region<'_>; 2], name: &str) -> Result<Option<Spot>> {
    let spot = apart(|| {
        let [one, other] = [open(regions[0])?, open(regions[1])?];
        let file = |system: &FileSystem<Disk<'_>>| -> Result<Vec<u8>> {
            let mut bytes = Vec::new();
            system.root_dir().open_file(name.trim_start_matches('/'))?.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        bytes::of_streams(&file(&one)?[..], &file(&other)?[..])
    });
    interrupt::check()?;
    Ok(spot.unwrap_or_default())
}

/// What `work` returns, also if it panics.
fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|_| Err(anyhow!("it is damaged")))
}

fn open(region: Region<'_>) -> Result<FileSystem<Disk<'_>>> {
    let budget = Rc::new(Cell::new(region.length.saturating_mul(TIMES)));
    let disk = Disk { region, position: 0, budget };
    FileSystem::new(disk, FsOptions::new().update_accessed_date(false)).context("it is no FAT filesystem")
}

fn list(system: &FileSystem<Disk<'_>>) -> Result<Listing> {
    let label = system.read_volume_label_from_root_dir()?.unwrap_or_default();
    let volume = [format!("{:08x}", system.volume_id()), format!("{} {label}", system.volume_label())];
    let mut listing = Listing { volume, ..Listing::default() };
    walk(&system.root_dir(), "/", 0, &mut listing)?;
    Ok(listing)
}

fn walk(folder: &Dir<'_, Disk<'_>>, path: &str, depth: usize, listing: &mut Listing) -> Result<()> {
    ensure!(depth < DEEPEST, "its folders have no end");
    let mut names = Vec::new();
    for entry in folder.iter() {
        interrupt::check()?;
        let entry = entry.context("reading a folder")?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        let below = format!("{path}{name}");
        let mut node = Node {
            folder: entry.is_dir(),
            attributes: entry.attributes().bits(),
            modified: date(entry.modified()),
            created: date(entry.created()),
            digest: None,
            bytes: entry.len(),
        };
        if node.folder {
            walk(&entry.to_dir(), &format!("{below}/"), depth + 1, listing)?;
        } else {
            let mut hasher = Hasher::new();
            let mut file = entry.to_file();
            io::copy(&mut file, &mut hasher).with_context(|| format!("reading {below}"))?;
            node.digest = Some(hasher.finish());
        }
        listing.files.insert(below, node);
        names.push(name);
    }
    listing.order.insert(path.to_owned(), names);
    Ok(())
}

fn date(DateTime { date, time, .. }: DateTime) -> String {
    let (hour, minute, second) = (time.hour, time.min, time.sec);
    format!(
        "{}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}.{:03}",
        date.year, date.month, date.day, time.millis
    )
}

/// The region as the crate wants it: read, never written, and not without end.
struct Disk<'a> {
    region: Region<'a>,
    position: u64,
    budget: Rc<Cell<u64>>,
}

impl Read for Disk<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        interrupt::check().map_err(io::Error::other)?;
        let rest = usize::try_from(self.region.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let length = rest.min(buffer.len());
        // A read of nothing counts too: it may be repeated for ever.
        let left = self.budget.get().checked_sub(length.max(1) as u64);
        self.budget.set(left.ok_or_else(|| io::Error::other("it has no end"))?);
        let part = buffer.get_mut(..length).unwrap_or_default();
        self.region.read(self.position, part).map_err(io::Error::other)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for Disk<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.region.length.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl Write for Disk<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
