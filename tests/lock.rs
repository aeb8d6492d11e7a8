//! Locks on the command line: what is said of one that does not fit, and what becomes of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "these tests start the program as people do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use boxwright::lock::{self, Lock};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_boxwright");

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    finished(Command::new(PROGRAM).args(["--project", ".", "--quiet"]).args(arguments))
}

fn finished(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A copy of a shipped profile, without what may lie beside that.
fn profile(name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join(name).with_extension("toml");
    fs::copy(format!("profiles/{name}.toml"), &to).unwrap();
    let path = to.to_str().unwrap().to_owned();
    (folder, path)
}

/// Puts a lock with a few packages beside `profile`, a copy of `minimal`, which is for it and for this project.
fn fitting(profile: &Path) -> PathBuf {
    let path = profile.with_extension("lock");
    let request = lock::PackageRequest {
        distribution: "debian-13".into(),
        platform: "uefi-x86_64".into(),
        packages: vec![],
        features: vec![],
    };
    let mut lock = lock::load(Path::new("tests/diff/old.lock")).unwrap().unwrap();
    lock.request = request.load(Path::new(".")).unwrap().digest();
    lock::save(&lock, &path).unwrap();
    let (code, _, stderr) = run(&["lock", "--offline", profile.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    path
}

/// Every reason why a lock does not fit is said at once, and nothing is fetched or changed.
#[test]
fn a_lock_that_does_not_fit_is_told_with_all_reasons() {
    let (_folder, servarr) = profile("servarr");
    let path = Path::new(&servarr).with_extension("lock");
    let check = || run(&["lock", "--check", "--offline", &servarr]);
    let (code, _, stderr) = check();
    assert!(code == Some(1) && stderr.contains("there is no lock"), "{stderr}");

    let untidy = fs::read_to_string("tests/diff/old.lock").unwrap() + "# merged\n";
    fs::write(&path, &untidy).unwrap();
    let (code, stdout, stderr) = check();
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    for reason in
        ["made for other packages", "lacks the container image", "is not as `boxwright lock` writes it"]
    {
        assert!(stderr.contains(reason), "{stderr}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), untidy);

    fs::write(&path, untidy.replace("schema = 1", "schema = 2")).unwrap();
    let (code, stdout, stderr) = run(&["lock", "--check", "--json", &servarr]);
    let said: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &said["fits"], said["reasons"].as_array().unwrap().len()), (Some(1), &false.into(), 1));
    assert!(stderr.contains("made by a newer Boxwright"), "{stderr}");
}

/// A lock that fits passes; one that a merge has left out of order fails, and `lock` writes it as it is to be.
#[test]
fn a_lock_that_fits_passes_and_one_out_of_order_is_tidied() {
    let (_folder, minimal) = profile("minimal");
    let path = fitting(Path::new(&minimal));
    let written = fs::read_to_string(&path).unwrap();
    let check = || run(&["lock", "--check", &minimal]);
    let (code, stdout, stderr) = check();
    assert_eq!((code, stdout), (Some(0), format!("{}\n", path.display())), "{stderr}");

    // A package, and a folder of the project.
    for part in ["\"openssl\"", "\"firmware/initrd\""] {
        let mut lines: Vec<&str> = written.lines().collect();
        let at = lines.iter().position(|line| line.contains(part)).unwrap();
        lines.swap(at, at + 1);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let (code, _, stderr) = check();
        assert!(code == Some(1) && stderr.contains(&format!("line {} is not", at + 1)), "{stderr}");
        let (code, _, stderr) = run(&["lock", "--offline", &minimal]);
        assert_eq!((code, fs::read_to_string(&path).unwrap()), (Some(0), written.clone()), "{stderr}");
        assert_eq!(check().0, Some(0));
    }
}

/// A project of its own around a copy of the profile `minimal`, and a lock that is for both.
struct Project {
    folder: tempfile::TempDir,
    profile: String,
    lock: PathBuf,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["overlays", "firmware"] {
            copy(Path::new(part), &folder.path().join(part));
        }
        let profile = folder.path().join("minimal.toml");
        fs::copy("profiles/minimal.toml", &profile).unwrap();
        let lock = fitting(&profile);
        Self { folder, profile: profile.to_str().unwrap().to_owned(), lock }
    }

    /// `lock` with these flags: its code, what it printed, what it told.
    fn lock(&self, flags: &[&str]) -> (Option<i32>, String, String) {
        self.run(&[&["lock", &self.profile], flags].concat())
    }

    /// The program with these arguments in this project, without the network and with a cache of its own.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(PROGRAM);
        command.arg("--project").arg(self.folder.path());
        command.arg("--cache").arg(self.folder.path().join("cache")).arg("--offline");
        finished(command.args(arguments))
    }

    fn add(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, before + text).unwrap();
    }

    /// The text of the lock without what is recorded of the project.
    fn pinned(&self) -> String {
        let text = fs::read_to_string(&self.lock).unwrap();
        let recorded = |line: &&str| {
            ["program =", "  { fingerprint =", "  { name = \"overlays/", "  { name = \"firmware/"]
                .iter()
                .any(|start| line.starts_with(start))
        };
        text.lines().filter(|line| !recorded(line)).collect::<Vec<_>>().join("\n")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (source, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if source.is_dir() && !source.is_symlink() {
            copy(&source, &target);
        } else if source.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source).unwrap(), target).unwrap();
        } else {
            fs::copy(&source, &target).unwrap();
        }
    }
}

/// Whatever of the project the box is made of cannot change without the check noticing; `lock` renews it and moves nothing.
#[test]
fn a_lock_of_another_state_of_the_project_fails_and_is_renewed() {
    let project = Project::new();
    assert_eq!(project.lock(&["--check"]).0, Some(0), "a copy of the project is the project");
    let pinned = project.pinned();
    let cases = [
        ("overlays/system/ssh/root/etc/boxwright/admins.tera", "overlays/system/ssh"),
        ("overlays/system/ssh/root/etc/a-new-file", "overlays/system/ssh"),
        ("overlays/system/network/overlay.toml", "overlays/system/network"),
        ("firmware/initrd/boxwright/disk.sh", "firmware/initrd"),
        ("firmware/uefi-x86_64/platform.toml", "firmware/uefi-x86_64"),
        (
            "firmware/debian-13/keys/debian-archive-trixie-stable.asc",
            "firmware/debian-13, key 41587F7DB8C774BCCF131416762F67A0B2C39DE4",
        ),
    ];
    for (path, expected) in cases {
        project.add(path, "\n# another line\n");
        let (code, stdout, stderr) = project.lock(&["--check"]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{path}: {stderr}");
        let advice = format!("`boxwright lock {}` renews that, and moves nothing", project.profile);
        assert!(stderr.contains(&format!("another state of {expected}: {advice}")), "{path}: {stderr}");
        assert!(!stderr.contains("(new)") && !stderr.contains("(gone)"), "{path}: {stderr}");
        let (code, _, stderr) = project.lock(&[]);
        assert_eq!(code, Some(0), "{stderr}");
        let first = expected.split(',').next().unwrap();
        assert!(stderr.contains(&format!("  ~ {first} ")) && stderr.contains(" 0 moved"), "{stderr}");
        assert_eq!(project.pinned(), pinned, "{path}");
        assert_eq!(project.lock(&["--check"]).0, Some(0), "{path}");
    }
}

/// What another box is made of, and what editors leave, is nothing of this lock's.
#[test]
fn what_the_box_is_not_made_of_may_change() {
    let project = Project::new();
    for path in [
        "overlays/services/plex/service.toml",
        "overlays/services/README.md",
        "overlays/system/ssh/root/etc/.issue.swp",
        "overlays/system/ssh/__pycache__/x.pyc",
        "firmware/ubuntu-24.04/distribution.toml",
    ] {
        project.add(path, "\n# another line\n");
        let (code, _, stderr) = project.lock(&["--check"]);
        assert_eq!(code, Some(0), "{path}: {stderr}");
    }
}

/// A lock from before any of this was recorded is used, and completed; one that a newer program wrote is not touched.
#[test]
fn older_locks_are_completed_and_newer_ones_refused() {
    let project = Project::new();
    let written = fs::read_to_string(&project.lock).unwrap();
    let old = lock::load(&project.lock).unwrap().unwrap();
    let old = Lock { program: None, keys: vec![], sources: vec![], ..old };
    lock::save(&old, &project.lock).unwrap();
    let (code, _, stderr) = project.lock(&["--check"]);
    assert!(code == Some(1) && stderr.contains("an older Boxwright wrote it"), "{stderr}");
    assert!(!stderr.contains("is not as `boxwright lock` writes it"), "{stderr}");
    let (code, _, stderr) = project.lock(&[]);
    assert_eq!((code, fs::read_to_string(&project.lock).unwrap()), (Some(0), written.clone()), "{stderr}");

    let ours = concat!("program = \"", env!("CARGO_PKG_VERSION"), "\"");
    for theirs in ["program = \"98.7.6\"", "program = \"98.7.6\"\nunheard-of = 1"] {
        let newer = written.replace(ours, theirs);
        fs::write(&project.lock, &newer).unwrap();
        for flags in [&["--check"][..], &[], &["--update"], &["--update", "openssl"]] {
            let (code, _, stderr) = project.lock(flags);
            assert_eq!(code, Some(1), "{flags:?}: {stderr}");
            assert!(
                stderr.contains("Boxwright 98.7.6 wrote this lock") && stderr.contains("use 98.7.6"),
                "{stderr}"
            );
            assert_eq!(fs::read_to_string(&project.lock).unwrap(), newer);
        }
        for (verb, flag) in [("build", "--out"), ("mirror", "--to")] {
            let target = project.folder.path().join(verb);
            let (code, _, stderr) = project.run(&[verb, &project.profile, flag, target.to_str().unwrap()]);
            assert_eq!(code, Some(1), "{verb}: {stderr}");
            let said = stderr.contains("Boxwright 98.7.6 wrote this lock") && stderr.contains("use 98.7.6");
            assert!(said && !target.exists(), "{verb}: {stderr}");
            assert_eq!(fs::read_to_string(&project.lock).unwrap(), newer);
        }
    }
    fs::write(&project.lock, written.replace(ours, "program = \"0.0.1\"")).unwrap();
    let (code, _, stderr) = project.lock(&["--check"]);
    assert!(code == Some(1) && stderr.contains("another state of Boxwright (0.0.1, now "), "{stderr}");
}

/// Names that mean nothing are told before anything is fetched.
#[test]
fn names_to_update_are_known_ones() {
    let (_folder, minimal) = profile("minimal");
    let update = |flags: &[&str]| run(&[&["lock", &minimal, "opensll", "--offline"], flags].concat());
    assert_eq!(update(&[]).0, Some(2), "without --update there is nothing to name");
    let (code, _, stderr) = update(&["--update"]);
    assert!(code == Some(1) && stderr.contains("minimal.lock yet"), "{stderr}");
    fs::copy("tests/diff/old.lock", Path::new(&minimal).with_extension("lock")).unwrap();
    let (code, _, stderr) = update(&["--update"]);
    assert!(code == Some(1) && stderr.contains("called `opensll`; did you mean `openssl`?"), "{stderr}");
}
