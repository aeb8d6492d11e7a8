//! `boxwright lock`: chooses the exact packages and container images of a profile.

use serde_json::json;

use super::Session;
use super::args::Lock;
use crate::lock::{self, stale};

pub(super) fn run(session: &Session, arguments: &Lock) -> anyhow::Result<()> {
    let subject = session.subject(&arguments.profile)?;
    let context = subject.context(session)?;
    let subject = subject.borrow();
    let path = subject.lock_path();
    let old = lock::load(&path)?;
    let new = match &old {
        Some(_) if !arguments.update => subject.lock(&context)?,
        _ => subject.update(old.as_ref(), &context)?,
    };
    let moved = old.as_ref().map(|old| stale::changes(old, &new)).unwrap_or_default();
    for line in &moved {
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
        "{}: version {}, {} packages, {} tools, {} container images, {} moved",
        path.display(),
        new.version,
        new.packages.len(),
        new.tools.len() + new.machine.len(),
        new.images.len(),
        moved.len()
    ));
    if session.global.json {
        let moved: Vec<String> = moved.iter().map(ToString::to_string).collect();
        return session.out.json(&json!({ "lock": path, "version": new.version, "moved": moved }));
    }
    session.out.write(&format!("{}\n", path.display()))
}
