//! What `boxwright new --ci` writes: each step of it is run in a repository of its own, with the shell of its runner, and
//! actionlint reads GitHub's. The program, gh and `git push` are stand-ins; what the program is asked is put to the real one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "the steps need a PATH")]

#[path = "support/go.rs"]
mod go;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_yaml_ng::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_boxwright");

/// A repository with one box in it, and the stand-ins.
struct Repository {
    folder: tempfile::TempDir,
    base: String,
}

impl Repository {
    fn new(ci: &str) -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap(), base: String::new() };
        for folder in ["overlays", "firmware", "profiles"] {
            fs::create_dir_all(made.root().join(folder)).unwrap();
            fs::write(made.root().join(folder).join("README"), "").unwrap();
        }
        fs::write(made.root().join("profiles/attic.toml"), "one").unwrap();
        fs::write(made.root().join("profiles/example.toml"), "no box: it has no lock").unwrap();
        fs::write(made.root().join("profiles/attic.lock"), "old\n").unwrap();
        fs::write(made.root().join(".gitignore"), "/out/\n/changes.md\n/moved.md\n").unwrap();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recipes");
        let programs = made.folder.path().join("bin");
        fs::create_dir(&programs).unwrap();
        symlink(own.join("boxwright"), programs.join("boxwright")).unwrap();
        for name in ["gh", "sudo", "git"] {
            symlink(own.join("outside"), programs.join(name)).unwrap();
        }
        let output = made.program(&["new", "--ci", ci]);
        assert!(output.status.success(), "{output:?}");
        made.step("git init --quiet --initial-branch main && git config user.name ada && git config user.email ada@example.com", &[]);
        made.step("git add --all && git commit --quiet --message one", &[]);
        fs::write(made.root().join("profiles/attic.toml"), "two").unwrap();
        made.step("git commit --quiet --all --message two", &[]);
        let base = made.step("git rev-parse HEAD~1", &[]);
        Self { base: base.trim().to_owned(), ..made }
    }

    fn root(&self) -> PathBuf {
        let root = self.folder.path().join("repository");
        fs::create_dir_all(&root).unwrap();
        root
    }

    fn program(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM).args(arguments).current_dir(self.root()).output().unwrap()
    }

    /// Runs a step as its runner does; what it prints.
    fn step(&self, text: &str, environment: &[(&str, &str)]) -> String {
        let folder = self.folder.path();
        let path = format!("{}:/usr/bin:/bin", folder.join("bin").display());
        let output = Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", text])
            .current_dir(self.root())
            .env_clear()
            .env("PATH", path)
            .env("RECORD", folder.join("record"))
            .env("BOXWRIGHT", folder.join("bin/boxwright"))
            .env("BOXWRIGHT_CACHE", "the cache")
            .env("RUNNER_TEMP", folder)
            .env("GITHUB_STEP_SUMMARY", folder.join("summary"))
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{text}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// What the program was asked, each put to the real one as far as its words go.
    fn asked(&self) -> Vec<String> {
        let record = self.read("record");
        let lines: Vec<String> = record.lines().map(|line| line.replace("--cache the cache ", "")).collect();
        assert_eq!(record.matches("--cache the cache ").count(), lines.len(), "{record}");
        for line in &lines {
            let words: Vec<&str> = line.split(' ').chain(["--help"]).collect();
            let output = self.program(&words);
            assert!(output.status.success(), "the program does not know `{line}`: {output:?}");
        }
        lines.iter().map(|line| line.split(' ').map(short).collect::<Vec<_>>().join(" ")).collect()
    }
}

/// Folders that are made anew each time.
fn short(word: &str) -> &str {
    match word.strip_prefix("/tmp/") {
        Some(rest) => rest.split_once('/').map_or("OLD", |(_, rest)| rest),
        None => word,
    }
}

const CHECKED: [&str; 2] = ["check profiles/attic.toml", "lock profiles/attic.toml --check"];
const COMPARED: &str = "diff before/profiles/attic.toml profiles/attic.toml --markdown";
const BUILT: [&str; 3] = ["build profiles/attic.toml", "verify out/attic.img", "cache prune --keep 14"];
const UPDATED: [&str; 2] = ["lock profiles/attic.toml --update", "diff OLD profiles/attic.lock --markdown"];

/// The steps of a job that are commands, by its definition.
fn steps(job: &Value) -> Vec<String> {
    let steps = job["steps"].as_sequence().unwrap();
    steps.iter().filter_map(|step| Some(step["run"].as_str()?.to_owned())).collect()
}

#[test]
fn githubs_steps_do_what_they_say() {
    let repository = Repository::new("github");
    let text = fs::read_to_string(repository.root().join(".github/workflows/boxes.yml")).unwrap();
    let jobs: BTreeMap<String, Value> =
        serde_yaml_ng::from_value(serde_yaml_ng::from_str::<Value>(&text).unwrap()["jobs"].clone()).unwrap();
    for step in steps(&jobs["build"]) {
        repository.step(&step, &[("BASE", &repository.base), ("NUMBER", "7"), ("GH_TOKEN", "x")]);
    }
    for step in steps(&jobs["update"]) {
        repository.step(&step, &[("GH_TOKEN", "x")]);
    }
    assert_eq!(repository.asked(), [&CHECKED[..], &[COMPARED], &BUILT, &UPDATED].concat());
    assert_eq!(repository.read("summary"), "## attic\n\n- nothing moved\n\n");
    assert_eq!(repository.read("moved.md"), "## attic\n\n- nothing moved\n\n");
    let outside = repository.read("record.outside");
    for said in [
        "gh pr comment 7 --body-file changes.md",
        "git push --quiet --force origin newer-packages",
        "gh pr create",
    ] {
        assert!(outside.contains(said), "{outside}");
    }
    assert_eq!(
        repository.step("git show --name-only --format=%s newer-packages", &[]).trim(),
        "Newer packages and images\n\nprofiles/attic.lock"
    );
    assert_eq!(repository.step("git worktree list | wc -l", &[]).trim(), "1", "a worktree is left");
}

#[test]
fn gitlabs_steps_do_what_they_say() {
    let repository = Repository::new("gitlab");
    let text = fs::read_to_string(repository.root().join("ci/boxes.gitlab.yml")).unwrap();
    let jobs: BTreeMap<String, Value> = serde_yaml_ng::from_str(&text).unwrap();
    let environment = [
        ("CI_MERGE_REQUEST_DIFF_BASE_SHA", repository.base.as_str()),
        ("CI_SERVER_HOST", "git.example.com"),
        ("CI_PROJECT_PATH", "ada/boxes"),
        ("BOXES_TOKEN", "glpat-x"),
    ];
    for name in ["boxes", "boxes-update"] {
        let script = jobs[name]["script"].as_sequence().unwrap();
        // A runner joins the lines of a job in one shell.
        let lines: Vec<&str> = script.iter().map(|line| line.as_str().unwrap()).collect();
        repository.step(&lines.join("\n"), &environment);
    }
    assert_eq!(repository.asked(), [&CHECKED[..], &[COMPARED], &BUILT, &UPDATED].concat());
    let outside = repository.read("record.outside");
    assert!(
        outside.contains("https://boxes:glpat-x@git.example.com/ada/boxes.git HEAD:newer-packages"),
        "{outside}"
    );
    assert!(outside.contains("merge_request.create"), "{outside}");
}

#[test]
fn what_somebody_changed_stays() {
    let repository = Repository::new("shell");
    let script = repository.root().join("ci/boxes.sh");
    assert_ne!(fs::metadata(&script).unwrap().permissions().mode() & 0o111, 0);
    assert!(repository.program(&["new", "--ci", "shell"]).status.success(), "the same again changes nothing");
    fs::write(&script, "changed").unwrap();
    let output = repository.program(&["new", "--ci", "github"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("ci/boxes.sh is there already"), "{output:?}");
    assert_eq!(fs::read_to_string(&script).unwrap(), "changed");
    assert!(!repository.root().join(".github").exists(), "nothing is written by halves");
}

#[test]
fn actionlint_finds_nothing() {
    let Some(actionlint) = go::program("github.com/rhysd/actionlint", "./cmd/actionlint", "v1.7.7") else {
        return;
    };
    let repository = Repository::new("github");
    let workflow = repository.root().join(".github/workflows/boxes.yml");
    // With shellcheck, where it is installed.
    let lint = || Command::new(&actionlint).arg("-no-color").arg(&workflow).output().unwrap();
    let output = lint();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = fs::read_to_string(&workflow).unwrap();
    fs::write(&workflow, text.replace("runs-on:", "run-on:")).unwrap();
    assert!(!lint().status.success(), "it notices nothing at all");
}
