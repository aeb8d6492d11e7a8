//! The order in which a disk is written, so that a write that breaks never leaves a disk that starts.
//!
//! 1. Both partition tables go: the first MiB and the last sectors become zero, and that is waited for. What says where a state
//!    that stays is (`record`) is stored before.
//! 2. Holes of the image are made to read as zeroes.
//! 3. Everything else is written, and waited for.
//! 4. All that was written, zeroes too, is read back, and the gaps are looked into again (`read_back`).
//! 5. Only then the table at the end is written, and last the first MiB.
//!
//! Where any step fails, both tables go again, and the secrets with them.

use std::ops::Range;

use anyhow::{Context as _, Result};

use super::medium::{Buffer, Medium};
use super::plan::Plan;
use super::source::Source;
use super::workers::{self, PIECE};
use super::{ranges, read_back, record};
use crate::disk::content::is_zero;
use crate::interrupt;
use crate::ui::{Step, Ui, human_bytes};

/// How far apart the looks are at what a disk says it has forgotten.
const LOOK_EVERY: usize = 8 << 20;
/// How much each of them reads.
const LOOK: usize = 64 << 10;

/// Writes `source` as `plan` says, and reads it back.
///
/// # Errors
/// If anything cannot be written, is not read back as it was written, or the user asks to stop. There is no partition table
/// then, unless a message says that even that could not be removed.
pub fn act(plan: &Plan, source: &Source, medium: &impl Medium, ui: &Ui) -> Result<()> {
    let done = all(plan, source, medium, ui);
    if done.is_err() {
        match withdraw(plan, medium) {
            Ok(()) => ui.warn("the disk has no partition table now, so that nothing starts from it: flash it again"),
            Err(error) => ui.warn(format!(
                "what is on the disk now is not whole, and could not be removed ({error:#}): do not start from it"
            )),
        }
    }
    done
}

fn all(plan: &Plan, source: &Source, medium: &impl Medium, ui: &Ui) -> Result<()> {
    remove_tables(plan, medium).context("removing the former partition table")?;
    let mut zeroed = clear(plan, medium, ui)?;
    zeroed.extend(plan.wipes.iter().cloned());
    copy(plan, source, medium, ui)?;
    let zeroes = vec![0; 1 << 20];
    for range in &plan.wipes {
        for (at, length) in ranges::pieces(std::slice::from_ref(range), zeroes.len()) {
            medium.write(at, &zeroes[..length]).with_context(|| failed(plan, at))?;
        }
    }
    medium.settle().context("waiting for the disk to store everything")?;
    read_back::compare(plan, source, (medium, &zeroed), ui)?;
    interrupt::check()?;
    let tail = plan.ends.tail_start();
    for (at, end) in [(tail, &plan.ends.tail), (0, &plan.ends.head)] {
        medium.write(at, end).context("writing the partition table")?;
        medium.settle().context("waiting for the disk to store the partition table")?;
    }
    read_back::ends(plan, medium)
}

fn remove_tables(plan: &Plan, medium: &impl Medium) -> Result<()> {
    let (tables, record) = plan.blank.split_at(record::AT.min(plan.blank.len()));
    medium.write(record::AT as u64, record)?;
    if !is_zero(record) {
        // A disk stores what it was given in an order of its own: without tables and record the state would be lost.
        medium.settle()?;
    }
    medium.write(0, tables)?;
    medium.write(plan.ends.tail_start(), &vec![0; plan.ends.tail.len()])?;
    Ok(medium.settle()?)
}

/// Removes what must not be found on a disk that is not whole.
fn withdraw(plan: &Plan, medium: &impl Medium) -> Result<()> {
    // The tables first: the disk may fail again.
    let tables = remove_tables(plan, medium);
    if let Some(secrets) = &plan.secrets {
        let zeroes = vec![0; usize::try_from(secrets.end - secrets.start)?];
        medium.write(secrets.start, &zeroes)?;
        medium.settle()?;
    }
    tables
}

/// Makes the holes of the image read as zeroes; the ranges into which zeroes were written for that.
fn clear(plan: &Plan, medium: &impl Medium, ui: &Ui) -> Result<Vec<Range<u64>>> {
    let step = ui.step("clearing the gaps");
    step.total_bytes(ranges::length(&plan.zeroes));
    let mut written = Vec::new();
    for range in &plan.zeroes {
        interrupt::check()?;
        if medium.forget(range) && looks_empty(medium, range)? {
            step.advance(range.end - range.start);
        } else {
            written.extend(overwrite(plan, range, medium, &step)?);
        }
    }
    let total = human_bytes(ranges::length(&plan.zeroes));
    step.done(match ranges::length(&written) {
        0 => format!("{total} read as zeroes"),
        written => format!("{total} read as zeroes, {} of them written", human_bytes(written)),
    });
    Ok(written)
}

/// Whether `range` reads as zeroes wherever one looks: at both ends, and often enough in between.
pub(super) fn looks_empty(medium: &impl Medium, range: &Range<u64>) -> Result<bool> {
    let mut buffer = Buffer::new(LOOK);
    let last = range.end.saturating_sub(LOOK as u64).max(range.start);
    for at in range.clone().step_by(LOOK_EVERY).chain([last]) {
        let length = usize::try_from(range.end - at).unwrap_or(LOOK).min(LOOK);
        medium
            .read(at, buffer.first_mut(length))
            .with_context(|| format!("reading byte {at} of the disk"))?;
        if !is_zero(buffer.first(length)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads all of `range` and writes zeroes where it has something else: reading is faster. What was written.
fn overwrite(plan: &Plan, range: &Range<u64>, medium: &impl Medium, step: &Step) -> Result<Vec<Range<u64>>> {
    let (mut buffer, zeroes) = (Buffer::new(PIECE), Buffer::new(PIECE));
    let mut written = Vec::new();
    for (at, length) in ranges::pieces(std::slice::from_ref(range), PIECE) {
        interrupt::check()?;
        let piece = buffer.first_mut(length);
        let known = medium.read(at, piece).is_ok() && piece.chunks(1 << 20).all(is_zero);
        if !known {
            medium.write(at, zeroes.first(length)).with_context(|| failed(plan, at))?;
            written.push(at..at + length as u64);
        }
        step.advance(length as u64);
    }
    Ok(written)
}

/// Writes the image and its patches.
fn copy(plan: &Plan, source: &Source, medium: &impl Medium, ui: &Ui) -> Result<()> {
    let step = ui.step("writing");
    let total = ranges::length(&plan.copies);
    step.total_bytes(total);
    workers::share(&plan.copies, &step, |at, length, [buffer, _]| {
        plan.fill(source, at, buffer.first_mut(length))?;
        medium.write(at, buffer.first(length)).with_context(|| failed(plan, at))
    })?;
    medium.settle().context("waiting for the disk to store everything")?;
    step.done(human_bytes(total));
    Ok(())
}

fn failed(plan: &Plan, at: u64) -> String {
    format!("the disk does not take what is written to it at {}; try another one", plan.place(at))
}
