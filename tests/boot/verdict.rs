//! What `boxwright boot --until ready` says of a box, and its exit codes.

use std::process::Command;

use crate::harness::Bench;
use crate::support::built;
use crate::{profiles, secrets};

/// A small box, since each of these is a first start.
const PROFILE: &str = "tests/boot/verdict.toml";

/// `boxwright boot` with these arguments: its exit code, and what it wrote to standard error.
fn boot(bench: &Bench, arguments: &[&str]) -> (Option<i32>, String) {
    let cache = built::folder().join("cache");
    let mut command = Command::new(built::PROGRAM);
    command.arg("--cache").arg(cache).arg("boot").arg(bench.image()).args(arguments);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_program_says_that_a_box_is_ready_or_what_is_missing() {
    let Some(bench) = Bench::with_containers(PROFILE) else { return };
    let disk = bench.disk("unused");
    let secrets = secrets::file_for(&disk.folder, &profiles::project().join(PROFILE));

    let (code, said) = boot(&bench, &["--until", "ready", "--timeout", "1"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the time is over"), "{said}");

    let secrets = secrets.to_str().unwrap();
    let words = ["--until", "ready", "--timeout", "1800", "--secrets", secrets, "--profile", PROFILE];
    let (code, said) = boot(&bench, &words);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the box is ready"), "{said}");
    // On a desk it joins no tunnel: only --live hands that out.
    assert!(said.contains("(a rehearsal: no tunnel"), "{said}");
}

#[test]
fn a_box_without_secrets_runs_what_needs_none_and_says_what_is_missing() {
    let Some(bench) = Bench::with_containers(PROFILE) else { return };
    let (code, said) = boot(&bench, &["--until", "ready", "--timeout", "1800"]);
    assert_eq!(code, Some(1), "{said}");
    let verdict = said
        .lines()
        .rev()
        .find(|line| line.contains("the box is not ready"))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(verdict.contains("cloudflared"), "cloudflared is not in {verdict}");
    assert!(!verdict.contains("uptime-kuma"), "uptime-kuma is in {verdict}");
    for line in ["the secret cloudflared/tunnel is missing", "the secret box/ssh-tunnel is missing"] {
        assert!(said.contains(line), "the console does not say {line:?}:\n{said}");
    }
}
