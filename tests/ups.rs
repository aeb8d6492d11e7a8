//! What a profile with a UPS renders to, under Debian 13's own NUT: a power cut with a UPS that NUT plays.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

#[allow(dead_code, reason = "not all of it is used here")]
#[path = "support/profiles.rs"]
mod profiles;
#[path = "support/trixie.rs"]
mod trixie;

use boxwright::tool::Tool;

/// NUT, and what its programs need that not every machine has in Debian 13's version.
const PACKAGES: [&str; 10] = [
    "nut-server",
    "nut-client",
    "libupsclient6t64",
    "libc6",
    "libcap2",
    "libnspr4",
    "libnss3",
    "libsystemd0",
    "libudev1",
    "libusb-1.0-0",
];

#[test]
fn a_power_cut_is_told_and_ends_in_a_shutdown() {
    let unpacked: Option<Vec<_>> = PACKAGES.into_iter().map(trixie::unpacked).collect();
    let Some(packages) = unpacked else {
        eprintln!("SKIPPED: apt cannot fetch Debian 13's nut-server here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let rendered = folder.path().join("rendered");
    let profile = profiles::project().join("tests/ups/powered.toml");
    profiles::rendered_at(&profile).write_to(&rendered).unwrap();
    let run = Tool::new("python3")
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .arg("-B")
        .arg(profiles::project().join("tests/ups/nut.py"))
        .arg(&rendered)
        .args(&packages)
        .output();
    if let Err(error) = run {
        panic!("{error:#}");
    }
}
