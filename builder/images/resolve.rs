//! Tags become digests.
//!
//! In: the references of a box. Out: one [`Image`] each, with its digests where a registry could be asked. All are asked at
//! once. A network that leads nowhere costs [`PATIENCE`] in all; a registry that answers no is an error, because the
//! box would get the same answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use super::manifest::{self, Manifest, PLATFORM};
use super::reference::Reference;
use super::skopeo::{Skopeo, Trouble};
use crate::context::Context;
use crate::digest::Sha256;
use crate::lock::Image;

/// How long the whole step may take while nobody at all answers.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long one question may take once somebody has answered.
const SLOW: Duration = Duration::from_secs(30);
/// How many questions are asked at once.
const AT_ONCE: usize = 8;

/// The images of `references`, in order. Those whose registry cannot be reached, or all if the context is offline, are
/// without digests, and the user is told.
///
/// # Errors
/// A reference is no image's, a registry says that it has no such image or not for this architecture, it sends something
/// else than it says, or the run is interrupted.
pub fn resolve(references: &BTreeSet<String>, skopeo: &Skopeo, context: &Context) -> Result<Vec<Image>> {
    let parsed: Vec<Reference> = references
        .iter()
        .map(|text| text.parse::<Reference>().map_err(anyhow::Error::from))
        .collect::<Result<_>>()?;
    if context.offline {
        report(&parsed, &BTreeMap::new(), "the build is offline", context);
        return Ok(parsed.iter().map(without_digest).collect());
    }
    let step = context.ui.step("asking for the digests of container images");
    step.total_items(parsed.len() as u64);
    let asking =
        Asking { skopeo, begin: Instant::now(), answered: AtomicBool::new(false), silent: Mutex::default() };
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(parsed.len()) {
            scope.spawn(|| {
                while let Some(reference) = parsed.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = asking.image(reference);
                    let stop = matches!(answer, Err(Trouble::Refused(_)));
                    lock(&answers).insert(reference.clone(), answer);
                    step.advance(1);
                    if stop {
                        next.store(parsed.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let answers = answers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let images = judge(&parsed, answers, context)?;
    let known = images.iter().filter(|image| image.digest.is_some()).count();
    step.done(format!("{known} of {} images", images.len()));
    Ok(images)
}

/// What the threads share.
struct Asking<'a> {
    skopeo: &'a Skopeo,
    begin: Instant,
    /// Whether anybody has answered, so that there is a network at all.
    answered: AtomicBool,
    /// Registries that did not answer, with the reason.
    silent: Mutex<BTreeMap<String, String>>,
}

impl Asking<'_> {
    fn image(&self, reference: &Reference) -> Result<Image, Trouble> {
        let host = self.skopeo.host(reference);
        if let Some(reason) = lock(&self.silent).get(&host) {
            return Err(Trouble::Unreachable(reason.clone()));
        }
        let answer = self.ask(reference);
        if let Err(Trouble::Unreachable(reason)) = &answer {
            lock(&self.silent).entry(host).or_insert_with(|| reason.clone());
        }
        answer
    }

    fn ask(&self, reference: &Reference) -> Result<Image, Trouble> {
        let bytes = self.manifest(reference, &format!(":{}", reference.tag))?;
        let (digest, bytes) = match manifest::parse(&bytes)? {
            Manifest::Image(_) => (Sha256::of_bytes(&bytes), bytes),
            Manifest::List(entry) => {
                let bytes = self.manifest(reference, &format!("@sha256:{}", entry.digest))?;
                let found = Sha256::of_bytes(&bytes);
                if found != entry.digest {
                    return Err(Trouble::Refused(anyhow!(
                        "asked for the manifest sha256:{}, the registry sent sha256:{found}",
                        entry.digest
                    )));
                }
                (entry.digest, bytes)
            }
        };
        let Manifest::Image(image) = manifest::parse(&bytes)? else {
            return Err(Trouble::Refused(anyhow!("the list of architectures leads to another list")));
        };
        Ok(Image {
            reference: reference.to_string(),
            digest: Some(format!("sha256:{digest}")),
            config: Some(format!("sha256:{}", image.config.digest)),
            size: Some(image.size()),
            platform: Some(PLATFORM.to_owned()),
            // Who asks knows the day.
            resolved: None,
        })
    }

    fn manifest(&self, reference: &Reference, version: &str) -> Result<Vec<u8>, Trouble> {
        let late = |elapsed: Duration| {
            if self.answered.load(Ordering::Relaxed) {
                elapsed > SLOW
            } else {
                self.begin.elapsed() > PATIENCE
            }
        };
        let answer = self.skopeo.manifest(reference, version, &late);
        if matches!(answer, Ok(_) | Err(Trouble::Refused(_))) {
            self.answered.store(true, Ordering::Relaxed);
        }
        answer
    }
}

/// Puts the answers together: refusals are errors, silence is reported.
fn judge(
    parsed: &[Reference],
    mut answers: BTreeMap<Reference, Result<Image, Trouble>>,
    context: &Context,
) -> Result<Vec<Image>> {
    let refused = answers.iter().find(|(_, answer)| matches!(answer, Err(Trouble::Refused(_))));
    // A refusal ends the asking, so that others may have no answer at all.
    if let Some(reference) = refused.map(|(reference, _)| reference.clone())
        && let Some(Err(Trouble::Refused(error))) = answers.remove(&reference)
    {
        return Err(error).with_context(|| format!("asking for the digest of {reference}"));
    }
    let mut images = Vec::new();
    let mut silent = BTreeMap::new();
    for reference in parsed {
        match answers.remove(reference) {
            Some(Ok(image)) => images.push(image),
            Some(Err(Trouble::Unreachable(reason))) => {
                silent.insert(reference.clone(), reason);
                images.push(without_digest(reference));
            }
            Some(Err(Trouble::Refused(error))) => return Err(error),
            None => bail!("nobody asked for the digest of {reference}"),
        }
    }
    if !silent.is_empty() {
        report(parsed, &silent, "their registry cannot be reached", context);
    }
    Ok(images)
}

/// Tells the user which images have no digest, why, and what follows.
fn report(parsed: &[Reference], silent: &BTreeMap<Reference, String>, why: &str, context: &Context) {
    let mut names: Vec<String> = parsed
        .iter()
        .filter(|reference| silent.is_empty() || silent.contains_key(reference))
        .map(ToString::to_string)
        .collect();
    if names.is_empty() {
        return;
    }
    names.sort();
    let reasons: BTreeSet<&String> = silent.values().collect();
    let mut message = format!(
        "{} of {} container images have no digest, because {why}; they are not embedded, and the box pulls them by tag on \
         its first boot. `boxwright lock --update` asks again.\n    {}",
        names.len(),
        parsed.len(),
        names.join("\n    ")
    );
    for reason in reasons {
        message.push_str("\n  ");
        message.push_str(reason);
    }
    context.ui.warn(message);
}

fn without_digest(reference: &Reference) -> Image {
    Image { reference: reference.to_string(), ..Image::default() }
}

/// The value, even if another thread has panicked with it in hand: nothing in here is ever half changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
