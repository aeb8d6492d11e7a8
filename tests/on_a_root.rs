//! The rendered files on a real root filesystem: read back by the programs that read them on a box, and the firewall probed
//! with packets.
//!
//! Both need root, python3 and a root filesystem with a box's packages: the folder that BOXWRIGHT_TEST_ROOT names, or
//! else the one out of the image of the profile `minimal`. Without one of these they are skipped, and say so.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

#[path = "support/built.rs"]
mod built;
#[path = "support/profiles.rs"]
mod profiles;

use std::path::Path;

use boxwright::build::lock_of;
use boxwright::fetch::Cache;
use boxwright::tool::Tool;

/// Installs every package in `$2/packages` once more, as it is, with plain dpkg, on a copy of the root `$1`.
const REINSTALL: &str = r#"
set -eu
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
for place in proc sys dev run tmp; do mkdir -p "$2/root/$place"; done
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mount -t tmpfs tmpfs "$2/root/run"
mount -t tmpfs tmpfs "$2/root/tmp"
mkdir "$2/root/run/packages"
mount --bind "$2/packages" "$2/root/run/packages"
exec chroot "$2/root" sh -euc '
    dpkg --install /run/packages/*.deb >/run/dpkg.log 2>&1 </dev/null || { tail -n 30 /run/dpkg.log >&2; exit 1; }
    echo installed $(grep -c "^Setting up " /run/dpkg.log)
    echo audit $(dpkg --audit)'
"#;

/// Runs a program of tests/ with the root and what each shipped profile renders to.
fn try_on_root(interpreter: &str, program: &str) {
    let root = match built::root_to_try() {
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
fn every_locked_package_can_be_installed_once_more() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can make these namespaces");
    }
    let (Some(image), Some(root)) = (built::minimal(), built::root()) else { return };
    let lock = boxwright::lock::load(&lock_of(image)).unwrap().unwrap();
    let cache = Cache::open(&built::context().cache).unwrap();
    let folder = tempfile::tempdir_in(built::folder()).unwrap();
    for part in ["packages", "upper", "work", "root"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
    }
    for package in &lock.packages {
        let name = format!("packages/{}_{}.deb", package.name, package.architecture);
        std::fs::copy(cache.object(&package.sha256), folder.path().join(name)).unwrap();
    }
    let said = Tool::new("unshare")
        .args([
            "--mount",
            "--net",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            REINSTALL,
            "sh",
        ])
        .args([root.as_path(), folder.path()])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .unwrap_or_else(|error| panic!("{error:#}"));
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said, format!("installed {}\naudit\n", lock.packages.len()));
}

#[test]
fn every_program_accepts_its_files() {
    try_on_root("sh", "tests/readback/readback.sh");
}

#[test]
fn the_firewall_lets_through_what_the_profile_says_and_nothing_else() {
    try_on_root("python3", "tests/firewall/firewall.py");
}
