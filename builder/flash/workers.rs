//! Two threads that share a list of pieces: while one waits for the disk, the other reads the image, or compares.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Result, bail};

use super::medium::Buffer;
use super::ranges;
use crate::interrupt;
use crate::ui::Step;

/// How much is read or written at once.
pub const PIECE: usize = 4 << 20;

/// More do not pay: a disk takes one piece after the other.
const WORKERS: usize = 2;

/// Has `work` done for each piece of `all`, in about their order. It gets the place of the piece, its length, and two buffers
/// that are long enough.
///
/// # Errors
/// The first error of `work`, or that the user asks to stop.
pub fn share(
    all: &[Range<u64>],
    step: &Step,
    work: impl Fn(u64, usize, &mut [Buffer; 2]) -> Result<()> + Sync,
) -> Result<()> {
    let pieces: Vec<(u64, usize)> = ranges::pieces(all, PIECE).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let worker = || -> Result<()> {
        let mut buffers = [Buffer::new(PIECE), Buffer::new(PIECE)];
        while let Some((at, length)) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failed.load(Ordering::Relaxed) {
                break;
            }
            let done = interrupt::check().and_then(|()| work(*at, *length, &mut buffers));
            if done.is_err() {
                failed.store(true, Ordering::Relaxed);
                return done;
            }
            step.advance(*length as u64);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        let ends: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        for end in ends {
            match end {
                Ok(done) => done?,
                Err(_) => bail!("a thread that reads or writes the disk has failed"),
            }
        }
        Ok(())
    })
}
