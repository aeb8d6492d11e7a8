//! Looks for secrets in outputs: files of hundreds of megabytes, folders, and file trees in memory.
//!
//! In: values and where to look. Out: [`Leak`]s, sorted, without a value. One pass over the bytes, whatever the number of
//! secrets: a bitmap over the last eight bytes of every pattern drops almost every position at once. Holes of sparse
//! files are not read, and pieces overlap, so that a value is found wherever it lies.

use std::collections::BTreeMap;
use std::ffi::OsStr;
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
use super::pattern::{Pattern, SEPARATORS, patterns, split_patterns};
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
    /// Split over lines or into quoted pieces, in one of these forms.
    Split,
    /// With some characters escaped, as in an address or in XML.
    Escaped,
    /// In UTF-16.
    Utf16,
    /// One half of it.
    Half,
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
            Encoding::Split => ", split over lines or pieces",
            Encoding::Escaped => ", with escaped characters",
            Encoding::Utf16 => ", in UTF-16",
            Encoding::Half => ", one half of it",
        })
    }
}

/// What looks for the values of secrets.
pub struct Scanner {
    whole: Index,
    /// What is looked for with the bytes left out that may stand between parts.
    split: Index,
}

/// Patterns, and how to see quickly that none ends here.
#[derive(Default)]
struct Index {
    patterns: Vec<(Id, Pattern)>,
    /// One bit for each hash of a pattern's last eight bytes.
    filter: Vec<u64>,
    /// These eight bytes with the pattern's position, sorted.
    ends: Vec<(u64, usize)>,
    longest: usize,
}

impl Index {
    fn new(patterns: Vec<(Id, Pattern)>) -> Self {
        let mut filter = vec![0u64; 1 << (FILTER_BITS - 6)];
        let mut ends = Vec::new();
        for (position, (_, pattern)) in patterns.iter().enumerate() {
            let Some(end) = pattern.bytes.last_chunk::<8>() else { continue };
            let end = u64::from_le_bytes(*end);
            let bit = hash(end);
            filter[bit >> 6] |= 1 << (bit & 63);
            ends.push((end, position));
        }
        ends.sort_unstable();
        let longest = patterns.iter().map(|(_, pattern)| pattern.bytes.len()).max().unwrap_or(0);
        Self { patterns, filter, ends, longest }
    }

    /// Whether a pattern may end with these eight bytes.
    fn may_end(&self, window: u64) -> bool {
        let bit = hash(window);
        self.filter[bit >> 6] >> (bit & 63) & 1 != 0
    }

    /// The patterns that end with these eight bytes.
    fn ending(&self, window: u64) -> impl Iterator<Item = &(Id, Pattern)> {
        let first = self.ends.partition_point(|(end, _)| *end < window);
        let ends = self.ends[first..].iter().take_while(move |(end, _)| *end == window);
        ends.map(|(_, position)| &self.patterns[*position])
    }
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scanner({} patterns)", self.whole.patterns.len())
    }
}

/// What was found in one thing: the first place of each secret in each form.
pub(super) type Found<'a> = BTreeMap<(&'a Id, Encoding), u64>;

impl Scanner {
    /// Looks for these values. Those of less than eight bytes are left out: chance would find them anywhere.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a Id, &'a Value)>) -> Self {
        let (mut whole, mut split) = (Vec::new(), Vec::new());
        for (id, value) in values {
            let patterns = patterns(value.reveal());
            split.extend(split_patterns(&patterns).into_iter().map(|pattern| (id.clone(), pattern)));
            whole.extend(patterns.into_iter().map(|pattern| (id.clone(), pattern)));
        }
        Self { whole: Index::new(whole), split: Index::new(split) }
    }

    /// How much of what came before has to be looked at again, so that nothing is lost between two pieces, in bytes: a line
    /// of a split value may be indented.
    pub(super) fn overlap(&self) -> usize {
        self.whole.longest.max(4 * self.split.longest + 1024)
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
                Kind::File(bytes) => self.add(&file, self.bytes(bytes, 0), &mut leaks),
                Kind::Symlink(target) => self.add_name(&file, target.as_bytes(), &mut leaks),
                Kind::Dir => {}
            }
        }
        leaks.sort();
        leaks
    }

    /// Whether `bytes` show a value.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        !self.bytes(bytes, 0).is_empty()
    }

    /// Looks through the file at `path`, but for the bytes `except` of it.
    ///
    /// # Errors
    /// If it cannot be read, or after Ctrl-C.
    pub fn file_but(&self, path: &Path, except: &Range<u64>) -> Result<Vec<Leak>> {
        let mut leaks = Vec::new();
        let found = self.file(path, except);
        self.add(
            path,
            found.with_context(|| format!("looking for secrets in {}", path.display()))?,
            &mut leaks,
        );
        Ok(leaks)
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
            self.add(path, self.file(path, &(0..0)).with_context(reading)?, leaks);
        }
        Ok(())
    }

    fn file(&self, path: &Path, except: &Range<u64>) -> Result<Found<'_>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut pieces = Vec::new();
        let kept = |extent: Range<u64>| {
            [extent.start..extent.end.min(except.start), extent.start.max(except.end)..extent.end]
        };
        let extents = extents(&file, length)?;
        let parts = if except.is_empty() { extents } else { extents.into_iter().flat_map(kept).collect() };
        for extent in parts.into_iter().filter(|part| !part.is_empty()) {
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
        let start = piece.start.saturating_sub(self.overlap() as u64);
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
    pub(super) fn bytes(&self, bytes: &[u8], start: u64) -> Found<'_> {
        let mut found = Found::new();
        let (mut window, mut solid) = (0u64, 0u64);
        for (position, byte) in bytes.iter().enumerate() {
            window = window >> 8 | u64::from(*byte) << 56;
            if self.whole.may_end(window) {
                for (id, pattern) in self.whole.ending(window) {
                    if bytes[..=position].ends_with(&pattern.bytes) {
                        let offset = start + (position + 1 - pattern.bytes.len()) as u64;
                        note(&mut found, (id, pattern.encoding), offset);
                    }
                }
            }
            if SEPARATORS[usize::from(*byte)] {
                continue;
            }
            solid = solid >> 8 | u64::from(*byte) << 56;
            if self.split.may_end(solid) {
                for (id, pattern) in self.split.ending(solid) {
                    if let Some(first) = split_start(&bytes[..=position], &pattern.bytes) {
                        note(&mut found, (id, pattern.encoding), start + first as u64);
                    }
                }
            }
        }
        found
    }

    fn add_name(&self, file: &Path, name: &[u8], leaks: &mut Vec<Leak>) {
        let mut inside = Vec::new();
        self.add(file, self.bytes(name, 0), &mut inside);
        leaks.extend(inside.into_iter().map(|leak| Leak { offset: None, ..leak }));
    }

    /// Adds what was found in `file`.
    pub(super) fn add(&self, file: &Path, mut found: Found<'_>, leaks: &mut Vec<Leak>) {
        if found.is_empty() {
            return;
        }
        // What was found whole is not told a second time.
        let part = |how: &Encoding| matches!(how, Encoding::Split | Encoding::Half);
        let whole: Vec<Id> =
            found.keys().filter(|(_, how)| !part(how)).map(|(id, _)| (*id).clone()).collect();
        found.retain(|(id, how), _| !part(how) || !whole.contains(id));
        let file = self.without_values(file);
        leaks.extend(found.into_iter().map(|((secret, encoding), offset)| Leak {
            file: file.clone(),
            offset: Some(offset),
            secret: secret.clone(),
            encoding,
        }));
    }

    /// The path `file` as it may be shown: a name may be a value itself.
    fn without_values(&self, file: &Path) -> PathBuf {
        let name = |part: &OsStr| if self.finds(part.as_bytes()) { OsStr::new("…") } else { part }.to_owned();
        file.iter().map(name).collect()
    }
}

/// Where `bytes` begin to be `pattern` to their end, if separating bytes are passed over.
fn split_start(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    let mut position = bytes.len();
    for expected in pattern.iter().rev() {
        position = bytes[..position].iter().rposition(|byte| !SEPARATORS[usize::from(*byte)])?;
        if bytes[position] != *expected {
            return None;
        }
    }
    Some(position)
}

fn hash(window: u64) -> usize {
    // Knuth's multiplicative hash: the high bits depend on all bytes.
    (window.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - FILTER_BITS)) as usize
}

pub(super) fn note<'a>(found: &mut Found<'a>, key: (&'a Id, Encoding), offset: u64) {
    let first = found.entry(key).or_insert(offset);
    *first = offset.min(*first);
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
