//! A box in a virtual machine: an image goes in, a verdict comes out.
//!
//! [`boot`] starts a copy of the image under UEFI and reads on the serial console what the box says about itself; that is
//! all it knows of it. The image is never modified, and nothing in the box knows that it is tested. [`machine`] is the
//! machine itself, for tests that start one disk several times.

mod command;
mod console;
pub mod disk;
pub mod machine;
mod monitor;
mod options;
pub mod rehearsal;
mod tpm;
pub mod verdict;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::atomic::Scratch;
use crate::context::Context;
use crate::interrupt;
pub use disk::BoxDisk;
pub use machine::Machine;
pub use options::{Host, MachineOptions, Network, Unit};
pub use verdict::{Said, Until, Verdict};

/// How to start an image, and what to wait for.
#[derive(Debug, Clone)]
pub struct Options {
    /// How far the box has to come; none: it runs until it is shut down or the time is over.
    pub until: Option<Until>,
    /// How long to wait for that.
    pub timeout: Duration,
    /// A bundle for the secrets partition.
    pub secrets: Option<Vec<u8>>,
    /// The size of the disk in bytes; it is at least the image's.
    pub disk_bytes: u64,
    /// Whether what the console shows goes to standard error too.
    pub echo: bool,
    /// Whether the machine gets a TPM, new as the disk is.
    pub tpm: bool,
    /// The machine.
    pub machine: MachineOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            until: Some(Until::Good),
            timeout: Duration::from_secs(900),
            secrets: None,
            disk_bytes: 16 << 30,
            echo: false,
            tpm: false,
            machine: MachineOptions::default(),
        }
    }
}

/// Starts a copy of `image` and waits for what `options` say.
///
/// # Errors
/// If the image cannot be copied, or QEMU cannot be started or ends with an error. A box that does not get as far as it
/// should is no error but a [`Verdict`].
pub fn boot(image: &Path, options: &Options, host: &Host<'_>, context: &Context) -> Result<Verdict> {
    let step = context.ui.step("starting the box");
    let folder = Scratch::create(&context.cache.join("machines"))?;
    let disk = BoxDisk::create(image, folder.path(), options.disk_bytes)?;
    if let Some(bundle) = &options.secrets {
        disk.write_secrets(bundle)?;
    }
    let mut machine = options.machine.clone();
    if options.tpm {
        machine.tpm = Some(folder.path().join("tpm"));
    }
    let mut machine = Machine::start(&disk, &machine, host)?;
    if options.echo {
        machine.echo();
    }
    let started = Instant::now();
    let mut seen = verdict::Watch::new(options.until);
    let verdict = loop {
        interrupt::check()?;
        if let Some(verdict) = seen.verdict() {
            break verdict;
        }
        if started.elapsed() >= options.timeout {
            break seen.timed_out();
        }
        match machine.next_line(Duration::from_millis(250))? {
            machine::Line::Text(line) => {
                if let Some(said) = seen.line(&line) {
                    step.detail(said);
                }
            }
            machine::Line::Nothing => {}
            machine::Line::End => break Verdict::Ended,
        }
    };
    machine.stop()?;
    step.done(verdict.to_string());
    Ok(verdict)
}
