//! Programs of Debian 13 for tests, whatever distribution the tests run on: fetched with apt, unpacked, never installed.

use std::fs;
use std::path::{Path, PathBuf};

use boxwright::tool::Tool;
use rustix::fs::{FlockOperation, flock};

fn apt(folder: &Path, program: &str) -> Tool {
    let option = |name: &str, value: &Path| format!("{name}={}", value.display());
    Tool::new(program)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir(folder)
        .args(["-o", &option("Dir::Etc::sourcelist", &folder.join("sources.list"))])
        .args(["-o", "Dir::Etc::sourceparts=-", "-o", "APT::Architecture=amd64"])
        .args(["-o", &option("Dir::State::lists", &folder.join("lists"))])
        .args(["-o", &option("Dir::Cache", &folder.join("cache"))])
}

/// The unpacked package `name` of Debian 13, from the mirror that this machine's apt uses; none where it uses none.
pub fn unpacked(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("out/test-tools");
    fs::create_dir_all(&folder).ok()?;
    // One test at a time: the others find it unpacked.
    let guard = fs::File::create(folder.join("trixie.guard")).ok()?;
    flock(&guard, FlockOperation::LockExclusive).ok()?;
    let target = folder.join(name);
    if target.is_dir() {
        return Some(target);
    }
    for path in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(folder.join(path)).ok()?;
    }
    let format = ["indextargets", "--format", "$(REPO_URI)"];
    let listing = Tool::new("apt-get").args(format).env("PATH", "/usr/bin:/bin").output().ok()?;
    let listing = String::from_utf8(listing).ok()?;
    let mirror = listing.lines().find(|line| line.trim_end_matches('/').ends_with("debian"))?;
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(folder.join("sources.list"), format!("deb [signed-by={keys}] {mirror} trixie main\n")).ok()?;
    if fs::read_dir(folder.join("lists")).ok()?.count() < 2 {
        apt(&folder, "apt-get").arg("update").run().ok()?;
    }
    apt(&folder, "apt-get").args(["download", name]).run().ok()?;
    let start = format!("{name}_");
    let deb = fs::read_dir(&folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let deb =
        deb.filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&start)));
    let temporary = tempfile::tempdir_in(&folder).ok()?;
    let unpack = Tool::new("dpkg-deb").arg("-x").args([&deb.max()?, temporary.path()]);
    unpack.env("PATH", "/usr/bin:/bin").run().ok()?;
    boxwright::atomic::publish_dir(&temporary.keep(), &target).ok()?;
    Some(target)
}
