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
        days_ahead: 0,
    }
}

/// The image of the shipped profile `minimal`, built from what the archive holds now. None, with a printed reason, where
/// no archive can be reached; on a CI machine that is a failure.
pub fn minimal() -> Option<&'static Path> {
    static IMAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    IMAGE.get_or_init(|| image("minimal")).as_deref()
}

/// What an image is made from.
pub struct Source<'a> {
    /// The profile, which is copied.
    pub profile: PathBuf,
    /// A registry in place of all others, as host and port.
    pub mirror: Option<&'a str>,
    /// What that registry has now: with another text than last time the lock is made afresh.
    pub images: &'a str,
}

impl Source<'_> {
    /// The shipped profile of that name.
    fn shipped(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        Self { profile: folder.join(name).with_extension("toml"), mirror: None, images: "" }
    }

    fn name(&self) -> &str {
        self.profile.file_stem().unwrap().to_str().unwrap()
    }

    /// A call of the program that asks the registry.
    fn call(&self, verb: &str) -> Tool {
        call(verb).args(self.mirror.map(|mirror| format!("--registry-mirror={mirror}")))
    }
}

/// As [`minimal`], for the shipped profile of that name.
pub fn image(name: &str) -> Option<PathBuf> {
    image_of(&Source::shipped(name))
}

/// As [`minimal`], for another profile.
pub fn image_of(source: &Source<'_>) -> Option<PathBuf> {
    let folder = folder();
    // One test program at a time: the others find the image made.
    let guard = fs::File::create(folder.join(format!("{}.guard", source.name()))).unwrap();
    flock(&guard, FlockOperation::LockExclusive).unwrap();
    let profile = locked_of(source)?;
    let images = folder.join("images");
    let built = source.call("build").arg(&profile).arg("--out").arg(&images).output();
    let printed = built.unwrap_or_else(|error| panic!("{error:#}"));
    let image = PathBuf::from(String::from_utf8(printed).unwrap().trim());
    assert!(image.starts_with(&images) && image.is_file(), "{}", image.display());
    Some(image)
}

/// The shipped profile of that name with a fresh lock beside it, as a file of the tests'. None, with a printed reason, where
/// no archive can be reached; on a CI machine that is a failure.
pub fn locked(name: &str) -> Option<PathBuf> {
    locked_of(&Source::shipped(name))
}

fn locked_of(source: &Source<'_>) -> Option<PathBuf> {
    let folder = folder();
    let guard = fs::File::create(folder.join("locks.guard")).unwrap();
    flock(&guard, FlockOperation::LockExclusive).unwrap();
    let profile = folder.join(source.name()).with_extension("toml");
    fs::copy(&source.profile, &profile).unwrap();
    let mark = profile.with_extension("images");
    if fs::read_to_string(&mark).unwrap_or_default() != source.images {
        let _ = fs::remove_file(profile.with_extension("lock"));
        fs::write(&mark, source.images).unwrap();
    }
    if let Err(error) = lock(&profile, source) {
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

/// The root filesystem of a box to try things on: the folder that BOXWRIGHT_TEST_ROOT names, or else [`root`]. Or why there is
/// none.
pub fn root_to_try() -> Result<PathBuf, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can make these namespaces".to_owned());
    }
    if let Some(named) = std::env::var_os("BOXWRIGHT_TEST_ROOT") {
        return Ok(PathBuf::from(named));
    }
    root().ok_or_else(|| "no image can be built here".to_owned())
}

/// Makes the lock of `profile` afresh, once for all tests that run together: mirrors drop what locks name, and what a box
/// asks for may have changed.
fn lock(profile: &Path, source: &Source<'_>) -> anyhow::Result<()> {
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let made = changed(&profile.with_extension("lock"));
    let fresh = made.and_then(|time| time.elapsed().ok()).is_some_and(|age| age.as_secs() < 3600);
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = vec![source.profile.clone()];
    for folder in fs::read_dir(project.join("firmware"))? {
        let folder = folder?.path();
        sources.extend(["distribution.toml", "platform.toml"].map(|name| folder.join(name)));
    }
    if fresh && sources.iter().all(|path| changed(path) < made) {
        return Ok(());
    }
    source.call("lock").arg(profile).arg("--update").run()
}

/// A call of the program as a user would make it.
pub fn call(verb: &str) -> Tool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Tool::new(PROGRAM).env("PATH", path).arg("--cache").arg(folder().join("cache")).arg(verb)
}
