//! What `boxwright boot --until ready` says of a box, and its exit codes.

use std::process::Command;

use crate::harness::Bench;
use crate::support::built;
use crate::{disks, secrets};

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
    let media = disks::media(&bench);
    let secrets = secrets::file(&disk.folder, "");
    let [media, secrets] = [&media, &secrets].map(|path| path.to_str().unwrap());

    let (code, said) = boot(&bench, &["--until", "ready", "--timeout", "1"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the time is over"), "{said}");

    let words = [
        "--until",
        "ready",
        "--timeout",
        "1800",
        "--disk",
        media,
        "--secrets",
        secrets,
        "--profile",
        PROFILE,
    ];
    let (code, said) = boot(&bench, &words);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the box is ready"), "{said}");
}

#[test]
fn a_box_without_secrets_runs_what_needs_none_and_says_what_is_missing() {
    let Some(bench) = Bench::with_containers(PROFILE) else { return };
    let media = disks::media(&bench);
    let words = ["--until", "ready", "--timeout", "1800", "--disk", media.to_str().unwrap()];
    let (code, said) = boot(&bench, &words);
    assert_eq!(code, Some(1), "{said}");
    let verdict = said
        .lines()
        .rev()
        .find(|line| line.contains("the box is not ready"))
        .unwrap_or_else(|| panic!("{said}"));
    for service in ["cloudflared", "gluetun", "qbittorrent"] {
        assert!(verdict.contains(service), "{service} is not in {verdict}");
    }
    for service in ["uptime-kuma", "srv-media"] {
        assert!(!verdict.contains(service), "{service} is in {verdict}");
    }
    for line in
        ["the secret cloudflared/tunnel is missing", "the secret gluetun/wireguard-private-key is missing"]
    {
        assert!(said.contains(line), "the console does not say {line:?}:\n{said}");
    }
}
