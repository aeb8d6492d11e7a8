//! What `boxwright new --ci` writes: each step of it is run in a repository of its own, with the shell that it asks for, and
//! actionlint reads GitHub's. The program, gh, curl and `git push` are stand-ins; what the program is asked is put to the real
//! one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "the steps need a PATH")]

#[path = "support/go.rs"]
mod go;
#[path = "recipes/runner.rs"]
mod runner;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use runner::Repository;
use serde_yaml_ng::Value;

const CHECKED: [&str; 2] = ["check profiles/attic.toml", "lock profiles/attic.toml --check"];
const BUILT: [&str; 3] =
    ["build profiles/attic.toml --compress", "verify out/attic.img", "cache prune --keep 14"];
const COMPARED: &str = "diff before/profiles/attic.toml profiles/attic.toml --markdown";
const UPDATED: &str = "lock profiles/attic.toml --update";
const MOVED: &str = "diff attic.lock profiles/attic.lock --markdown";

/// What a pull request says of its box: the CVEs too, as the new packages are in the cache by then.
const CHANGES: &str = "## attic\n\n- fixes CVE-2026-0001\n\n";

/// What a pull request with newer packages says.
const PROPOSED: &str = "Built and verified: each of these boxes was built from its new lock, and once more, with the same \
                        bytes.\n\n## attic\n\n- fixes CVE-2026-0001\n\n";

fn everything() -> Vec<&'static str> {
    [&CHECKED[..], &BUILT, &[COMPARED, UPDATED], &BUILT, &[MOVED]].concat()
}

#[test]
fn githubs_steps_do_what_they_say() {
    let repository = Repository::new("github");
    repository.github("build", &[]).unwrap();
    assert_eq!(repository.read("summary"), CHANGES);
    assert_eq!(repository.read("record.body"), CHANGES);
    repository.github("update", &[]).unwrap();
    assert_eq!(repository.read("record.body"), PROPOSED);
    assert_eq!(repository.asked(), everything());
    let outside = repository.read("record.outside");
    for said in
        ["gh pr comment 7 --body-file", "git push --quiet --force origin newer-packages", "gh pr create"]
    {
        assert!(outside.contains(said), "{outside}");
    }
    assert_eq!(
        repository.sh("git show --name-only --format=%s newer-packages").trim(),
        "Newer packages and images\n\nprofiles/attic.lock"
    );
    assert_eq!(repository.sh("git worktree list | wc -l").trim(), "1", "a worktree is left");
}

#[test]
fn gitlabs_steps_do_what_they_say() {
    let repository = Repository::new("gitlab");
    let token = [("BOXES_TOKEN", "glpat-x")];
    let printed = repository.gitlab("boxes", &token).unwrap();
    assert!(printed.ends_with(CHANGES), "{printed}");
    repository.gitlab("boxes-update", &token).unwrap();
    assert_eq!(repository.asked(), everything());
    assert_eq!(
        repository.read("record.description"),
        format!("merge_request.description={}", PROPOSED.replace('\n', "\\n"))
    );
    let outside = repository.read("record.outside");
    assert!(
        outside.contains("https://boxes:glpat-x@git.example.com/ada/boxes.git HEAD:newer-packages"),
        "{outside}"
    );
    assert!(outside.contains("merge_request.create"), "{outside}");
}

#[test]
fn gitlabs_merge_requests_get_a_note_where_a_token_is() {
    for (token, used) in [
        (&[("BOXES_TOKEN", "glpat-x")][..], "glpat-x"),
        (&[("BOXES_TOKEN", "glpat-x"), ("BOXES_COMMENT_TOKEN", "glpat-y")], "glpat-y"),
    ] {
        let repository = Repository::new("gitlab");
        repository.gitlab("boxes", token).unwrap();
        let outside = repository.read("record.outside");
        let asked = format!(
            "curl --fail --silent --show-error --output /dev/null --header PRIVATE-TOKEN: {used} \
             --data-urlencode body@comment.md https://git.example.com/api/v4/projects/12/merge_requests/7/notes\n"
        );
        assert_eq!(outside, asked);
        assert_eq!(repository.read("record.body"), CHANGES);
    }
    let repository = Repository::new("gitlab");
    let printed = repository.gitlab("boxes", &[]).unwrap();
    assert!(
        printed.contains("gets no note of this: neither BOXES_COMMENT_TOKEN nor BOXES_TOKEN"),
        "{printed}"
    );
    assert_eq!(repository.read("record.outside"), "");
}

#[test]
fn what_fails_fails_its_step() {
    for verb in ["check", "build", "verify", "diff"] {
        let repository = Repository::new("github");
        let failed = repository.github("build", &[("FAIL", verb)]);
        let outside = repository.read("record.outside");
        assert!(failed.is_err() && !outside.contains("gh pr"), "{verb}: {failed:?} {outside}");
        let repository = Repository::new("gitlab");
        let failed = repository.gitlab("boxes", &[("FAIL", verb), ("BOXES_TOKEN", "glpat-x")]);
        assert!(failed.is_err() && repository.read("record.outside").is_empty(), "{verb}: {failed:?}");
    }
}

#[test]
fn what_cannot_be_built_is_not_proposed() {
    for verb in ["lock", "build", "verify", "diff"] {
        let repository = Repository::new("github");
        let failed = repository.github("update", &[("FAIL", verb)]);
        let outside = repository.read("record.outside");
        assert!(failed.is_err() && !outside.contains("push"), "{verb}: {failed:?} {outside}");
        let repository = Repository::new("gitlab");
        let failed = repository.gitlab("boxes-update", &[("FAIL", verb), ("BOXES_TOKEN", "glpat-x")]);
        assert!(failed.is_err() && repository.read("record.outside").is_empty(), "{verb}: {failed:?}");
    }
}

#[test]
fn comments_end_at_a_box_before_they_are_too_long() {
    let boxes = ["attic", "barn", "cellar", "den"];
    let long = [("LONG", "25000"), ("BOXES_TOKEN", "glpat-x")];
    let github = Repository::new("github");
    let gitlab = Repository::new("gitlab");
    for repository in [&github, &gitlab] {
        boxes.iter().for_each(|name| repository.add_box(name));
        repository.commit();
    }
    let check = |body: &str, whole: usize, rest: &str| {
        assert_eq!(body.matches("\n- fixes CVE-2026-0001\n").count(), whole);
        assert_eq!(body.matches('x').count() / 25_000, whole);
        let end =
            format!("**Too long for a comment: {} more.** All of it is in {rest}.", boxes.len() - whole);
        assert_eq!(body.trim_end().lines().last().unwrap(), end);
    };
    // A box that is new is no long one: compared with what has all of them.
    let base = github.sh("git rev-parse HEAD");
    github.github("build", &[&long[..], &[("BASE", base.trim())]].concat()).unwrap();
    let run = "[the run](https://example.com/1): its summary, and `changes.md` beside the images";
    check(&github.read("record.body"), 2, run);
    assert_eq!(github.read("summary").matches("## ").count(), boxes.len());
    github.github("update", &long).unwrap();
    check(&github.read("record.body"), 2, "the summary of [the run](https://example.com/1)");
    assert_eq!(github.read("moved.md").matches("## ").count(), boxes.len());

    let base = gitlab.sh("git rev-parse HEAD");
    let environment = [&long[..], &[("CI_MERGE_REQUEST_DIFF_BASE_SHA", base.trim())]].concat();
    gitlab.gitlab("boxes", &environment).unwrap();
    check(
        &gitlab.read("record.body"),
        2,
        "`changes.md` of [the job](https://git.example.com/ada/boxes/-/jobs/1)",
    );
    gitlab.gitlab("boxes-update", &long).unwrap();
    let description = gitlab.read("record.description").replace("\\n", "\n");
    check(&description, 1, "`moved.md` of [the job](https://git.example.com/ada/boxes/-/jobs/1)");
}

#[test]
fn boxes_that_come_and_go_are_named() {
    let repository = Repository::new("github");
    for name in ["barn", "cellar"] {
        repository.add_box(name);
    }
    repository.commit();
    let base = repository.sh("git rev-parse HEAD");
    // One goes with its profile, one stays as an example, and an example becomes a box.
    repository.sh("rm profiles/barn.* profiles/cellar.lock; echo old >profiles/example.lock");
    repository.github("build", &[("BASE", base.trim())]).unwrap();
    assert_eq!(
        repository.read("record.body"),
        format!(
            "{CHANGES}## example\n\nThis box is new.\n\n## barn\n\nThis box is gone.\n\n## cellar\n\nThis box is gone.\n\n"
        )
    );
}

#[test]
fn what_is_handed_out_is_packed() {
    let all = "img.bmap img.zst cdx.json lock manifest.json provenance.json spdx.json SHA256SUMS changes.md";
    let mut expected: Vec<&str> = all.split(' ').collect();
    expected.sort_unstable();

    let github = Repository::new("github");
    github.github("build", &[]).unwrap();
    let workflow = github.workflow();
    let steps = workflow["jobs"]["build"]["steps"].as_sequence().unwrap();
    let upload =
        steps.iter().find(|step| step["uses"].as_str().is_some_and(|uses| uses.contains("upload"))).unwrap();
    let (without, with): (Vec<&str>, Vec<&str>) =
        upload["with"]["path"].as_str().unwrap().lines().partition(|line| line.starts_with('!'));
    let without: Vec<&str> = without.iter().map(|line| &line[1..]).collect();
    assert_eq!(kept(&github, &with, &without), expected);

    let gitlab = Repository::new("gitlab");
    gitlab.gitlab("boxes", &[]).unwrap();
    let artifacts = gitlab.jobs()["boxes"]["artifacts"].clone();
    let [with, without] = ["paths", "exclude"].map(|key| {
        let lines = artifacts[key].as_sequence().unwrap();
        lines.iter().map(|line| Value::as_str(line).unwrap().to_owned()).collect::<Vec<_>>()
    });
    let [with, without] = [&with, &without].map(|lines| lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(kept(&gitlab, &with, &without), expected);
}

/// The ends of the names of the files that these patterns of a shell, which GitHub's and GitLab's are as far as these go,
/// name `with` but not `without`.
fn kept(repository: &Repository, with: &[&str], without: &[&str]) -> Vec<String> {
    let files = |patterns: &[&str]| {
        let text = repository.sh(&format!("find {} -type f 2>/dev/null || :", patterns.join(" ")));
        text.lines().map(|line| line.trim_start_matches("out/").replace("attic.", "")).collect::<Vec<_>>()
    };
    let without = files(without);
    let mut left = files(with);
    left.retain(|name| !without.contains(name));
    left.sort_unstable();
    left
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
