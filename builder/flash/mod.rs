//! Flashing: an image and a disk (or a file) go in; a disk that starts a box comes out, or one that starts nothing.
//!
//! 1. [`Source`]: the image, unpacked, held to its manifest;
//! 2. [`Machine`], [`Aim`]: the disks of the machine, what uses them and what is on them;
//! 3. [`Refusal`]: everything that speaks against a disk, at once;
//! 4. [`Plan`]: what is written where, and what stays, as a value;
//! 5. [`mod@write`], `read_back`: the plan carried out, and everything that was written compared;
//! 6. [`Receipt`].
//!
//! [`Medium`] is what is written to; tests break it. Nothing here asks anything: that is `cli`'s work.

mod contents;
mod ends;
mod ext4;
pub mod fat;
mod frames;
mod luks;
mod machine;
mod medium;
mod plan;
mod random;
pub mod ranges;
mod read_back;
mod receipt;
mod record;
mod refusals;
mod source;
mod target;
mod uses;
mod workers;
pub mod write;

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, bail};
use zeroize::Zeroizing;

pub use contents::{Contents, State};
pub use machine::{Connection, Disk, Machine, Volume};
pub use medium::{Buffer, Medium, Target};
pub use plan::{Guids, Plan, Wish};
pub use receipt::Receipt;
pub use refusals::Refusal;
pub use source::{Source, missing_manifest};
pub use target::Aim;
pub use uses::{Holder, Use};

use crate::diag::InputError;
use crate::digest::guid_text;
use crate::disk::gpt;
use crate::ui::Ui;

/// What is to be done with a disk that nothing speaks against.
#[derive(Debug)]
pub struct Order<'a> {
    /// The image.
    pub source: &'a Source,
    /// The disk.
    pub aim: &'a Aim,
    /// The bundle of secrets for the box.
    pub secrets: Option<Zeroizing<Vec<u8>>>,
    /// Whether a former state may go.
    pub erase_state: bool,
    /// Seconds since 1970.
    pub time: i64,
}

impl Order<'_> {
    /// The plan, and the receipt for when it has been carried out.
    ///
    /// # Errors
    /// If the parts do not fit together.
    pub fn plan(&self) -> Result<(Plan, Receipt)> {
        let guids = Guids::random()?;
        let mut receipt = self.receipt(&guids);
        let plan = |receipt: &Receipt| {
            let wish = Wish {
                secrets: self.secrets.as_ref().map(|bundle| bundle.as_slice()),
                erase_state: self.erase_state,
                guids,
                receipt: (&receipt.text(), self.time),
            };
            Plan::new(self.source, self.aim.size, &self.aim.contents, &wish)
        };
        // How much is written does not depend on what the receipt says of it.
        receipt.written = ranges::length(&plan(&receipt)?.copies);
        Ok((plan(&receipt)?, receipt))
    }

    /// Carries `plan` out on this `machine`. Whether the kernel knows the new partitions: a disk that was not read again by it
    /// may need to be pulled out and plugged in before its partitions are seen.
    ///
    /// # Errors
    /// If the disk is in use after all, changed since it was looked at, or does not keep what is written to it.
    pub fn carry_out(&self, plan: &Plan, machine: &Machine, ui: &Ui) -> Result<bool> {
        let mut target = self.open(machine)?;
        let done = self.write(plan, &mut target, ui);
        if done.is_err() && self.aim.has.is_none() {
            // This run has made it, and it holds nothing but what this run has written.
            let _ = std::fs::remove_file(&self.aim.path);
        }
        done
    }

    /// Opens what was looked at, for this run alone: nothing of it is changed before.
    fn open(&self, machine: &Machine) -> Result<Target> {
        let path = self.aim.path.display();
        let changed = || {
            InputError(format!(
                "{path} has changed since it was looked at: nothing was written; run the same command again"
            ))
        };
        let opened = match self.aim.has {
            Some(_) => Target::open(&self.aim.path),
            None => Target::create(&self.aim.path, if self.hands_secrets() { 0o600 } else { 0o644 }),
        };
        let target = match opened.map_err(|error| (error.kind(), error)) {
            Ok(target) => target,
            Err((ErrorKind::AlreadyExists, _)) => bail!(changed()),
            Err((ErrorKind::WouldBlock, _)) => bail!(InputError(format!(
                "another program has locked {path}, as one does that writes it: nothing was written; run the same command again when that is done"
            ))),
            Err((_, error)) => return Err(error).with_context(|| format!("opening {path} for writing")),
        };
        let Some(has) = self.aim.has else { return Ok(target) };
        let still = target.size() == has
            && self.aim.is_still(machine, target.number()?)
            && Contents::of(&target)? == self.aim.contents;
        if still { Ok(target) } else { bail!(changed()) }
    }

    fn write(&self, plan: &Plan, target: &mut Target, ui: &Ui) -> Result<bool> {
        let path = self.aim.path.display();
        if !target.is_device() && self.hands_secrets() {
            std::fs::set_permissions(&self.aim.path, Permissions::from_mode(0o600))
                .with_context(|| format!("keeping {path} to its owner"))?;
        }
        if target.size() < self.aim.size {
            target.enlarge(self.aim.size).with_context(|| format!("enlarging {path}"))?;
        }
        write::act(plan, self.source, target, ui)?;
        Ok(!target.is_device() || target.reread_table().is_ok())
    }

    fn hands_secrets(&self) -> bool {
        self.secrets.is_some() || self.source.has_secrets()
    }

    /// The names of the partitions that stay.
    pub fn kept(&self) -> Vec<String> {
        let state = self.aim.contents.state.as_ref().filter(|_| !self.erase_state);
        let entries = state.into_iter().flat_map(|state| &state.entries);
        entries.map(|(_, entry)| gpt::name(entry)).collect()
    }

    fn receipt(&self, guids: &Guids) -> Receipt {
        let manifest = self.source.manifest.as_ref();
        let disk = self.aim.disk.as_ref();
        let kept = self.kept();
        let secrets = match (&self.secrets, self.source.has_secrets(), kept.is_empty()) {
            (Some(_), ..) => "handed over",
            (None, true, _) => "those that are in the image",
            (None, false, false) => "none: the box keeps those that it has taken",
            (None, false, true) => "none",
        };
        Receipt {
            box_name: manifest.map(|manifest| manifest.name.clone()),
            release: manifest.map(|manifest| manifest.release),
            version: manifest.map(|manifest| manifest.version),
            system: manifest.map(|manifest| format!("{} on {}", manifest.distribution, manifest.platform)),
            image: self.source.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            image_digest: self.source.digest,
            target: self.aim.path.display().to_string(),
            model: disk.and_then(|disk| disk.model.clone()),
            serial: disk.and_then(|disk| disk.serial.clone()),
            size: self.aim.size,
            disk_guid: guid_text(&guids.disk),
            esp_guid: guid_text(&guids.esp),
            written: 0,
            secrets: secrets.to_owned(),
            kept,
            time: self.time,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
