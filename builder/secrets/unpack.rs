//! Looks for secrets in what streams by, and in what is packed there: gzip and zstd, and initrds, which are several archives
//! one after the other.
//!
//! In: a reader. Out: [`Leak`]s with the place in the unpacked bytes. What only looks packed is looked at as it is.

use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::interrupt;

use super::scan::{Found, Leak, Scanner, note};

/// How much is looked at in one go, in bytes.
const PIECE: usize = 1 << 20;

const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A cpio archive, and the name of its last entry.
const CPIO: &[u8] = b"070701";
const LAST: &[u8] = b"TRAILER!!!";

impl Scanner {
    /// Looks through what `reader` gives, which messages call `name`, and through what is packed in it.
    ///
    /// # Errors
    /// If it cannot be read, or after Ctrl-C.
    pub fn stream(&self, name: &Path, reader: impl Read) -> Result<Vec<Leak>> {
        let mut raw = BufReader::with_capacity(PIECE, Watched { inner: reader, window: Window::new(self) });
        let head = raw.fill_buf()?;
        let (gzip, zstd) = (head.starts_with(&GZIP), head.starts_with(&ZSTD));
        let mut leaks = Vec::new();
        if gzip || zstd {
            let mut unpacked = Window::new(self);
            // Where it is broken, whoever uses it sees no more of it either; the rest is looked at as it is.
            _ = if gzip {
                unpacked.drain(MultiGzDecoder::new(&mut raw))
            } else {
                zstd_frames(&mut raw, &mut unpacked)
            };
            interrupt::check()?;
            self.add(&inside(name), unpacked.finish(), &mut leaks);
        }
        let mut rest = vec![0; PIECE];
        while raw.read(&mut rest)? > 0 {
            interrupt::check()?;
        }
        self.add(name, raw.into_inner().window.finish(), &mut leaks);
        Ok(leaks)
    }

    /// Looks through an initrd: archives that lie one after the other, the last of them packed.
    ///
    /// # Errors
    /// If it cannot be read, or after Ctrl-C.
    pub fn initrd(&self, path: &Path) -> Result<Vec<Leak>> {
        let bytes = std::fs::read(path)?;
        let mut start = 0;
        while bytes[start..].starts_with(CPIO) {
            let Some(end) = bytes[start..].windows(LAST.len()).position(|window| window == LAST) else {
                break;
            };
            let end = start + end + LAST.len();
            start = end + bytes[end..].iter().take_while(|byte| **byte == 0).count();
        }
        let mut leaks = self.stream(path, &bytes[..start])?;
        leaks.extend(self.stream(path, &bytes[start..])?);
        Ok(leaks)
    }
}

fn inside(name: &Path) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(" (unpacked)");
    PathBuf::from(name)
}

fn zstd_frames(mut raw: impl io::BufRead, unpacked: &mut Window<'_>) -> io::Result<()> {
    while !raw.fill_buf()?.is_empty() {
        let frame = StreamingDecoder::new(&mut raw).map_err(io::Error::other)?;
        unpacked.drain(frame)?;
    }
    Ok(())
}

/// The end of what has gone by, and what was found in it.
struct Window<'a> {
    scanner: &'a Scanner,
    bytes: Vec<u8>,
    /// Where `bytes` begin.
    start: u64,
    found: Found<'a>,
}

impl<'a> Window<'a> {
    fn new(scanner: &'a Scanner) -> Self {
        Self { scanner, bytes: Vec::new(), start: 0, found: Found::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= PIECE + self.scanner.overlap() {
            self.look();
            let gone = self.bytes.len() - self.scanner.overlap();
            self.bytes.drain(..gone);
            self.start += gone as u64;
        }
    }

    fn look(&mut self) {
        for (key, offset) in self.scanner.bytes(&self.bytes, self.start) {
            note(&mut self.found, key, offset);
        }
    }

    fn drain(&mut self, mut reader: impl Read) -> io::Result<()> {
        let mut piece = vec![0; 64 << 10];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(()),
                count => self.push(&piece[..count]),
            }
            interrupt::check().map_err(io::Error::other)?;
        }
    }

    fn finish(mut self) -> Found<'a> {
        self.look();
        self.found
    }
}

/// A reader whose bytes are looked at as they pass.
struct Watched<'a, R> {
    inner: R,
    window: Window<'a>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.window.push(&buffer[..count]);
        Ok(count)
    }
}
