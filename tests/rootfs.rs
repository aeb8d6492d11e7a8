//! The root filesystem of every box, built from the real archive: as root and as an ordinary user, looked at with the
//! system's own dpkg, and compared with what mmdebstrap makes of the same packages.
//!
//! Needs the archive; without it the tests say so and pass.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends where it fails, and says what it skips"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use boxwright::context::Context;
use boxwright::debian::deb::DebFile;
use boxwright::firmware::Distribution;
use boxwright::layers::{self, Layer, Sealing};
use boxwright::lock::mirrors::{self, HostMirrors};
use boxwright::lock::{self, Lock, PackageRequest};
use boxwright::rootfs::{self, Root, RootOptions};
use boxwright::sandbox::Isolation;
use boxwright::tool::Tool;
use boxwright::tools::Tools;
use boxwright::ui::Ui;

/// The ordinary user of the tests: nobody's.
const USER: u32 = 54_321;

fn context(cache: &Path, jobs: usize) -> Context {
    Context {
        project: Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(),
        cache: cache.to_owned(),
        ui: Ui::silent(),
        jobs,
        mirror: None,
        registry_mirror: None,
        offline: false,
    }
}

/// The packages of a box without any features, chosen and fetched; `None` where there is no archive.
fn chosen(context: &Context) -> Option<(Lock, Vec<DebFile>, Vec<DebFile>)> {
    let request = PackageRequest {
        distribution: "debian-13".into(),
        platform: "uefi-x86_64".into(),
        packages: Vec::new(),
        features: Vec::new(),
    };
    let now = fs::metadata("/proc/self").unwrap().modified().unwrap();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let run = || -> Result<_> {
        let resolved = lock::resolve_packages(&request, now, context)?;
        let lock = lock::update(None, resolved, Vec::new());
        let debs = lock::fetch(&lock.packages, &lock, context)?;
        let tools = lock::fetch(&lock.tools, &lock, context)?;
        Ok((lock, debs, tools))
    };
    run().inspect_err(|error| eprintln!("skipped, since the archive is out of reach: {error:#}")).ok()
}

/// What a build needs to know, as one file, so that another process can do it.
struct Job {
    folder: PathBuf,
    debs: Vec<DebFile>,
    tools: Vec<DebFile>,
    time: i64,
}

impl Job {
    fn save(&self, path: &Path) {
        let list = |debs: &[DebFile]| -> Vec<serde_json::Value> {
            debs.iter()
                .map(|deb| serde_json::json!([deb.name, deb.version, deb.architecture, deb.sha256, deb.path]))
                .collect()
        };
        let (debs, tools) = (list(&self.debs), list(&self.tools));
        let job = serde_json::json!({"folder": self.folder, "debs": debs, "tools": tools, "time": self.time});
        fs::write(path, job.to_string()).unwrap();
    }

    fn load(path: &Path) -> Self {
        let job: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let list = |key: &str| -> Vec<DebFile> {
            let debs: Vec<(String, String, String, String, PathBuf)> =
                serde_json::from_value(job[key].clone()).unwrap();
            debs.into_iter()
                .map(|(name, version, architecture, sha256, path)| {
                    let sha256 = sha256.parse().unwrap();
                    DebFile { name, version, architecture, sha256, path }
                })
                .collect()
        };
        let folder = serde_json::from_value(job["folder"].clone()).unwrap();
        Self { folder, debs: list("debs"), tools: list("tools"), time: job["time"].as_i64().unwrap() }
    }

    /// Builds and seals the root filesystem in the job's folder.
    fn run(&self, isolation: Option<Isolation>, jobs: usize) -> Result<(Root, Layer, Tools)> {
        let context = context(&self.folder.join("cache"), jobs);
        let tools = Tools::prepare(&self.tools, &context)?;
        let distribution = Distribution::load(&context.project, "debian-13")?;
        let options = RootOptions {
            time: self.time,
            architecture: distribution.architecture,
            directory: self.folder.join("root"),
            users: distribution.users,
            groups: distribution.groups,
            isolation,
            late: false,
        };
        let mut root = None;
        let sealing = Sealing {
            target: &self.folder.join("base.squashfs"),
            time: self.time,
            tools: &tools,
            context: &context,
        };
        let layer = layers::seal(
            |tar| {
                root = Some(rootfs::build(&self.debs, &options, (&tools, &context), (tar, |_| Ok(())))?);
                Ok(())
            },
            sealing,
        )?;
        Ok((root.context("no root was built")?, layer, tools))
    }
}

/// What the process does that [`root_and_user_make_the_same_bytes`] starts as an ordinary user, in its working directory.
#[test]
#[ignore = "another test runs it, as an ordinary user"]
fn as_an_ordinary_user() {
    let job = Path::new("job.json");
    if !job.exists() {
        return;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let (_, layer, _) = Job::load(job).run(None, 1).unwrap();
    fs::write("done", layer.root_hash.to_string()).unwrap();
}

/// Everything that is proven with one and the same tree, since making it takes a while.
#[test]
fn root_and_user_make_the_same_bytes() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rootfs");
    fs::create_dir_all(&cache).unwrap();
    let Some((lock, debs, tools)) = chosen(&context(&cache, 2)) else { return };
    let first = Job { folder: folder.path().join("first"), debs, tools, time: lock.time };
    fs::create_dir(&first.folder).unwrap();
    let isolation = Isolation::detect().unwrap();
    let (root, layer, tools) = first.run(Some(isolation), 2).unwrap();

    let verify = tools.tool("veritysetup").unwrap().arg("verify").arg(&layer.path).arg(&layer.path);
    let offset = format!("--hash-offset={}", layer.data_bytes);
    verify.arg(layer.root_hash.to_string()).arg(&offset).run().unwrap();
    assert_eq!(fs::metadata(&layer.path).unwrap().len(), layer.total_bytes);

    if isolation == Isolation::Root {
        user_makes_the_same(&first, &layer, folder.path()).unwrap();
    } else {
        eprintln!("skipped: only root can compare both ways");
    }
    nothing_of_the_machine_is_left(root.path());
    dpkg_finds_nothing_wrong(&root);
    same_as_mmdebstrap(root.path(), &lock, folder.path());
    every_package_reinstalls(&first, root.path()).unwrap();
}

/// Builds again as an ordinary user with other surroundings, and compares the layers.
fn user_makes_the_same(first: &Job, layer: &Layer, folder: &Path) -> Result<()> {
    let place = folder.join("a folder with another name");
    fs::create_dir(&place)?;
    for path in [folder, &place] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    let copy = |debs: &[DebFile]| -> Result<Vec<DebFile>> {
        debs.iter()
            .map(|deb| {
                let path = place.join(deb.sha256.to_string());
                fs::copy(&deb.path, &path)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
                Ok(DebFile { path, ..deb.clone() })
            })
            .collect()
    };
    let job =
        Job { folder: place.clone(), debs: copy(&first.debs)?, tools: copy(&first.tools)?, time: first.time };
    job.save(&place.join("job.json"));
    std::os::unix::fs::chown(&place, Some(USER), Some(USER))?;
    let program = place.join("test");
    fs::copy(std::env::current_exe()?, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    #[expect(clippy::disallowed_methods, reason = "nothing else can change the user")]
    let output = Command::new(&program)
        .args(["--exact", "as_an_ordinary_user", "--ignored", "--nocapture"])
        .env_clear()
        .envs([("TZ", "Asia/Tokyo"), ("LC_ALL", "tr_TR.UTF-8"), ("PATH", "/nonexistent")])
        .current_dir(&place)
        .uid(USER)
        .gid(USER)
        .output()?;
    let done = fs::read_to_string(place.join("done")).unwrap_or_default();
    ensure!(
        !done.is_empty(),
        "the build as a user failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if done != layer.root_hash.to_string() {
        let differences = differences(&first.folder.join("root/tree"), &place.join("root/tree"));
        anyhow::bail!("root and user made different layers; different files: {differences:#?}");
    }
    Ok(())
}

/// The files whose content differs between two trees.
fn differences(left: &Path, right: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        let names = |tree: &Path| -> BTreeSet<_> {
            fs::read_dir(tree.join(&folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        };
        let (ours, theirs) = (names(left), names(right));
        found.extend(ours.symmetric_difference(&theirs).map(|name| folder.join(name)));
        for name in ours.intersection(&theirs) {
            let path = folder.join(name);
            let metadata = fs::symlink_metadata(left.join(&path)).unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file()
                && fs::read(left.join(&path)).ok() != fs::read(right.join(&path)).ok()
            {
                found.push(path);
            }
        }
    }
    found
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

fn dpkg_finds_nothing_wrong(root: &Root) {
    for question in ["--verify", "--audit"] {
        let answer = root.run(&["/usr/bin/dpkg", question]).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "", "dpkg {question}");
    }
}

/// Installs every package again with plain dpkg, on a copy: the database is one that dpkg can work with.
fn every_package_reinstalls(job: &Job, tree: &Path) -> Result<()> {
    if Isolation::detect()? != Isolation::Root {
        eprintln!("skipped: only root can copy the tree");
        return Ok(());
    }
    // Nobody needs the tree after this.
    let packages = tree.join("var/tmp/packages");
    fs::create_dir(&packages)?;
    for deb in &job.debs {
        fs::copy(&deb.path, packages.join(format!("{}_{}.deb", deb.name, deb.architecture)))?;
    }
    let script = "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; \
                  INITRD=No dpkg --force-unsafe-io -i /var/tmp/packages/*.deb >/tmp/log 2>&1 || { tail -n 40 /tmp/log >&2; exit 1; }; \
                  dpkg --verify; dpkg --audit";
    let root = Root::open(&job.folder.join("root"))?;
    let answer = root.run(&["/bin/sh", "-c", script])?;
    ensure!(answer.is_empty(), "after a reinstallation: {}", String::from_utf8_lossy(&answer));
    Ok(())
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

#[test]
fn a_root_that_was_never_finished_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let error = Root::open(folder.path()).unwrap_err();
    assert!(format!("{error:#}").contains("holds no finished root filesystem"), "{error:#}");
}
