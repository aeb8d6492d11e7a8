//! Images for tests, made by the very program that users run, with one cache for all tests: a base layer is made once.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::disallowed_methods, reason = "tests ask the environment where they run")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use boxwright::build::manifest::Manifest;
use boxwright::build::{lock_of, locking};
use boxwright::context::Context;
use boxwright::disk;
use boxwright::tool::Tool;
use boxwright::ui::{Mode, Ui};
use rustix::fs::{FlockOperation, flock};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_boxwright");

/// The folder of everything that tests make and keep: `out/test`.
pub fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("out/test");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The surroundings of a build for tests.
pub fn context() -> Context {
    Context {
        project: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        cache: folder().join("cache"),
        ui: Ui::new(Mode::Lines, false),
        jobs: 2,
        mirror: None,
        registry_mirror: None,
        offline: false,
    }
}

/// The image of the shipped profile `minimal`, built from what the archive holds now. None, with a printed reason, where
/// no archive can be reached; on a CI machine that is a failure.
pub fn minimal() -> Option<&'static Path> {
    static IMAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    IMAGE.get_or_init(|| image("minimal")).as_deref()
}

/// As [`minimal`], for the profile of that name.
pub fn image(name: &str) -> Option<PathBuf> {
    let folder = folder();
    // One test program at a time: the others find the image made.
    let guard = fs::File::create(folder.join(format!("{name}.guard"))).unwrap();
    flock(&guard, FlockOperation::LockExclusive).unwrap();
    let profile = locked(name)?;
    let images = folder.join("images");
    let built = call("build").arg(&profile).arg("--out").arg(&images).output();
    let printed = built.unwrap_or_else(|error| panic!("{error:#}"));
    let image = PathBuf::from(String::from_utf8(printed).unwrap().trim());
    assert!(image.starts_with(&images) && image.is_file(), "{}", image.display());
    Some(image)
}

/// The shipped profile of that name with a fresh lock beside it, as a file of the tests'. None, with a printed reason, where
/// no archive can be reached; on a CI machine that is a failure.
pub fn locked(name: &str) -> Option<PathBuf> {
    let folder = folder();
    let guard = fs::File::create(folder.join("locks.guard")).unwrap();
    flock(&guard, FlockOperation::LockExclusive).unwrap();
    let profile = folder.join(name).with_extension("toml");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles").join(name).with_extension("toml");
    fs::copy(shipped, &profile).unwrap();
    if let Err(error) = lock(&profile) {
        assert!(std::env::var_os("CI").is_none(), "{error:#}");
        eprintln!("SKIPPED: no lock can be made here: {error:#}");
        return None;
    }
    Some(profile)
}

/// The root filesystem of [`minimal`], unpacked from the image by a stranger's program; for root only.
pub fn root() -> Option<PathBuf> {
    let image = minimal()?;
    let folder = folder();
    let guard = fs::File::create(folder.join("root.guard")).unwrap();
    flock(&guard, FlockOperation::LockExclusive).unwrap();
    let (root, mark) = (folder.join("root"), folder.join("root.of"));
    let release = Manifest::load(image).unwrap().release.to_string();
    if fs::read_to_string(&mark).is_ok_and(|made| made == release) {
        return Some(root);
    }
    if root.exists() {
        fs::remove_dir_all(&root).unwrap();
    }
    let tools =
        locking::tools(&boxwright::lock::load(&lock_of(image)).unwrap().unwrap(), &context()).unwrap();
    let layout = disk::read(image).unwrap().layout;
    let start = layout.find(disk::Role::Base).unwrap().start;
    let unpack = tools.tool("unsquashfs").unwrap().args(["-n", "-q", "-d"]).arg(&root);
    unpack.arg("-o").arg(start.to_string()).arg(image).run().unwrap();
    fs::write(&mark, release).unwrap();
    Some(root)
}

/// Makes the lock of `profile` afresh, once for all tests that run together: mirrors drop what locks name, and what a box
/// asks for may have changed.
fn lock(profile: &Path) -> anyhow::Result<()> {
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let made = changed(&profile.with_extension("lock"));
    let fresh = made.and_then(|time| time.elapsed().ok()).is_some_and(|age| age.as_secs() < 3600);
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = project.join("profiles").join(profile.file_name().unwrap_or_default());
    let mut sources = vec![shipped];
    for folder in fs::read_dir(project.join("firmware"))? {
        let folder = folder?.path();
        sources.extend(["distribution.toml", "platform.toml"].map(|name| folder.join(name)));
    }
    if fresh && sources.iter().all(|source| changed(source) < made) {
        return Ok(());
    }
    call("lock").arg(profile).arg("--update").run()
}

fn call(verb: &str) -> Tool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Tool::new(PROGRAM).env("PATH", path).arg("--cache").arg(folder().join("cache")).arg(verb)
}
