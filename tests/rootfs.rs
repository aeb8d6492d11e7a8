//! The root filesystem of every box, looked at with the system's own dpkg, and compared with what mmdebstrap makes of the
//! same packages. It is the one out of the image of the profile `minimal`.
//!
//! Needs root, and the archive; without them the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "tests")]

#[path = "support/built.rs"]
mod built;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use boxwright::build::lock_of;
use boxwright::firmware::Distribution;
use boxwright::lock::mirrors::{self, HostMirrors};
use boxwright::lock::{self, Lock};
use boxwright::rootfs::Root;
use boxwright::tool::Tool;

/// The unpacked root filesystem with its lock; none, with a printed reason, where there is none.
fn unpacked() -> Option<(PathBuf, Lock)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can unpack a root filesystem with its owners");
        return None;
    }
    let tree = built::root()?;
    Some((tree, lock::load(&lock_of(built::minimal()?)).unwrap()?))
}

/// `tree` as a system in which programs can be run; `folder` is to be empty.
fn opened(tree: &Path, folder: &Path) -> Root {
    symlink(tree, folder.join("tree")).unwrap();
    fs::write(folder.join("time"), "0").unwrap();
    Root::open(folder).unwrap()
}

#[test]
fn nothing_of_the_machine_is_in_it() {
    let Some((tree, _)) = unpacked() else { return };
    nothing_of_the_machine_is_left(&tree);
}

#[test]
fn dpkg_finds_nothing_wrong_and_every_package_reinstalls() {
    let Some((tree, lock)) = unpacked() else { return };
    let folder = tempfile::tempdir_in(built::folder()).unwrap();
    let copy = folder.path().join("copy");
    Tool::new("/bin/cp").args(["-a", "--reflink=auto"]).arg(&tree).arg(&copy).run().unwrap();
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    let root = opened(&copy, &place);
    for question in ["--verify", "--audit"] {
        let answer = root.run(&["/usr/bin/dpkg", question]).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "", "dpkg {question}");
    }
    every_package_reinstalls(&root, &copy, &lock);
}

/// Installs every package again with plain dpkg: the database is one that dpkg can work with.
fn every_package_reinstalls(root: &Root, tree: &Path, lock: &Lock) {
    let packages = tree.join("var/tmp/packages");
    fs::create_dir(&packages).unwrap();
    for deb in lock::fetch(&lock.packages, lock, &built::context()).unwrap() {
        fs::copy(&deb.path, packages.join(format!("{}_{}.deb", deb.name, deb.architecture))).unwrap();
    }
    let script = "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; \
                  INITRD=No dpkg --force-unsafe-io -i /var/tmp/packages/*.deb >/tmp/log 2>&1 || { tail -n 40 /tmp/log >&2; exit 1; }; \
                  dpkg --verify; dpkg --audit";
    let answer = root.run(&["/bin/sh", "-c", script]).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "", "after a reinstallation");
}

#[test]
fn the_database_is_the_one_that_mmdebstrap_makes() {
    let Some((tree, lock)) = unpacked() else { return };
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    same_as_mmdebstrap(&tree, &lock, folder.path());
}

fn nothing_of_the_machine_is_left(tree: &Path) {
    assert_eq!(fs::read(tree.join("etc/machine-id")).unwrap(), b"");
    for gone in [
        "etc/ssh/ssh_host_rsa_key",
        "etc/passwd-",
        "var/log/dpkg.log",
        "var/cache/ldconfig/aux-cache",
        "var/lib/dpkg/status-old",
        "usr/sbin/policy-rc.d",
        "etc/hostname",
        "etc/.pwd.lock",
    ] {
        assert!(!tree.join(gone).exists(), "/{gone} is still there");
    }
    for folder in ["run", "tmp", "dev", "proc", "var/tmp", "boot"] {
        let names: Vec<_> =
            fs::read_dir(tree.join(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let bad = names.iter().any(|name| folder != "boot" || name.to_string_lossy().contains("initrd"));
        assert!(!bad || names.is_empty(), "/{folder} has {names:?}");
    }
}

/// Compares dpkg's database with that of the same packages installed by apt and dpkg, one after the other.
fn same_as_mmdebstrap(tree: &Path, lock: &Lock, folder: &Path) {
    let [program, keys] =
        ["/usr/bin/mmdebstrap", "/usr/share/keyrings/debian-archive-keyring.gpg"].map(Path::new);
    if !program.exists() || !keys.exists() || !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mmdebstrap, Debian's keys or the rights for them are missing");
        return;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let distribution = Distribution::load(project, "debian-13").unwrap();
    let host = HostMirrors::read(Path::new("/"));
    let mut sources = Vec::new();
    for archive in &distribution.archives {
        let mirror = mirrors::order(&distribution, &archive.role, &[], &host).remove(0);
        sources.push(format!(
            "deb [signed-by={}] {mirror} {} {}",
            keys.display(),
            archive.suite,
            archive.components.join(" ")
        ));
    }
    let wanted: Vec<String> =
        lock.packages.iter().map(|package| format!("{}={}", package.name, package.version)).collect();
    let theirs = folder.join("mmdebstrap");
    let made = Tool::new(program)
        .args(["--mode=root", "--variant=custom", "--format=directory", "--skip=cleanup/apt", "--quiet"])
        .args(["--aptopt=APT::Install-Recommends false", "--setup-hook=mkdir -p \"$1\"/usr/bin \"$1\"/usr/sbin \"$1\"/usr/lib \"$1\"/usr/lib64; for d in bin sbin lib lib64; do ln -s usr/$d \"$1\"/$d; done"])
        .arg(format!("--include={}", wanted.join(",")))
        .arg("trixie")
        .arg(&theirs)
        .args(sources)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("INITRD", "No")
        .run();
    if let Err(error) = made {
        eprintln!("skipped: mmdebstrap cannot make the same set: {error:#}");
        return;
    }
    for file in ["diversions", "statoverride", "arch"] {
        assert_eq!(sorted(tree, file), sorted(&theirs, file), "{file}");
    }
    let names = |tree: &Path| -> BTreeSet<_> {
        let files = fs::read_dir(tree.join("var/lib/dpkg/triggers")).unwrap();
        let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "Lock" && name != "Unincorp").collect()
    };
    assert_eq!(names(tree), names(&theirs));
    for name in names(tree) {
        let file = format!("triggers/{name}");
        assert_eq!(sorted(tree, &file), sorted(&theirs, &file), "{file}");
    }
    let (ours, theirs) = (stanzas(tree), stanzas(&theirs));
    let different: Vec<_> =
        ours.iter().filter(|(package, stanza)| theirs.get(*package) != Some(stanza)).collect();
    assert!(different.is_empty(), "the status differs: {different:#?}");
    assert_eq!(ours.len(), theirs.len());
}

/// The lines of a file of dpkg's database; diversions in threes.
fn sorted(tree: &Path, file: &str) -> Vec<String> {
    let text = fs::read_to_string(tree.join("var/lib/dpkg").join(file)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let size = if file == "diversions" { 3 } else { 1 };
    let mut sorted: Vec<String> = lines.chunks(size).map(|lines| lines.join("\n")).collect();
    sorted.sort();
    sorted
}

/// The paragraphs of dpkg's status file by package.
fn stanzas(tree: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(tree.join("var/lib/dpkg/status")).unwrap();
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs
        .map(|paragraph| {
            let name = paragraph.lines().find_map(|line| line.strip_prefix("Package: ")).unwrap();
            (name.to_owned(), paragraph.trim().to_owned())
        })
        .collect()
}

/// The index comes from a depmod that ran beside the packages' scripts, or from an earlier build.
#[test]
fn the_index_of_the_kernels_modules_is_what_depmod_says_in_the_finished_system() {
    let Some((tree, _)) = unpacked() else { return };
    let place = tempfile::tempdir_in(built::folder()).unwrap();
    let root = opened(&tree, place.path());
    let modules = tree.join("usr/lib/modules");
    let version = fs::read_dir(&modules).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let shared = tempfile::tempdir_in(built::folder()).unwrap();
    root.run_with(&["/usr/sbin/depmod", "-o", "/run/index", &version], (shared.path(), "index")).unwrap();
    let mut compared = 0;
    for file in fs::read_dir(shared.path().join("lib/modules").join(&version)).unwrap() {
        let file = file.unwrap();
        let ours = fs::read(modules.join(&version).join(file.file_name())).unwrap();
        assert!(ours == fs::read(file.path()).unwrap(), "{} differs", file.path().display());
        compared += 1;
    }
    assert!(compared > 5, "depmod wrote {compared} files");
}

#[test]
fn a_root_that_was_never_finished_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let error = Root::open(folder.path()).unwrap_err();
    assert!(format!("{error:#}").contains("holds no finished root filesystem"), "{error:#}");
}
