//! `boxwright rehearse`: replaces the box in a virtual machine, from its real backups, and says what came back.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;

use super::Session;
use super::args::Rehearse;
use super::output;
use crate::build::{Order, locking};
use crate::diag::InputError;
use crate::secrets::{Handover, Restore};
use crate::vm::rehearsal::{self, Rehearsal};
use crate::vm::{Host, MachineOptions, Network, Options};

pub(super) fn run(session: &Session, arguments: &Rehearse) -> anyhow::Result<()> {
    let subject = session.subject(&arguments.profile)?;
    let context = subject.context(session)?;
    if subject.checked.profile().backup.is_none() {
        return Err(InputError("this profile has no [backup]: there is nothing to rehearse".into()).into());
    }
    let secrets = session.secrets(&arguments.secrets, &subject.checked)?;
    let restore = arguments.restore.clone().unwrap_or_else(Restore::latest);
    // No incarnation: nothing is written to the repository, and no other box gives way.
    let handover = Handover { incarnation: None, restore: Some(restore), rehearsal: true };
    let bundle = secrets.bundle(&handover)?.to_vec();
    let lock = subject.borrow().lock(&context)?;
    session.warn_if_stale(&lock, &subject);
    let order = Order {
        checked: &subject.checked,
        plan: &subject.plan,
        lock: &lock,
        secrets: None,
        handover: &Handover::default(),
        out: &arguments.out,
    };
    let built = order.build(&context)?;
    let tools = locking::machine_tools(&lock, &context)?;
    let options = Options {
        until: None,
        timeout: Duration::from_secs(arguments.timeout),
        secrets: Some(bundle),
        disk_bytes: u64::from(arguments.size) << 30,
        echo: arguments.console,
        tpm: subject.checked.profile().machine.encrypt.is_some(),
        machine: MachineOptions {
            memory: arguments.memory,
            network: Network::Open,
            disks: arguments.disk.clone(),
            ..MachineOptions::default()
        },
    };
    let host = Host {
        tools: &tools,
        platform: subject.checked.platform(),
        distribution: subject.checked.distribution(),
    };
    let rehearsal =
        rehearsal::rehearse(&built.image, &options, &host, &context).context("rehearsing the restore")?;
    if session.global.json {
        session.out.json(&serde_json::to_value(&rehearsal).context("writing the report")?)?;
    } else {
        session.out.write(&report(&rehearsal))?;
    }
    match &rehearsal.reason {
        None => Ok(()),
        Some(reason) if session.global.json || session.global.quiet => {
            output::message(reason);
            Err(output::Rejected.into())
        }
        Some(_) => Err(output::Rejected.into()),
    }
}

/// What was restored, how old it was, what came up, and how long it took.
fn report(rehearsal: &Rehearsal) -> String {
    let found = &rehearsal.found;
    let mut text = String::new();
    // Writing into a String cannot fail.
    for (name, backup) in &found.backups {
        let minute: String = backup.time.chars().take(16).collect();
        _ = writeln!(text, "{name:<20}  {}  {} old", minute.replace('T', " "), span(backup.age));
    }
    let (up, others): (Vec<_>, Vec<_>) = found.services.iter().partition(|(_, state)| *state == "runs");
    if !up.is_empty() {
        let names: Vec<&str> = up.iter().map(|(name, _)| name.as_str()).collect();
        _ = writeln!(text, "came up: {}", names.join(", "));
    }
    for (name, state) in others {
        _ = writeln!(text, "{name}: {state}");
    }
    for problem in &found.problems {
        _ = writeln!(text, "  {problem}");
    }
    let restored = found.seconds.map(|seconds| format!(", {} of which restored", span(seconds)));
    let total = span(i64::try_from(rehearsal.total_seconds).unwrap_or(i64::MAX));
    _ = writeln!(text, "it took {total}{}", restored.unwrap_or_default());
    match &rehearsal.reason {
        None => text.push_str("everything came back\n"),
        Some(reason) => _ = writeln!(text, "it did not succeed: {reason}"),
    }
    text
}

/// Seconds in words.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
