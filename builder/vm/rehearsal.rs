//! A rehearsal of the day on which the box dies: a machine restores from the real repository, which it only reads, and says
//! what came back.
//!
//! The bundle makes it a rehearsal (`Handover`); what it finds comes out of a unit that is handed in through the firmware.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::machine::{Line, Machine};
use super::options::{Host, Unit};
use super::verdict::{self, Said};
use super::{BoxDisk, Options};
use crate::atomic::Scratch;
use crate::context::Context;
use crate::interrupt;

/// What the unit writes before each report.
const MARK: &str = "boxwright-rehearsal: ";

/// What the box says when it cannot restore; it goes on trying.
const STUCK: &str = "nothing starts until the backup is restored: ";

/// For how long a reason may stand before it is believed: the network may come late.
const PATIENCE: Duration = Duration::from_secs(240);

/// What the box writes into its console every few seconds from the moment at which everything is back.
const REPORT: &str = r#"
import calendar, json, subprocess, time
now = json.loads(subprocess.run(["box", "status", "--json"], capture_output=True, check=True).stdout)
done = now["restored"] or {}
at = lambda text: calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
backups = {name: {"time": text, "age": int(time.time()) - at(text)} for name, text in (done.get("services") or {}).items()}
services = {one["name"]: one["state"] for one in now["services"]}
found = {"ready": now["ready"], "seconds": done.get("seconds"), "backups": backups, "services": services, "problems": now["problems"]}
print(json.dumps(found))
"#;

/// A backup that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// When it was written.
    pub time: String,
    /// How long ago that was, in seconds.
    pub age: i64,
}

/// What the box says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Whether everything runs that a rehearsal runs.
    pub ready: bool,
    /// How long the restore took, in seconds.
    pub seconds: Option<i64>,
    /// What was restored, by service; `box` is what the box itself keeps.
    pub backups: std::collections::BTreeMap<String, Backup>,
    /// How each service does.
    pub services: std::collections::BTreeMap<String, String>,
    /// What is missing or wrong.
    pub problems: Vec<String>,
}

/// How it went.
#[derive(Debug, Clone, Serialize)]
pub struct Rehearsal {
    /// Whether everything was restored, and everything runs that can in a rehearsal.
    pub success: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Seconds from power to the last report.
    pub total_seconds: u64,
    /// What the box said last.
    #[serde(flatten)]
    pub found: Found,
}

/// Starts a copy of `image` as `options` say, with a bundle that asks for a restore, and reads what comes back.
///
/// # Errors
/// If the image cannot be copied, or QEMU cannot be started or ends with an error. A restore that fails is no error.
pub fn rehearse(image: &Path, options: &Options, host: &Host<'_>, context: &Context) -> Result<Rehearsal> {
    let step = context.ui.step("rehearsing");
    let folder = Scratch::create(&context.cache.join("machines"))?;
    let disk = BoxDisk::create(image, folder.path(), options.disk_bytes)?;
    disk.write_secrets(options.secrets.as_deref().context("a rehearsal needs secrets")?)?;
    let mut machine_options = options.machine.clone();
    machine_options.units.extend(units());
    let mut machine = Machine::start(&disk, &machine_options, host)?;
    if options.echo {
        machine.echo();
    }
    let mut watch = Watch::new(options.timeout);
    let reason = loop {
        interrupt::check()?;
        if let Some(end) = watch.end(Instant::now()) {
            break end;
        }
        match machine.next_line(Duration::from_millis(250))? {
            Line::Text(line) => {
                if let Some(said) = watch.line(&line, Instant::now()) {
                    step.detail(said);
                }
            }
            Line::Nothing => {}
            Line::End => break Some("the machine was switched off".to_owned()),
        }
    };
    machine.stop()?;
    let total_seconds = watch.start.elapsed().as_secs();
    let rehearsal = Rehearsal {
        success: reason.is_none(),
        reason,
        total_seconds,
        found: watch.found.unwrap_or_default(),
    };
    step.done(if rehearsal.success { "everything came back" } else { "it did not succeed" }.to_owned());
    Ok(rehearsal)
}

/// Follows the console.
struct Watch {
    start: Instant,
    timeout: Duration,
    found: Option<Found>,
    /// Why nothing can be restored, since when.
    stuck: Option<(String, Instant)>,
    /// What the box has settled for.
    settled: Option<Said>,
}

impl Watch {
    fn new(timeout: Duration) -> Self {
        Self { start: Instant::now(), timeout, found: None, stuck: None, settled: None }
    }

    /// Takes the next line; gives what it says to a person.
    fn line(&mut self, line: &str, now: Instant) -> Option<String> {
        if let Some((_, report)) = line.split_once(MARK) {
            // Another program may have written into the middle of it: the next one is whole.
            if let Ok(found) = serde_json::from_str(report.trim()) {
                self.found = Some(found);
            }
            return None;
        }
        let said = verdict::parse(line)?;
        let text = line.split_once("boxwright: ").map(|(_, text)| text.trim().to_owned());
        match &said {
            Said::Other(other) => match other.strip_prefix(STUCK) {
                Some(why) if self.stuck.as_ref().is_some_and(|(known, _)| known == why) => {}
                Some(why) => self.stuck = Some((why.to_owned(), now)),
                None if other.starts_with("restore: ") => self.stuck = None,
                None => {}
            },
            Said::Ready | Said::NotReady(_) | Said::NotGood(_) | Said::CannotStart(_) => {
                // A report that was written before this does not know it yet.
                self.found = None;
                self.settled = Some(said);
            }
            Said::Waits(_) => self.settled = None,
            Said::Good => {}
        }
        text
    }

    /// Whether there is nothing to wait for any more: then nothing, or why it failed.
    fn end(&self, now: Instant) -> Option<Option<String>> {
        if let Some((why, since)) = &self.stuck
            && now.duration_since(*since) >= PATIENCE
        {
            return Some(Some(why.clone()));
        }
        match (&self.settled, &self.found) {
            (Some(Said::CannotStart(why)), _) => return Some(Some(format!("the box cannot start: {why}"))),
            (Some(Said::NotGood(list)), _) => {
                return Some(Some(format!("the release is not good: {}", list.join("; "))));
            }
            (Some(Said::Ready), Some(found)) if found.ready => return Some(None),
            (Some(Said::NotReady(_)), Some(found)) => return Some(down(found)),
            _ => {}
        }
        let over = now.duration_since(self.start) >= self.timeout;
        over.then(|| {
            let stuck = self.stuck.as_ref().map(|(why, _)| why.clone());
            let slow = "the time is over; give it more with --timeout".to_owned();
            Some(stuck.unwrap_or(slow))
        })
    }
}

/// Which services do not run though they could: those that are held back, or whose disk is elsewhere, cannot.
fn down(found: &Found) -> Option<String> {
    let could =
        |state: &str| state != "runs" && state != "held back" && !state.starts_with("waits for its disk");
    let list: Vec<String> = found
        .services
        .iter()
        .filter(|(_, state)| could(state))
        .map(|(name, state)| format!("{name} ({state})"))
        .collect();
    (!list.is_empty()).then(|| format!("not everything came up: {}", list.join(", ")))
}

/// The unit that reports.
fn units() -> Vec<Unit> {
    use base64::Engine as _;
    let script = base64::engine::general_purpose::STANDARD.encode(REPORT);
    let run = format!(
        "while sleep 5; do [ -e /srv/state/.restored ] || continue; \
         r=$$(echo {script} | base64 -d | python3 -B -) && echo \"{MARK}$$r\" >/dev/console; done"
    );
    let name = "boxwright-rehearsal-report.service";
    let text = format!(
        "[Unit]\nDescription=Tells how the rehearsal goes\nAfter=local-fs.target\n\n\
         [Service]\nType=exec\nExecStart=/bin/sh -c '{run}'\n"
    );
    vec![
        Unit::Whole { name: name.to_owned(), text },
        Unit::DropIn {
            name: "multi-user.target~rehearsal".to_owned(),
            text: format!("[Unit]\nWants={name}\n"),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ready: bool, services: &[(&str, &str)]) -> String {
        let services: std::collections::BTreeMap<_, _> = services.iter().copied().collect();
        let value = serde_json::json!({
            "ready": ready, "seconds": 61, "services": services, "problems": [],
            "backups": { "box": { "time": "2026-11-20T03:00:00Z", "age": 60 } },
        });
        format!("{MARK}{value}")
    }

    #[test]
    fn it_ends_when_the_box_has_said_how_it_does_after_it_was_ready() {
        let mut watch = Watch::new(Duration::from_secs(900));
        let now = watch.start;
        watch.line(&report(false, &[("sonarr", "starts")]), now);
        watch.line("boxwright: release 00 is ready", now);
        assert_eq!(watch.end(now), None);
        watch.line("boxwright-rehearsal: {\"ready\": tr[ OK ] Started", now);
        assert_eq!(watch.end(now), None);
        watch.line(&report(true, &[("sonarr", "runs"), ("cloudflared", "held back")]), now);
        assert_eq!(watch.end(now), Some(None));
        assert_eq!(watch.found.unwrap().backups["box"].age, 60);
    }

    #[test]
    fn what_does_not_run_is_named_unless_it_cannot() {
        let mut watch = Watch::new(Duration::from_secs(900));
        let now = watch.start;
        watch.line("boxwright: release 00 is not ready: plex (waits), sonarr (unhealthy)", now);
        let services = [("plex", "waits for its disk"), ("sonarr", "unhealthy"), ("gluetun", "held back")];
        watch.line(&report(false, &services), now);
        assert_eq!(watch.end(now), Some(Some("not everything came up: sonarr (unhealthy)".to_owned())));
    }

    #[test]
    fn a_reason_that_stands_is_believed_and_one_that_passes_is_not() {
        let mut watch = Watch::new(Duration::from_secs(900));
        let now = watch.start;
        let line = "boxwright: nothing starts until the backup is restored: boxes: the password is wrong";
        watch.line(line, now);
        watch.line("boxwright: restore: Sonarr: 10 % of 2.0 GB", now);
        assert_eq!(watch.end(now + PATIENCE), None);
        watch.line(line, now);
        watch.line(line, now + PATIENCE / 2);
        assert_eq!(watch.end(now + PATIENCE), Some(Some("boxes: the password is wrong".to_owned())));
        let slow = Watch::new(Duration::from_secs(1));
        assert!(slow.end(slow.start + PATIENCE).unwrap().unwrap().contains("--timeout"));
    }
}
