//! Reading everything back and comparing it with what was to be written.

use std::ops::Range;

use anyhow::{Context as _, Result, bail};

use super::ends::Ends;
use super::medium::Medium;
use super::plan::Plan;
use super::ranges;
use super::source::Source;
use super::workers;
use super::write::looks_empty;
use crate::ui::{Ui, human_bytes};

/// Compares everything that was written but both ends: the image, and `zeroed`, into which zeroes were written. The gaps of
/// the image, which the disk itself has made zero or which were zero before, are looked into again in many places.
///
/// # Errors
/// If something differs, and where; if it cannot be read.
pub fn compare(
    plan: &Plan,
    source: &Source,
    (medium, zeroed): (&impl Medium, &[Range<u64>]),
    ui: &Ui,
) -> Result<()> {
    let step = ui.step("reading it back");
    let total = ranges::length(&plan.copies) + ranges::length(zeroed);
    step.total_bytes(total);
    let read_at = |at: u64, bytes: &mut [u8]| {
        medium.read(at, bytes).with_context(|| {
            format!(
                "the disk does not give back what was written to it at {}; try another one",
                plan.place(at)
            )
        })
    };
    workers::share(&plan.copies, &step, |at, length, [read, wanted]| {
        read_at(at, read.first_mut(length))?;
        plan.fill(source, at, wanted.first_mut(length))?;
        differ(plan, at, (read.first(length), wanted.first(length)))
    })?;
    // Nothing writes into the second buffer: it stays zero.
    workers::share(zeroed, &step, |at, length, [read, zeroes]| {
        read_at(at, read.first_mut(length))?;
        differ(plan, at, (read.first(length), zeroes.first(length)))
    })?;
    for range in &plan.zeroes {
        if !looks_empty(medium, range)? {
            bail!(
                "the disk does not keep what is written to it: behind {} it held zeroes, and now it does not; try another one",
                plan.place(range.start)
            );
        }
    }
    step.done(format!("{} are what was written", human_bytes(total)));
    Ok(())
}

/// Compares both ends.
///
/// # Errors
/// As [`compare`].
pub fn ends(plan: &Plan, medium: &impl Medium) -> Result<()> {
    let read = Ends::read_from(medium)?.context("the disk has lost its size")?;
    differ(plan, 0, (&read.head, &plan.ends.head))?;
    differ(plan, plan.ends.tail_start(), (&read.tail, &plan.ends.tail))
}

/// Fails where `read` is not `wanted`; both begin at byte `at` of the disk.
fn differ(plan: &Plan, at: u64, (read, wanted): (&[u8], &[u8])) -> Result<()> {
    if read == wanted {
        return Ok(());
    }
    let index = read.iter().zip(wanted).position(|(one, other)| one != other).unwrap_or_default();
    bail!(
        "the disk does not keep what is written to it: {} is {:#04x} and was written as {:#04x}; try another one",
        plan.place(at + index as u64),
        read.get(index).copied().unwrap_or_default(),
        wanted.get(index).copied().unwrap_or_default(),
    )
}
