//! What is written to: a disk or a file, past the page cache.
//!
//! [`Medium`] is the seam at which tests break writes and flip bits. [`Target`] is the real one: large aligned pieces go
//! through O_DIRECT where the filesystem can do that, the rest through the page cache, which is emptied before anything is
//! read back.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags, FlockOperation, OFlags, fadvise, fallocate, flock};

/// The alignment of direct reads and writes, of offset, length and memory: enough for every disk and filesystem.
pub const ALIGNMENT: usize = 4096;

/// Something that can be flashed.
pub trait Medium: Sync {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Reads what it holds at `at`.
    ///
    /// # Errors
    /// Any error of the device.
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes `bytes` at `at`.
    ///
    /// # Errors
    /// Any error of the device.
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Asks it to make `range` read as zeroes without being sent any. `false` if it cannot.
    fn forget(&self, range: &Range<u64>) -> bool;

    /// Waits until everything is stored, and sees to it that the next read comes from the medium itself.
    ///
    /// # Errors
    /// Any error of the device, also one of an earlier write.
    fn settle(&self) -> io::Result<()>;
}

/// An opened disk or file.
#[derive(Debug)]
pub struct Target {
    plain: File,
    direct: Option<File>,
    size: u64,
    is_device: bool,
}

impl Target {
    /// Opens the existing `path` for this process alone: nobody can mount a disk that is open like this.
    ///
    /// # Errors
    /// If something else uses it, or it cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let is_device = std::fs::metadata(path)?.file_type().is_block_device();
        if is_device {
            options.custom_flags(flags(OFlags::EXCL));
        }
        Self::lock(options.open(path)?, is_device)
    }

    /// Makes the file `path`, which must not be there yet, with this `mode`, and opens it in the same way.
    ///
    /// # Errors
    /// If it is there, or cannot be made.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        Self::lock(options.read(true).write(true).create_new(true).mode(mode).open(path)?, false)
    }

    fn lock(mut plain: File, is_device: bool) -> io::Result<Self> {
        // udev leaves a disk alone while its lock is held.
        flock(&plain, FlockOperation::NonBlockingLockExclusive)?;
        // The opened file, whatever has happened to its name since.
        let same = format!("/proc/self/fd/{}", plain.as_raw_fd());
        let mut options = OpenOptions::new();
        let direct = options.read(true).write(true).custom_flags(flags(OFlags::DIRECT)).open(same).ok();
        let size = io::Seek::seek(&mut plain, io::SeekFrom::End(0))?;
        Ok(Self { plain, direct, size, is_device })
    }

    /// Whether it is a disk and not a file.
    pub fn is_device(&self) -> bool {
        self.is_device
    }

    /// The number of the device, if it is one.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn number(&self) -> io::Result<u64> {
        Ok(self.plain.metadata()?.rdev())
    }

    /// Makes the file `size` bytes long.
    ///
    /// # Errors
    /// If the filesystem has no files of that size.
    pub fn enlarge(&mut self, size: u64) -> io::Result<()> {
        self.plain.set_len(size)?;
        self.size = size;
        Ok(())
    }

    /// Tells the kernel that the disk has another partition table now.
    ///
    /// # Errors
    /// If it cannot be told, as for a loop device that shows no partitions.
    pub fn reread_table(&mut self) -> Result<(), gptman::linux::BlockError> {
        gptman::linux::reread_partition_table(&mut self.plain)
    }

    fn direct_for(&self, at: u64, bytes: &[u8]) -> Option<&File> {
        let aligned = at.is_multiple_of(ALIGNMENT as u64)
            && bytes.len().is_multiple_of(ALIGNMENT)
            && bytes.as_ptr().align_offset(ALIGNMENT) == 0;
        self.direct.as_ref().filter(|_| aligned)
    }
}

impl Medium for Target {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        if let Some(direct) = self.direct_for(at, bytes) {
            return direct.read_exact_at(bytes, at);
        }
        self.plain.read_exact_at(bytes, at)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(direct) = self.direct_for(at, bytes) {
            return direct.write_all_at(bytes, at);
        }
        self.plain.write_all_at(bytes, at)
    }

    fn forget(&self, range: &Range<u64>) -> bool {
        // On a disk this is a discard of which the kernel promises that it reads as zeroes, or an error.
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.plain, how, range.start, range.end - range.start).is_ok()
    }

    fn settle(&self) -> io::Result<()> {
        self.plain.sync_all()?;
        fadvise(&self.plain, 0, None, Advice::DontNeed)?;
        Ok(())
    }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Memory that direct reads and writes accept.
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    /// Zeroed room for `length` bytes.
    pub fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { memory, start, length }
    }

    /// Its first `length` bytes.
    pub fn first(&self, length: usize) -> &[u8] {
        &self.memory[self.start..self.start + length.min(self.length)]
    }

    /// Its first `length` bytes.
    pub fn first_mut(&mut self, length: usize) -> &mut [u8] {
        &mut self.memory[self.start..self.start + length.min(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_is_written_aligned_or_not() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("disk");
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        let target = Target::open(&path).unwrap();
        let mut buffer = Buffer::new(8192);
        buffer.first_mut(8192).fill(7);
        target.write(4096, buffer.first(8192)).unwrap();
        target.write(100, b"odd").unwrap();
        target.settle().unwrap();
        let mut read = [0; 5];
        target.read(99, &mut read).unwrap();
        assert_eq!(&read, b"\0odd\0");
        assert!(target.forget(&(8192..12288)));
        let mut buffer = Buffer::new(8192);
        target.read(4096, buffer.first_mut(8192)).unwrap();
        assert!(buffer.first(4096).iter().all(|byte| *byte == 7));
        assert!(buffer.first(8192)[4096..].iter().all(|byte| *byte == 0));
        assert!(Target::open(&path).is_err(), "it is locked");
    }
}
