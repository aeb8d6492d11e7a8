//! The rendered files on a real root filesystem: read back by the programs that read them on a box, and the firewall probed
//! with packets.
//!
//! Both need root, python3 and a root filesystem with a box's packages: the folder that BOXWRIGHT_TEST_ROOT names, or
//! else the one out of the image of the profile `minimal`. Without one of these they are skipped, and say so.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "BOXWRIGHT_TEST_ROOT is read from the environment")]

#[path = "support/built.rs"]
mod built;
#[path = "support/profiles.rs"]
mod profiles;

use std::path::{Path, PathBuf};

use boxwright::tool::Tool;

/// The root filesystem to try things on, or why there is none.
fn root() -> Result<PathBuf, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can make these namespaces".to_owned());
    }
    if let Some(named) = std::env::var_os("BOXWRIGHT_TEST_ROOT") {
        return Ok(PathBuf::from(named));
    }
    built::root().ok_or_else(|| "no image can be built here".to_owned())
}

/// Runs a program of tests/ with the root and what each shipped profile renders to.
fn try_on_root(interpreter: &str, program: &str) {
    let root = match root() {
        Ok(root) => root,
        Err(reason) => {
            eprintln!("skipped {program}: {reason}");
            return;
        }
    };
    for name in profiles::shipped() {
        let folder = tempfile::tempdir().unwrap();
        let rendered = folder.path().join("rendered");
        profiles::rendered(&name).write_to(&rendered).unwrap();
        let output = Tool::new(interpreter)
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .args([profiles::project().join(program).as_path(), &root, Path::new(&rendered)])
            .output();
        match output {
            Ok(lines) => {
                let lines = String::from_utf8_lossy(&lines);
                for line in
                    lines.lines().filter(|line| line.starts_with("skip ") || line.contains(" passed, "))
                {
                    eprintln!("{name}: {line}");
                }
            }
            Err(error) => panic!("{name}: {error:#}"),
        }
    }
}

#[test]
fn every_program_accepts_its_files() {
    try_on_root("sh", "tests/readback/readback.sh");
}

#[test]
fn the_firewall_lets_through_what_the_profile_says_and_nothing_else() {
    try_on_root("python3", "tests/firewall/firewall.py");
}
