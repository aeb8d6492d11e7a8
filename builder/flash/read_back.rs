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

/// Compares everything but both ends. `relied` are the ranges that the disk itself made zero.
///
/// # Errors
/// If something differs, and where; if it cannot be read.
pub fn compare(
    plan: &Plan,
    source: &Source,
    (medium, relied): (&impl Medium, &[Range<u64>]),
    ui: &Ui,
) -> Result<()> {
    let step = ui.step("reading it back");
    let total = ranges::length(&plan.copies);
    step.total_bytes(total);
    workers::share(&plan.copies, &step, |at, length, [read, wanted]| {
        medium.read(at, read.first_mut(length)).with_context(|| {
            format!(
                "the disk does not give back what was written to it at {}; try another one",
                plan.place(at)
            )
        })?;
        plan.fill(source, at, wanted.first_mut(length))?;
        differ(plan, at, (read.first(length), wanted.first(length)))
    })?;
    for range in relied {
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
