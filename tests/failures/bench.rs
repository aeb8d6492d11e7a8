//! A project in a folder of its own, and runs of the program in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::built;

/// The profile of every project; tests change it.
pub const PROFILE: &str = r#"schema = 1
[box]
name = "attic"
distribution = "test-1"
platform = "pc"
admins = { me = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIJPRgh+AXm+rRH1Ydo+E3qd2R8JZnZyh3rnFXd25G5p me"] }
[ssh]
lan = "always"
[services]
"#;

/// A project: `firmware/`, `overlays/`, `profiles/box.toml`, and a cache.
pub struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// A project with the services of the shipped one, and a good profile. Its `firmware/` has no distribution yet.
    pub fn new() -> Self {
        // Beside the tests' cache, so that its files can be linked to.
        let folder = tempfile::Builder::new().prefix("failures-").tempdir_in(built::folder()).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
        symlink(shipped.join("overlays"), folder.path().join("overlays")).unwrap();
        for name in ["firmware", "profiles", "out"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        symlink(shipped.join("firmware/initrd"), folder.path().join("firmware/initrd")).unwrap();
        let project = Self { folder };
        project.write(PROFILE);
        project
    }

    /// A project in which the shipped distributions exist.
    pub fn shipped() -> Self {
        let project = Self::new();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware");
        for name in ["debian-13", "ubuntu-24.04", "uefi-x86_64"] {
            symlink(shipped.join(name), project.path("firmware").join(name)).unwrap();
        }
        project
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// Writes the profile.
    pub fn write(&self, profile: &str) {
        fs::write(self.path("profiles/box.toml"), profile).unwrap();
    }

    /// The program, about to be run with these arguments in the project.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(built::PROGRAM);
        command.env_clear().env("PATH", "/nonexistent").current_dir(self.folder.path());
        command.args(["--cache", "cache"]).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&self.command(arguments).output().unwrap())
    }

    /// The names in a folder, sorted; those that begin with a dot too.
    pub fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }
}

pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Sees to it that the run ended with `code` and said each of `parts`, and printed no data.
    #[track_caller]
    pub fn refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.stdout, "", "what failed prints no data");
        for part in parts {
            assert!(self.stderr.contains(part), "it does not say `{part}`:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }

    /// Sees to it that the run went well; what it printed.
    #[track_caller]
    pub fn fine(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout.trim_end()
    }
}
