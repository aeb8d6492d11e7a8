//! A repository with a recipe in it, and the runners that run the recipe's steps.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_yaml_ng::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_boxwright");

/// What GitLab's runner sets before a script, where the image has bash.
const GITLABS: [&str; 3] = ["bash", "-eo", "pipefail"];

/// A repository with one box in it, and the stand-ins.
pub struct Repository {
    folder: tempfile::TempDir,
    pub base: String,
}

impl Repository {
    pub fn new(ci: &str) -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap(), base: String::new() };
        for folder in ["overlays", "firmware", "profiles"] {
            fs::create_dir_all(made.root().join(folder)).unwrap();
            fs::write(made.root().join(folder).join("README"), "").unwrap();
        }
        made.add_box("attic");
        fs::write(made.root().join("profiles/example.toml"), "no box: it has no lock").unwrap();
        fs::write(made.root().join(".gitignore"), "/out/\n/changes.md\n/comment.md\n/moved.md\n").unwrap();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recipes");
        let programs = made.folder.path().join("bin");
        fs::create_dir(&programs).unwrap();
        symlink(own.join("boxwright"), programs.join("boxwright")).unwrap();
        for name in ["gh", "sudo", "git", "curl"] {
            symlink(own.join("outside"), programs.join(name)).unwrap();
        }
        let output = made.program(&["new", "--ci", ci]);
        assert!(output.status.success(), "{output:?}");
        made.sh("git init --quiet --initial-branch main && git config user.name ada && git config user.email ada@example.com");
        made.commit();
        fs::write(made.root().join("profiles/attic.toml"), "two").unwrap();
        made.commit();
        let base = made.sh("git rev-parse HEAD~1");
        Self { base: base.trim().to_owned(), ..made }
    }

    pub fn add_box(&self, name: &str) {
        fs::write(self.root().join(format!("profiles/{name}.toml")), "one").unwrap();
        fs::write(self.root().join(format!("profiles/{name}.lock")), "old\n").unwrap();
    }

    pub fn commit(&self) {
        self.sh("git add --all && git commit --quiet --message more");
    }

    pub fn root(&self) -> PathBuf {
        let root = self.folder.path().join("repository");
        fs::create_dir_all(&root).unwrap();
        root
    }

    pub fn program(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM).args(arguments).current_dir(self.root()).output().unwrap()
    }

    /// Runs a step as its runner does: `shell` with a file.
    fn step(&self, shell: &[&str], text: &str, environment: &[(&str, &str)]) -> Output {
        let folder = self.folder.path();
        let path = format!("{}:/usr/bin:/bin", folder.join("bin").display());
        fs::write(folder.join("step"), text).unwrap();
        Command::new(shell[0])
            .args(&shell[1..])
            .arg(folder.join("step"))
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
            .unwrap()
    }

    /// What a command of the test's own prints.
    pub fn sh(&self, text: &str) -> String {
        let output = self.step(&["sh", "-e"], text, &[]);
        assert!(output.status.success(), "{text}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// GitHub's workflow.
    pub fn workflow(&self) -> Value {
        let text = fs::read_to_string(self.root().join(".github/workflows/boxes.yml")).unwrap();
        serde_yaml_ng::from_str(&text).unwrap()
    }

    /// GitLab's jobs.
    pub fn jobs(&self) -> BTreeMap<String, Value> {
        let text = fs::read_to_string(self.root().join("ci/boxes.gitlab.yml")).unwrap();
        serde_yaml_ng::from_str(&text).unwrap()
    }

    /// Runs a job of GitHub's until a step fails.
    ///
    /// # Errors
    /// With the text of that step.
    pub fn github(&self, job: &str, environment: &[(&str, &str)]) -> Result<(), String> {
        let workflow = self.workflow();
        let given = [
            ("BASE", self.base.as_str()),
            ("NUMBER", "7"),
            ("GH_TOKEN", "x"),
            ("RUN", "https://example.com/1"),
        ];
        for step in workflow["jobs"][job]["steps"].as_sequence().unwrap() {
            let Some(text) = step["run"].as_str() else { continue };
            let shell = [step, &workflow["jobs"][job]["defaults"]["run"], &workflow["defaults"]["run"]]
                .into_iter()
                .find_map(|place| place["shell"].as_str());
            let output = self.step(githubs(shell), text, &[&given, environment].concat());
            if !output.status.success() {
                return Err(format!("{text}\n{output:?}"));
            }
        }
        Ok(())
    }

    /// Runs a job of GitLab's; what it prints.
    ///
    /// # Errors
    /// With what it prints, if it fails.
    pub fn gitlab(&self, job: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let given = [
            ("CI_MERGE_REQUEST_DIFF_BASE_SHA", self.base.as_str()),
            ("CI_MERGE_REQUEST_IID", "7"),
            ("CI_API_V4_URL", "https://git.example.com/api/v4"),
            ("CI_PROJECT_ID", "12"),
            ("CI_JOB_URL", "https://git.example.com/ada/boxes/-/jobs/1"),
            ("CI_SERVER_HOST", "git.example.com"),
            ("CI_PROJECT_PATH", "ada/boxes"),
        ];
        // A runner joins the lines of a job in one shell.
        let jobs = self.jobs();
        let lines: Vec<&str> =
            jobs[job]["script"].as_sequence().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let output = self.step(&GITLABS, &lines.join("\n"), &[&given, environment].concat());
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(format!("{output:?}")),
        }
    }

    /// A file that a step or a stand-in wrote.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// What the program was asked, each put to the real one as far as its words go.
    pub fn asked(&self) -> Vec<String> {
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

/// What GitHub runs for the `shell` of a step, as its page "Workflow syntax" has it.
fn githubs(shell: Option<&str>) -> &'static [&'static str] {
    match shell {
        None => &["bash", "-e"],
        Some("bash") => &["bash", "--noprofile", "--norc", "-eo", "pipefail"],
        Some("sh") => &["sh", "-e"],
        Some(other) => panic!("the test does not know what GitHub runs for {other}"),
    }
}

/// Folders that are made anew each time.
fn short(word: &str) -> &str {
    match word.strip_prefix("/tmp/") {
        Some(rest) => rest.split_once('/').map_or(rest, |(_, rest)| rest),
        None => word,
    }
}
