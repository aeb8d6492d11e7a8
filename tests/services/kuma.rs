//! Uptime Kuma as its setup leaves it, and what it is told afterwards: against the real one where its sources can be had, and
//! always against a stand-in.
#![allow(clippy::disallowed_methods, reason = "npm needs the environment that it is installed in")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Result;
use boxwright::atomic::publish_dir;
use boxwright::plan::Plan;
use boxwright::tool::Tool;
use rustix::fs::{FlockOperation, flock};

use super::{checked, project, rendered, written};

/// What a run prints, one line a thing that holds.
const HOLD: usize = 15;

/// A box with everything, backups, and every way that alerts go.
fn full() -> String {
    let more = r#"
[backup]
at = "03:00"
to = [{ disk = "media" }]

[alerts]
to   = ["pushbullet", "ntfy", "mail"]
ntfy = { server = "https://ntfy.example.com" }
mail = { host = "mail.example.com", from = "box@example.com", user = "box" }
"#;
    without_alerts().join("\n") + more
}

/// `every.toml` without what it says of alerts.
fn without_alerts() -> Vec<&'static str> {
    let lines = include_str!("every.toml").lines();
    lines.filter(|line| !line.starts_with("[alerts]") && !line.starts_with("mail ")).collect()
}

/// The same box later, without backups and some of its services and alerts, and with another name for the page.
fn less() -> String {
    let kept = |line: &&str| !["plex ", "diun "].iter().any(|gone| line.starts_with(gone));
    let lines: Vec<&str> = without_alerts().into_iter().filter(kept).collect();
    let alerts = "\n\n[alerts]\nto = [\"pushbullet\"]\n";
    lines.join("\n").replace("page = \"status\"", "page = \"health\"") + alerts
}

/// Runs the script against the application that `sources` are of, or the stand-in.
fn run(sources: Option<&Path>) {
    let trees = [full(), less()].map(|text| {
        let profile = checked(&text);
        let plan = Plan::new(&profile, profile.catalog()).unwrap();
        written(&rendered(&profile, &plan))
    });
    let path = std::env::var("PATH").unwrap_or_default();
    let run = Tool::new("python3").arg("-B").arg(project().join("tests/services/kuma.py"));
    let run = run.args(trees.iter().map(tempfile::TempDir::path)).args(sources).env("PATH", path);
    let said = match run.output() {
        Err(error) if error.to_string().starts_with("starting") => return eprintln!("SKIPPED: {error}"),
        said => String::from_utf8(said.unwrap_or_else(|error| panic!("{error:#}"))).unwrap(),
    };
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), HOLD, "{said}");
}

#[test]
fn a_stand_in_of_uptime_kuma_is_set_up_and_told() {
    run(None);
}

#[test]
fn the_real_uptime_kuma_is_set_up_and_told() {
    match sources() {
        Ok(sources) => run(Some(&sources)),
        Err(error) => eprintln!("SKIPPED: Uptime Kuma cannot be had here: {error:#}"),
    }
}

/// The sources of the version that boxes run, with what they need, kept in `out/test-tools/uptime-kuma`. It is no package: its
/// author publishes it on GitHub alone, and what it needs are packages of npm, by its own lock.
fn sources() -> Result<PathBuf> {
    let profile = super::every();
    let image = &profile.catalog().get("uptime-kuma").unwrap().containers["uptime-kuma"].image;
    let version = image.rsplit(':').next().unwrap();
    let folder = project().join("out/test-tools/uptime-kuma");
    fs::create_dir_all(&folder)?;
    // One test program at a time: the others find it there.
    let guard = File::create(folder.join("guard"))?;
    flock(&guard, FlockOperation::LockExclusive)?;
    let target = folder.join(version);
    if target.is_dir() {
        return Ok(target);
    }
    let unfinished = tempfile::tempdir_in(&folder)?;
    let clone = ["clone", "--quiet", "--depth=1", "--branch", version];
    let from = "https://github.com/louislam/uptime-kuma.git";
    tool("git").args(clone).arg(from).arg(unfinished.path()).run()?;
    let install = ["ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"];
    tool("npm").args(install).current_dir(unfinished.path()).run()?;
    // What its pages look like is built by tools that are none of its dependencies; the server only wants a page to be there.
    fs::create_dir_all(unfinished.path().join("dist"))?;
    fs::write(
        unfinished.path().join("dist/index.html"),
        "<html><head><title></title></head><body></body></html>",
    )?;
    publish_dir(&unfinished.keep(), &target)?;
    Ok(target)
}

/// A program of the machine, as its user runs it.
fn tool(program: &str) -> Tool {
    std::env::vars_os().fold(Tool::new(program), |tool, (key, value)| tool.env(key, value))
}
