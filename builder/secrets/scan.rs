//! Looks for secrets in outputs: files of hundreds of megabytes, folders, and file trees in memory.
//!
//! In: values and where to look. Out: [`Leak`]s, sorted, without a value. One pass over the bytes, whatever the number of
//! secrets: a bitmap over the last eight bytes of every pattern drops almost every position at once. Holes of sparse
//! files are not read, and pieces overlap, so that a value is found wherever it lies.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rayon::prelude::*;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::interrupt;
use crate::tree::{Kind, Tree};

use super::needs::Id;
use super::pattern::{Pattern, patterns};
use super::value::Value;

/// How much of a file is looked at in one piece, in bytes.
const PIECE: u64 = 4 << 20;

/// The bits of the bitmap: 8 KiB of it stay in the processor's first cache.
const FILTER_BITS: u32 = 16;

/// A value that was found where no secret belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// The file.
    pub file: PathBuf,
    /// The first byte; none if it is in a file's name or a link's target.
    pub offset: Option<u64>,
    /// Whose value it is.
    pub secret: Id,
    /// In which form.
    pub encoding: Encoding,
}

/// In which form a value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// In base64, or in something that is.
    Base64,
    /// In hexadecimal digits.
    Hex,
}

impl std::fmt::Display for Leak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the value of the secret `{}` is in {}", self.secret, self.file.display())?;
        match self.offset {
            Some(offset) => write!(f, " at byte {offset}")?,
            None => f.write_str(", in a name")?,
        }
        f.write_str(match self.encoding {
            Encoding::Plain => "",
            Encoding::Base64 => ", in base64",
            Encoding::Hex => ", in hexadecimal",
        })
    }
}

/// What looks for the values of secrets.
pub struct Scanner {
    patterns: Vec<(Id, Pattern)>,
    /// One bit for each hash of a pattern's last eight bytes.
    filter: Vec<u64>,
    /// These eight bytes with the pattern's position, sorted.
    index: Vec<(u64, usize)>,
    longest: usize,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scanner({} patterns)", self.patterns.len())
    }
}

/// What was found in one thing: the first place of each secret in each form.
type Found<'a> = BTreeMap<(&'a Id, Encoding), u64>;

impl Scanner {
    /// Looks for these values. Those of less than eight bytes are left out: chance would find them anywhere.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a Id, &'a Value)>) -> Self {
        let of = |(id, value): (&Id, &Value)| {
            let id = id.clone();
            patterns(value.reveal()).into_iter().map(move |pattern| (id.clone(), pattern))
        };
        let patterns: Vec<(Id, Pattern)> = values.into_iter().flat_map(of).collect();
        let mut filter = vec![0u64; 1 << (FILTER_BITS - 6)];
        let mut index = Vec::new();
        for (position, (_, pattern)) in patterns.iter().enumerate() {
            let Some(end) = pattern.bytes.last_chunk::<8>() else { continue };
            let end = u64::from_le_bytes(*end);
            let bit = hash(end);
            filter[bit >> 6] |= 1 << (bit & 63);
            index.push((end, position));
        }
        index.sort_unstable();
        let longest = patterns.iter().map(|(_, pattern)| pattern.bytes.len()).max().unwrap_or(0);
        Self { patterns, filter, index, longest }
    }

    /// Looks through files, and through folders with everything in them, without following links.
    ///
    /// # Errors
    /// If something cannot be read, or after Ctrl-C.
    pub fn paths(&self, paths: &[PathBuf]) -> Result<Vec<Leak>> {
        let mut leaks = Vec::new();
        for path in paths {
            self.path(path, &mut leaks)?;
        }
        leaks.sort();
        leaks.dedup();
        Ok(leaks)
    }

    /// Looks through the files, links and names of `tree`, which messages call `name`.
    pub fn tree(&self, name: &Path, tree: &Tree) -> Vec<Leak> {
        let mut leaks = Vec::new();
        for (path, entry) in tree.iter() {
            let file = name.join(path);
            self.add_name(&file, path.as_bytes(), &mut leaks);
            match &entry.kind {
                Kind::File(bytes) => add(&file, self.bytes(bytes, 0), &mut leaks),
                Kind::Symlink(target) => self.add_name(&file, target.as_bytes(), &mut leaks),
                Kind::Dir => {}
            }
        }
        leaks.sort();
        leaks
    }

    fn path(&self, path: &Path, leaks: &mut Vec<Leak>) -> Result<()> {
        interrupt::check()?;
        let reading = || format!("looking for secrets in {}", path.display());
        let kind = fs::symlink_metadata(path).with_context(reading)?.file_type();
        if let Some(name) = path.file_name() {
            self.add_name(path, name.as_bytes(), leaks);
        }
        if kind.is_symlink() {
            let target = fs::read_link(path).with_context(reading)?;
            self.add_name(path, target.as_os_str().as_bytes(), leaks);
        } else if kind.is_dir() {
            let mut inside = Vec::new();
            for entry in fs::read_dir(path).with_context(reading)? {
                inside.push(entry.with_context(reading)?.path());
            }
            inside.sort();
            for path in inside {
                self.path(&path, leaks)?;
            }
        } else if kind.is_file() {
            add(path, self.file(path).with_context(reading)?, leaks);
        }
        Ok(())
    }

    fn file(&self, path: &Path) -> Result<Found<'_>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut pieces = Vec::new();
        for extent in extents(&file, length)? {
            let starts = extent.clone().step_by(PIECE as usize);
            pieces.extend(starts.map(|start| start..extent.end.min(start + PIECE)));
        }
        let found = pieces.into_par_iter().map(|piece| self.piece(&file, piece));
        found.try_reduce(Found::new, |mut all, more| {
            more.into_iter().for_each(|(key, offset)| note(&mut all, key, offset));
            Ok(all)
        })
    }

    /// Looks at what ends in `piece`.
    fn piece(&self, file: &File, piece: Range<u64>) -> Result<Found<'_>> {
        interrupt::check()?;
        let start = piece.start.saturating_sub(self.longest as u64);
        let mut buffer = vec![0; (piece.end - start) as usize];
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], start + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(self.bytes(&buffer[..filled], start))
    }

    /// Looks at `bytes`, which begin at `start` of something larger.
    fn bytes(&self, bytes: &[u8], start: u64) -> Found<'_> {
        let mut found = Found::new();
        let mut window = 0u64;
        for (position, byte) in bytes.iter().enumerate() {
            window = window >> 8 | u64::from(*byte) << 56;
            let bit = hash(window);
            if self.filter[bit >> 6] >> (bit & 63) & 1 != 0 {
                self.compare(&bytes[..=position], window, start, &mut found);
            }
        }
        found
    }

    /// Which patterns `bytes` ends with; `window` are its last eight bytes.
    fn compare<'a>(&'a self, bytes: &[u8], window: u64, start: u64, found: &mut Found<'a>) {
        let first = self.index.partition_point(|(end, _)| *end < window);
        for (_, position) in self.index[first..].iter().take_while(|(end, _)| *end == window) {
            let (id, pattern) = &self.patterns[*position];
            if bytes.ends_with(&pattern.bytes) {
                let offset = start + (bytes.len() - pattern.bytes.len()) as u64;
                note(found, (id, pattern.encoding), offset);
            }
        }
    }

    fn add_name(&self, file: &Path, name: &[u8], leaks: &mut Vec<Leak>) {
        let mut inside = Vec::new();
        add(file, self.bytes(name, 0), &mut inside);
        leaks.extend(inside.into_iter().map(|leak| Leak { offset: None, ..leak }));
    }
}

fn hash(window: u64) -> usize {
    // Knuth's multiplicative hash: the high bits depend on all bytes.
    (window.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - FILTER_BITS)) as usize
}

fn note<'a>(found: &mut Found<'a>, key: (&'a Id, Encoding), offset: u64) {
    let first = found.entry(key).or_insert(offset);
    *first = offset.min(*first);
}

fn add(file: &Path, found: Found<'_>, leaks: &mut Vec<Leak>) {
    leaks.extend(found.into_iter().map(|((secret, encoding), offset)| Leak {
        file: file.to_owned(),
        offset: Some(offset),
        secret: secret.clone(),
        encoding,
    }));
}

/// The parts of `file` that are not holes; all of it where the filesystem does not tell.
fn extents(file: &File, length: u64) -> Result<Vec<Range<u64>>> {
    let mut extents = Vec::new();
    let mut position = 0;
    while position < length {
        let start = match rustix::fs::seek(file, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(_) => {
                extents.push(position..length);
                break;
            }
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(length).min(length);
        extents.push(start..end);
        position = end;
    }
    Ok(extents)
}
