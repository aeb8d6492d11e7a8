//! One file from one address: resumed where it breaks off, as long as each try brings something new.
//!
//! A partial file goes in and grows; whether it is the right one is known when its digest is.

use std::io::{self, Read as _};
use std::time::Duration;

use anyhow::Context as _;

use super::cache::Partial;
use super::download::Wanted;
use super::http::{Failure, Http};
use crate::interrupt;
use crate::ui::Step;

/// How often an address is tried that brings nothing new, with the pauses between.
pub(super) const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];
/// What is being fetched.
pub(super) struct Target<'a> {
    pub wanted: &'a Wanted,
    pub partial: &'a mut Partial,
    /// Is told of the bytes as they come.
    pub step: &'a Step,
}

/// Fetches what is missing of the file from one address. The outer error is this machine's.
pub(super) fn from(http: &Http, url: &str, target: &mut Target<'_>) -> anyhow::Result<Result<(), Failure>> {
    let mut pauses = PAUSES.iter();
    let mut restarted = false;
    loop {
        interrupt::check()?;
        let before = target.partial.length;
        let failure = match once(http, url, target)? {
            Err(failure) => failure,
            Ok(()) if target.partial.hasher.clone().finish() == target.wanted.sha256 => return Ok(Ok(())),
            // What another mirror had sent before may be what is wrong.
            Ok(()) => {
                let wrong = Failure::Permanent("it has another content than the signed index says".into());
                let resumed = before > 0 && !restarted;
                restarted = true;
                target.partial.restart().context("writing to the cache")?;
                if resumed {
                    continue;
                }
                return Ok(Err(wrong));
            }
        };
        match failure {
            Failure::Range if !restarted => {
                restarted = true;
                target.partial.restart().context("writing to the cache")?;
            }
            Failure::Temporary(reason) => {
                if target.partial.length > before {
                    pauses = PAUSES.iter();
                }
                match pauses.next() {
                    Some(pause) => wait(*pause)?,
                    None => return Ok(Err(Failure::Temporary(reason))),
                }
            }
            other => return Ok(Err(other)),
        }
    }
}

/// One request: appends what comes to the partial file.
fn once(http: &Http, url: &str, target: &mut Target<'_>) -> anyhow::Result<Result<(), Failure>> {
    if target.partial.length == target.wanted.size {
        return Ok(Ok(()));
    }
    if target.partial.length > target.wanted.size {
        return Ok(Err(Failure::Range));
    }
    let mut body = match http.get(url, target.partial.length) {
        Ok(body) => body,
        Err(failure) => return Ok(Err(failure)),
    };
    if body.start != target.partial.length {
        target.partial.restart().context("writing to the cache")?;
    }
    if body.start != target.partial.length || body.total.is_some_and(|total| total != target.wanted.size) {
        return Ok(Err(Failure::Permanent("it has another size than the signed index says".into())));
    }
    let mut buffer = vec![0; 1 << 16];
    loop {
        interrupt::check()?;
        let count = match body.reader.read(&mut buffer) {
            Ok(0) if target.partial.length == target.wanted.size => return Ok(Ok(())),
            Ok(0) => return Ok(Err(Failure::Temporary("the transfer broke off".into()))),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(Failure::Temporary(format!("the transfer broke off: {error}")))),
        };
        if target.partial.length + count as u64 > target.wanted.size {
            return Ok(Err(Failure::Permanent("it is larger than the signed index says".into())));
        }
        target
            .partial
            .append(&buffer[..count])
            .with_context(|| format!("writing {} to the cache", target.wanted.name))?;
        target.step.advance(count as u64);
    }
}

/// Sleeps, but not through Ctrl-C.
pub(super) fn wait(pause: Duration) -> anyhow::Result<()> {
    let slice = Duration::from_millis(100);
    for _ in 0..pause.as_millis().div_ceil(slice.as_millis()) {
        interrupt::check()?;
        std::thread::sleep(slice);
    }
    Ok(())
}
