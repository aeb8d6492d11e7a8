//! `boxwright new`: a profile made from an example, with its comments, under another name.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Session;
use super::args::New;
use super::{recipe, surroundings};
use crate::diag::InputError;
use crate::profile::load;

pub(super) fn run(session: &Session, arguments: &New) -> anyhow::Result<()> {
    if let Some(ci) = arguments.ci {
        return recipe::run(session, ci);
    }
    let project = surroundings::project(&session.global, Path::new("."))?;
    let profiles = project.join("profiles");
    let name = arguments.name.as_deref().unwrap_or_default();
    let name = name.strip_suffix(".toml").unwrap_or(name);
    if !crate::catalog::is_label(name) {
        let reason = "a box's name is made of small letters, digits and hyphens";
        return Err(InputError(format!("`{name}` cannot be a box's name: {reason}")).into());
    }
    let target = profiles.join(format!("{name}.toml"));
    let example = example(&profiles, &arguments.from);
    let text = renamed(&example, name)?;
    if target.exists() {
        bail!("{} is there already; choose another name, or remove it", target.display());
    }
    crate::atomic::write(&target, text.as_bytes())?;
    let target = target.strip_prefix(".").unwrap_or(&target).display().to_string();
    session.ui.note(format!("Now put your own values into it, then run: boxwright check {target}"));
    session.out.write(&format!("{target}\n"))
}

/// A profile by its name in `profiles`, or by its path.
fn example(profiles: &Path, from: &str) -> PathBuf {
    let named = profiles.join(from).with_extension("toml");
    let is_name = !from.contains('/') && !from.ends_with(".toml");
    if is_name && (named.exists() || !Path::new(from).exists()) { named } else { PathBuf::from(from) }
}

/// The text of the profile at `path` with the box's name replaced.
fn renamed(path: &Path, name: &str) -> anyhow::Result<String> {
    let loaded = load::load(path)?;
    let Some(document) = loaded.document.filter(|_| !loaded.findings.has_errors()) else {
        let drawn = loaded.findings.render(false);
        return Err(InputError(format!("{} is not a profile to start from\n{drawn}", path.display())).into());
    };
    let span = document.places.value(&["box", "name"]);
    let (before, rest) = document.text.split_at_checked(span.start).context("finding the box's name")?;
    let after = rest.get(span.len()..).context("finding the box's name")?;
    Ok(format!("{before}\"{name}\"{after}"))
}
