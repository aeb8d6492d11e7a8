//! The surroundings of a run: folders, terminal, number of threads. The only place that reads the environment.
#![allow(clippy::disallowed_methods, reason = "here the environment is read, for all others")]

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use super::args::{Colour, Global};
use crate::context::Context;
use crate::secrets::Value;
use crate::secrets::signing::{ENVIRONMENT, Keyring};
use crate::ui::{Mode, Ui};

/// The terminal as the flags and the environment want it.
pub fn ui(global: &Global) -> Ui {
    let terminal =
        std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let mode = match (global.quiet, terminal) {
        (true, _) => Mode::Quiet,
        (false, true) => Mode::Bars,
        (false, false) => Mode::Lines,
    };
    let colour = match global.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    Ui::new(mode, colour)
}

/// Where the owner's SSH keys are.
pub fn keyring() -> Keyring {
    let environment = ENVIRONMENT.iter().filter_map(|&name| Some((name, std::env::var_os(name)?)));
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    Keyring { home, environment: environment.collect() }
}

/// The context of a run that is about `subject`: a profile, or the working directory.
///
/// # Errors
/// If there is no project around it or no place for a cache.
pub fn context(global: &Global, ui: Ui, subject: &Path) -> anyhow::Result<Context> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Context {
        project: project(global, subject)?,
        cache: cache(global)?,
        ui,
        jobs: global.jobs.map_or(available, usize::from),
        mirror: global.mirror.clone(),
        registry_mirror: global.registry_mirror.clone(),
        offline: global.offline,
        days_ahead: global.days_ahead,
    })
}

/// The folder with `overlays/` and `firmware/`: `--project`, or the nearest one around `subject`, or around the working
/// directory.
///
/// # Errors
/// If there is none.
pub fn project(global: &Global, subject: &Path) -> anyhow::Result<PathBuf> {
    if let Some(project) = &global.project {
        if !is_project(project) {
            bail!("{} is not a project: it lacks overlays/ and firmware/", project.display());
        }
        return Ok(project.clone());
    }
    let here = std::env::current_dir().context("finding the working directory")?;
    // Links are followed: a profile that is linked to from elsewhere belongs where it really is.
    let subject = std::fs::canonicalize(subject).unwrap_or_else(|_| here.join(subject));
    let around = subject.ancestors().chain(here.ancestors());
    match around.into_iter().find(|folder| is_project(folder)) {
        Some(project) => Ok(shortest(project, &here)),
        None => bail!(
            "there is no folder with overlays/ and firmware/ around {}; name it with --project",
            here.display()
        ),
    }
}

/// The user's home folder.
pub fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// A token of Cloudflare's API: `CLOUDFLARE_API_TOKEN`, or what `cloudflared tunnel login` left in the home folder.
pub fn cloudflare_token() -> Option<Value> {
    let named = std::env::var("CLOUDFLARE_API_TOKEN").ok().filter(|token| !token.is_empty());
    let login = || {
        let text = Zeroizing::new(std::fs::read_to_string(home()?.join(".cloudflared/cert.pem")).ok()?);
        crate::online::token_of_login(&text)
    };
    named.map(Value::new).or_else(login)
}

fn is_project(folder: &Path) -> bool {
    folder.join("overlays").is_dir() && folder.join("firmware").is_dir()
}

/// `folder` as seen from `here`, where that is shorter.
fn shortest(folder: &Path, here: &Path) -> PathBuf {
    match folder.strip_prefix(here) {
        Ok(inside) if inside.as_os_str().is_empty() => PathBuf::from("."),
        Ok(inside) => inside.to_owned(),
        Err(_) => folder.to_owned(),
    }
}

/// `--cache`, or `boxwright` in the user's cache folder by the XDG base directory specification.
pub(super) fn cache(global: &Global) -> anyhow::Result<PathBuf> {
    if let Some(cache) = &global.cache {
        return std::path::absolute(cache).with_context(|| format!("finding {}", cache.display()));
    }
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache"))) {
        Some(folder) => Ok(folder.join("boxwright")),
        None => bail!("there is no home folder to keep a cache in; name one with --cache"),
    }
}
