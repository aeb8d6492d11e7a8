//! `boxwright lock`: chooses the exact packages and container images of a profile, or holds a lock against it.

use anyhow::Context as _;
use serde_json::json;

use super::Session;
use super::args::Lock;
use super::output::{self, Rejected};
use super::subject::Owned;
use crate::diag::InputError;
use crate::diff::{self, Owners};
use crate::lock::{self, format};

pub(super) fn run(session: &Session, arguments: &Lock) -> anyhow::Result<()> {
    let owned = session.subject(&arguments.profile)?;
    if arguments.check {
        return check(session, &owned);
    }
    let context = owned.context(session)?;
    let subject = owned.borrow();
    let path = subject.lock_path();
    let old = subject.load()?;
    let new = match &old {
        Some(_) if !arguments.update => subject.lock(&context)?,
        Some(old) if !arguments.names.is_empty() => subject.update_named(old, &arguments.names, &context)?,
        None if !arguments.names.is_empty() => {
            let advice =
                format!("there is no {} yet: `boxwright lock` makes it, of the newest", path.display());
            return Err(InputError(advice).into());
        }
        _ => subject.update(old.as_ref(), &context)?,
    };
    if tidied(&new, &path)? {
        session.ui.note(format!("{}: written anew as it is sorted; nothing moved by that", path.display()));
    }
    report(session, &owned, old.as_ref(), &new)
}

/// Says what moved, and what the lock is now.
fn report(
    session: &Session,
    owned: &Owned,
    old: Option<&lock::Lock>,
    new: &lock::Lock,
) -> anyhow::Result<()> {
    let path = owned.borrow().lock_path();
    let name = path.display().to_string();
    let owners = Owners::of(&owned.checked, &owned.plan);
    let difference = old.map(|old| diff::compare_locks([&name, &name], old, new, &owners));
    let moved = difference.as_ref().map(diff::moved).unwrap_or_default();
    let sources = difference.as_ref().map(diff::sources).unwrap_or_default();
    for line in sources.iter().chain(&moved) {
        session.ui.note(format!("  {line}"));
    }
    let unresolved: Vec<&str> = new
        .images
        .iter()
        .filter(|image| image.digest.is_none())
        .map(|image| image.reference.as_str())
        .collect();
    if !unresolved.is_empty() {
        session.ui.warn(format!("no digest is known for {}: the box pulls by tag", unresolved.join(", ")));
    }
    session.ui.note(format!(
        "{name}: version {}, {} packages, {} tools, {} container images, {} moved",
        new.version,
        new.packages.len(),
        new.tools.len() + new.machine.len(),
        new.images.len(),
        moved.len()
    ));
    if session.global.json {
        return session.out.json(&json!({
            "lock": name,
            "version": new.version,
            "moved": moved,
            "difference": difference,
        }));
    }
    session.out.write(&format!("{name}\n"))
}

/// Writes the lock anew if its text is not the one that this program writes, as after a merge.
fn tidied(lock: &lock::Lock, path: &std::path::Path) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let differs = text != format::render(lock);
    if differs {
        lock::save(lock, path)?;
    }
    Ok(differs)
}

/// `--check`: every reason at once, and exit code 1 if there is one.
fn check(session: &Session, owned: &Owned) -> anyhow::Result<()> {
    let context = owned.context(session)?;
    let subject = owned.borrow();
    let name = subject.lock_path().display().to_string();
    let reasons = subject.review(&context.project)?;
    if session.global.json {
        session.out.json(&json!({ "lock": name, "fits": reasons.is_empty(), "reasons": reasons }))?;
    } else if reasons.is_empty() {
        session.out.write(&format!("{name}\n"))?;
    }
    for reason in &reasons {
        output::error(&format!("{name}: {reason}"), session.ui.colour());
    }
    if !reasons.is_empty() {
        return Err(Rejected.into());
    }
    if let Some(lock) = lock::load(&subject.lock_path())? {
        session.warn_if_stale(&lock, owned);
    }
    Ok(())
}
