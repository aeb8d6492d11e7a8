//! `boxwright build`: makes the disk image of a profile.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::Session;
use super::args::Build;
use super::output;
use super::subject::{Owned, now};
use crate::artefacts;
use crate::build::{Built, Order};
use crate::context::Context;
use crate::diag::InputError;
use crate::secrets::Handover;
use crate::ui::human_bytes;
use crate::{images, mirror};

pub(super) fn run(session: &Session, arguments: &Build) -> anyhow::Result<()> {
    let start = std::time::Instant::now();
    let subject = session.subject(&arguments.profile)?;
    let mut context = subject.context(session)?;
    let secrets = match &arguments.secrets {
        Some(path) => Some(session.secrets(path, &subject.checked)?),
        None => None,
    };
    if let Some(folder) = &arguments.from {
        context.offline = true;
        take(folder, &subject, &context)?;
    }
    let lock = subject.borrow().lock(&context)?;
    session.warn_if_stale(&lock, &subject);
    // Only a disk that restores has to be told from its predecessor; an image for many disks says nothing of them.
    let handover = Handover {
        incarnation: arguments.restore.is_some().then(now),
        restore: arguments.restore.clone(),
        rehearsal: false,
    };
    let order = Order {
        checked: &subject.checked,
        plan: &subject.plan,
        lock: &lock,
        secrets: secrets.as_ref(),
        handover: &handover,
        out: &arguments.out,
    };
    let built = order.build(&context)?;
    if arguments.compress {
        artefacts::make(&built, &session.ui)?;
    }
    report(session, &built, secrets.is_some(), start.elapsed().as_secs_f64());
    if session.global.json {
        let manifest = &built.manifest;
        return session
            .out
            .json(&json!({ "image": built.image, "unchanged": built.unchanged, "manifest": manifest }));
    }
    session.out.write(&format!("{}\n", built.image.display()))
}

/// Takes what the lock of `subject` names from a mirror's folder into the cache.
fn take(folder: &Path, subject: &Owned, context: &Context) -> anyhow::Result<()> {
    let lock = subject.borrow().load()?.ok_or_else(|| {
        InputError(format!(
            "{} is missing: it says what to take from {}; that folder has a copy of the lock that it was made for",
            subject.borrow().lock_path().display(),
            folder.display()
        ))
    })?;
    let list = images::list(&subject.checked, &subject.plan, &lock.images);
    mirror::adopt(&lock, &images::embedded(&list, &lock.images), folder, context)
}

/// What was made, how large it is, how long it took, and what to run next.
fn report(session: &Session, built: &Built, secret: bool, seconds: f64) {
    if session.global.quiet {
        return;
    }
    let manifest = &built.manifest;
    let mut text = String::new();
    let id = manifest.release.to_string();
    // Writing into a String cannot fail.
    _ = writeln!(
        text,
        "\n{}: version {}, release {}",
        manifest.name,
        manifest.version,
        &id[..16.min(id.len())]
    );
    let state = if built.unchanged { "unchanged, " } else { "" };
    let (written, size) = (human_bytes(manifest.written), human_bytes(manifest.size));
    _ = writeln!(text, "  {state}{written} to write, {size} with what is empty, in {seconds:.1} s");
    for part in manifest.parts.iter().filter(|part| part.filled.is_some()) {
        _ = writeln!(text, "  {:<24} {}", part.name, human_bytes(part.filled.unwrap_or_default()));
    }
    if !manifest.unresolved.is_empty() {
        let list = manifest.unresolved.join(", ");
        _ = writeln!(text, "  without a digest, pulled by tag on first boot: {list}");
    }
    if secret {
        _ = writeln!(text, "  it holds secrets: do not publish it");
    }
    _ = write!(text, "next: boxwright boot {} --until good", built.image.display());
    output::message(&text);
}
