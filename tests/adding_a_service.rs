//! The page for newcomers, followed to the letter: its files are written, its commands run, and what it shows is what is said.
//!
//! `SNAPSHOTS=overwrite cargo test --test adding_a_service` writes into the page what is said now.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "the page is followed as people do")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = "overlays/services/ADDING.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A fenced block of the page.
struct Block {
    language: String,
    /// The file that the text before it says to write.
    file: Option<String>,
    /// Its lines in the page, without the fences.
    lines: std::ops::Range<usize>,
}

fn blocks(lines: &[&str]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut from = 0;
    while let Some(start) = (from..lines.len()).find(|at| lines[*at].starts_with("```")) {
        let end = (start + 1..lines.len()).find(|at| lines[*at] == "```").expect("a fence that ends");
        let before = lines[..start].iter().rev().find(|line| !line.is_empty());
        let file = before.and_then(|line| line.strip_prefix("Write `")?.strip_suffix("`:"));
        let language = lines[start].trim_start_matches('`').to_owned();
        blocks.push(Block { language, file: file.map(str::to_owned), lines: start + 1..end });
        from = end + 1;
    }
    blocks
}

/// Whether `said` is what is `shown`, where `...` stands for any lines.
fn matches(shown: &[&str], said: &[&str]) -> bool {
    match (shown, said) {
        ([], []) => true,
        (["...", rest @ ..], _) => (0..=said.len()).any(|from| matches(rest, &said[from..])),
        ([one, shown @ ..], [other, said @ ..]) => one == other && matches(shown, said),
        _ => false,
    }
}

/// A copy of what a newcomer has: the project without its program, which is found by its name.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut copy = Command::new("cp");
    copy.arg("-R").args(["overlays", "profiles"]).arg(folder.path()).current_dir(root());
    assert!(copy.status().unwrap().success());
    symlink(root().join("firmware"), folder.path().join("firmware")).unwrap();
    folder
}

/// Runs `command` as a shell would; its exit code, and all that it says.
fn run(command: &str, folder: &Path) -> (Option<i32>, String) {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_boxwright"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let script = format!("exec 2>&1\n{command}\n");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(folder).env("PATH", path).env("NO_COLOR", "1");
    let output = shell.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_page_is_right_to_the_letter() {
    let text = fs::read_to_string(root().join(PAGE)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let folder = checkout();
    let mut now: Vec<String> = Vec::new();
    let mut copied = 0;
    let (mut commands, mut failures) = (0, 0);
    for block in blocks(&lines) {
        let body = &lines[block.lines.clone()];
        now.extend(lines[copied..block.lines.start].iter().map(|line| (*line).to_owned()));
        copied = block.lines.end;
        match (block.language.as_str(), &block.file) {
            ("console", None) => {
                let starts: Vec<usize> = (0..body.len()).filter(|at| body[*at].starts_with("$ ")).collect();
                for (number, start) in starts.iter().enumerate() {
                    let end = starts.get(number + 1).copied().unwrap_or(body.len());
                    let (command, shown) = (&body[*start][2..], &body[start + 1..end]);
                    let (code, said) = run(command, folder.path());
                    // What it says of a mistake is an error; nothing else may fail.
                    assert_eq!(code, Some(i32::from(said.contains("error["))), "{command}\n{said}");
                    (commands, failures) = (commands + 1, failures + i32::from(code != Some(0)));
                    now.push(body[*start].to_owned());
                    let said: Vec<&str> = said.lines().collect();
                    let right = matches(shown, &said);
                    now.extend(if right { shown } else { &said }.iter().map(|line| (*line).to_owned()));
                }
            }
            // These take the network and minutes: that the verbs are typed right is all that is shown of them here.
            ("sh", None) => {
                for line in body {
                    let (code, said) = run(&format!("{line} --help"), folder.path());
                    assert_eq!(code, Some(0), "{line}\n{said}");
                }
                now.extend(body.iter().map(|line| (*line).to_owned()));
            }
            (_, Some(file)) => {
                let path = folder.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{}\n", body.join("\n"))).unwrap();
                now.extend(body.iter().map(|line| (*line).to_owned()));
            }
            (language, None) => panic!("nobody is told what to do with a block of {language}"),
        }
    }
    now.extend(lines[copied..].iter().map(|line| (*line).to_owned()));
    assert!(commands > 10 && failures == 2, "{commands} commands, {failures} mistakes");
    let now = format!("{}\n", now.join("\n"));
    snapbox::Assert::new()
        .action_env("SNAPSHOTS")
        .eq(snapbox::Data::from(now), snapbox::Data::read_from(&root().join(PAGE), None).raw());
}
