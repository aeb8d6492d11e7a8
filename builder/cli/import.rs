//! `boxwright import`: the folder of a service, made from a plain Compose file.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::Session;
use super::args::Import;
use super::check;
use super::output::{self, Rejected};
use super::surroundings;
use crate::atomic;
use crate::diag::InputError;

pub(super) fn run(session: &Session, arguments: &Import) -> anyhow::Result<()> {
    let file = &arguments.file;
    let bytes = match crate::import::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return Err(InputError(format!("{} cannot be read: {error}", file.display())).into()),
    };
    let imported = crate::import::import(file, &bytes, arguments.name.as_deref());
    if session.global.json {
        let findings = &imported.findings;
        let list: Vec<_> = findings.list.iter().map(|one| check::finding(one, findings)).collect();
        session.out.json(&json!({ "name": imported.name, "ok": !findings.has_errors(), "findings": list, "line": imported.line }))?;
    } else {
        output::findings(&imported.findings, session.ui.colour());
    }
    if imported.findings.has_errors() {
        return Err(Rejected.into());
    }
    let services = match &arguments.to {
        Some(folder) => folder.clone(),
        None => surroundings::project(&session.global, Path::new("."))?.join("overlays/services"),
    };
    let target = services.join(&imported.name);
    if target.symlink_metadata().is_ok() {
        bail!("{} is there already; choose another name with --name, or remove it", target.display());
    }
    fs::create_dir_all(&services).with_context(|| format!("creating {}", services.display()))?;
    let folder = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(&services);
    let folder = folder.with_context(|| format!("creating a folder in {}", services.display()))?;
    for (path, bytes) in &imported.files {
        let path = folder.path().join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        atomic::write(&path, bytes)?;
    }
    publish(folder.path(), &target)?;
    let target = target.strip_prefix(".").unwrap_or(&target).display().to_string();
    session.ui.note(format!("Look through it, then add to [services] of a profile: {}", imported.line));
    if session.global.json { Ok(()) } else { session.out.write(&format!("{target}\n")) }
}

/// Gives a finished folder its name, readable as any folder is.
fn publish(temporary: &Path, target: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(temporary, mode).with_context(|| format!("opening {}", temporary.display()))?;
    atomic::publish_dir(temporary, target)
}
