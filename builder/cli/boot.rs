//! `boxwright boot`: starts a disk image in a virtual machine.

use std::time::Duration;

use anyhow::{Context as _, bail};

use super::Session;
use super::args::{Boot, Until};
use super::profile;
use super::subject::now;
use crate::build::{lock_of, locking};
use crate::diag::InputError;
use crate::firmware::{Distribution, Platform};
use crate::secrets::Handover;
use crate::vm::{self, Host, MachineOptions};
use crate::{inspect, lock};

pub(super) fn run(session: &Session, arguments: &Boot) -> anyhow::Result<()> {
    let context = session.context(&arguments.image)?;
    let report = inspect::Report::read(&arguments.image)?;
    let path = lock_of(&arguments.image);
    let lock = lock::load(&path)?.ok_or_else(|| {
        InputError(format!(
            "{} is missing: it says which emulator fits the image; build the image again",
            path.display()
        ))
    })?;
    let distribution = Distribution::load(&context.project, &lock.distribution)?;
    let platform = Platform::load(&context.project, &lock.platform)?;
    let tools = locking::machine_tools(&lock, &context)?;
    let handover = Handover {
        incarnation: arguments.live.then(now),
        restore: arguments.restore.clone(),
        rehearsal: !arguments.live,
    };
    let secrets = match &arguments.secrets {
        Some(path) => {
            let profile = match (&arguments.profile, &report.manifest) {
                (Some(profile), _) => profile.clone(),
                (None, Some(manifest)) => {
                    profile::named(&context.project, &manifest.name)
                }
                (None, None) => bail!(InputError(
                    "whose secrets the box takes is unknown, since the image has no manifest beside it; name its profile with --profile".into()
                )),
            };
            Some(session.secrets(path, &session.checked(&profile)?)?.bundle(&handover)?.to_vec())
        }
        None => None,
    };
    let options = vm::Options {
        until: arguments.until.map(|until| match until {
            Until::Good => vm::Until::Good,
            Until::Ready => vm::Until::Ready,
        }),
        timeout: Duration::from_secs(arguments.timeout),
        secrets,
        echo: !session.global.quiet,
        tpm: report.manifest.as_ref().is_some_and(|manifest| manifest.encrypt.is_some()),
        machine: MachineOptions {
            memory: arguments.memory,
            secure_boot: arguments.secure_boot,
            disks: arguments.disk.clone(),
            ..MachineOptions::default()
        },
        ..vm::Options::default()
    };
    let host = Host { tools: &tools, platform: &platform, distribution: &distribution };
    let verdict = vm::boot(&arguments.image, &options, &host, &context).context("starting the image")?;
    if session.global.json {
        session
            .out
            .json(&serde_json::json!({ "success": verdict.is_success(), "verdict": verdict.to_string() }))?;
    }
    if arguments.until.is_some() && !verdict.is_success() {
        bail!(InputError(verdict.to_string()));
    }
    Ok(())
}
