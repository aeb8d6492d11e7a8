//! A second build under other circumstances: whatever may differ from machine to machine and must not change a byte.
//!
//! The program, the project, the profile, its lock and everything that the lock names are copied, and the copy of the
//! program builds from them: in another folder, from entries that were made in another order, as another user, with
//! another umask, time zone, language and host name, on one processor, at another date. What this machine does not let vary is
//! told.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::atomic::{self, Scratch};
use crate::context::Context;
use crate::images::Stored;
use crate::interrupt;
use crate::lock::{self, Lock};
use crate::mirror;
use crate::sandbox::Circumstances;
use crate::tool::Tool;
use crate::tools::{self, Tools};

/// An id that no account of a usual system has.
const USER: u32 = 60_123;
/// Where everybody may have large files (file hierarchy standard, 5.15).
const LARGE: &str = "/var/tmp";
/// Where a filesystem is in memory: there the order in which a folder's entries were made is that in which they are listed, or
/// the opposite. On a disk names are hashed as a rule, and a copy is listed as the original.
const MEMORY: &str = "/dev/shm";
/// What changes the clock of the second build, in its folder.
const CLOCK: &str = "libfaketime.so";
/// What the folders are called: names that nobody quotes by chance.
const FOLDER: &str = "another folder ü";

/// What is built again.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    /// The file of the profile.
    pub profile: &'a Path,
    /// The box's name.
    pub name: &'a str,
    /// What it is built from.
    pub lock: &'a Lock,
    /// The container images that are part of it.
    pub stored: &'a [Stored],
    /// The circumstances of the first build.
    pub context: &'a Context,
    /// The tools of the lock.
    pub tools: &'a Tools,
}

/// A second build. Its files go with this value.
#[derive(Debug)]
pub struct Elsewhere {
    /// The image.
    pub image: PathBuf,
    /// What was varied, and how; what was not, and why.
    pub varied: Vec<(&'static str, String)>,
    _folders: [Scratch; 2],
}

impl Elsewhere {
    /// Builds.
    ///
    /// # Errors
    /// If something cannot be copied, or the build fails.
    pub fn build(original: &Original<'_>) -> Result<Self> {
        let large = Scratch::create(Path::new(LARGE)).context("making another folder to build in")?;
        let memory = Scratch::create(Path::new(MEMORY)).or_else(|_| Scratch::create(Path::new(LARGE)))?;
        for scratch in [&large, &memory] {
            open_to_all(scratch.path())?;
        }
        let (place, project) = (large.path().join(FOLDER), memory.path().join(FOLDER));
        let root = rustix::process::geteuid().is_root();
        let ordered = copy(original, &place, &project)?;
        if root {
            [&place, &project].into_iter().try_for_each(|folder| give(folder))?;
        }
        let processors = rustix::thread::sched_getaffinity(None).context("counting processors")?;
        let usable: Vec<usize> =
            (0..rustix::thread::CpuSet::MAX_CPU).filter(|number| processors.is_set(*number)).collect();
        let circumstances = Circumstances {
            host_name: root.then_some("elsewhere"),
            umask: Some(0o077),
            processor: usable.last().copied(),
            user: root.then_some(USER),
        };
        let jobs = if original.context.jobs == 1 { 3 } else { 1 };
        let out = place.join("out");
        let step = original.context.ui.step("building it elsewhere");
        call(original, (&place, &project), jobs)
            .under(circumstances)
            .run()
            .context("building it under other circumstances")?;
        step.done(FOLDER);
        let image = out.join(format!("{}.img", original.name));
        ensure!(image.is_file(), "the second build has left no image at {}", image.display());
        let varied = told(&circumstances, (usable.len(), jobs, original.context.jobs), ordered);
        let varied = [("folder", project.display().to_string())].into_iter().chain(varied).collect();
        Ok(Self { image, varied, _folders: [large, memory] })
    }
}

/// What was varied besides the folder, and how; what was not, and why. `processors`: how many there are, how many threads
/// work now, and did before. `ordered`: see [`copy`].
fn told(
    circumstances: &Circumstances,
    processors: (usize, usize, usize),
    ordered: usize,
) -> [(&'static str, String); 8] {
    let root = |value: Option<String>| value.unwrap_or_else(|| "not varied: only root can".to_owned());
    let (usable, jobs, before) = processors;
    [
        ("user", root(circumstances.user.map(|id| id.to_string()))),
        ("umask", circumstances.umask.map(|umask| format!("{umask:03o}")).unwrap_or_default()),
        ("time zone", ZONE.to_owned()),
        ("language", LANGUAGE.to_owned()),
        ("host name", root(circumstances.host_name.map(str::to_owned))),
        ("processors", format!("1 of {usable}, {jobs} jobs in place of {before}")),
        ("clock", format!("{DAYS} days later for programs; files get the kernel's time")),
        (
            "order of files",
            match ordered {
                0 => "not varied: the filesystem lists the copy in the same order".to_owned(),
                count => format!("another one in {count} folders"),
            },
        ),
    ]
}

/// The time zone of the second build, 14 hours before UTC.
const ZONE: &str = "Pacific/Kiritimati";
/// How much later it is for the second build: another year, month and day of the month.
const DAYS: u16 = 400;
/// The language of the second build, in which `i` and `I` are two letters, and lists are sorted in another way.
const LANGUAGE: &str = "tr_TR.UTF-8";

/// The call of the copied program. Nothing of the first call's environment is handed on.
fn call(original: &Original<'_>, (place, project): (&Path, &Path), jobs: usize) -> Tool {
    let mirror =
        original.context.registry_mirror.as_ref().map(|mirror| format!("--registry-mirror={mirror}"));
    Tool::new(place.join("boxwright"))
        .env("PATH", "/nonexistent")
        .env("HOME", "/nonexistent")
        .env("TZ", ZONE)
        .env("LANG", LANGUAGE)
        .env("LC_ALL", LANGUAGE)
        .env("LD_PRELOAD", place.join(CLOCK))
        .envs(tools::ahead(DAYS))
        .current_dir(project)
        .args([
            "--quiet",
            "--offline",
            "--jobs",
            &jobs.to_string(),
            "--days-ahead",
            &DAYS.to_string(),
            "--cache",
        ])
        .arg(place.join("cache"))
        .args(mirror)
        .arg("build")
        .arg(format!("profiles/{}.toml", original.name))
        .arg("--from")
        .arg(place.join("kept"))
        .arg("--out")
        .arg(place.join("out"))
}

/// Copies what is built from: into `place` what is large, into `project` the project. Returns in how many folders of the
/// project the entries have another order now.
fn copy(original: &Original<'_>, place: &Path, project: &Path) -> Result<usize> {
    for folder in [place, project] {
        fs::create_dir(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let program = place.join("boxwright");
    fs::copy("/proc/self/exe", &program).context("copying the program")?;
    open_to_all(&program)?;
    fs::copy(original.tools.path(tools::FAKETIME)?, place.join(CLOCK)).context("copying libfaketime")?;
    mirror::keep(original.lock, original.stored, &place.join("kept"), original.context)?;
    let newest_first = newest_first(project)?;
    let mut ordered = 0;
    for folder in ["overlays", "firmware"] {
        ordered += reordered(&original.context.project.join(folder), &project.join(folder), newest_first)?;
    }
    let profiles = project.join("profiles");
    fs::create_dir(&profiles).with_context(|| format!("creating {}", profiles.display()))?;
    let profile = profiles.join(format!("{}.toml", original.name));
    let text =
        fs::read(original.profile).with_context(|| format!("reading {}", original.profile.display()))?;
    atomic::write(&profile, &text)?;
    lock::save(original.lock, &profile.with_extension("lock"))?;
    Ok(ordered)
}

/// Lets everybody read and enter.
fn open_to_all(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("opening {}", path.display()))
}

/// Whether the filesystem lists what was made last in the empty `folder` first.
fn newest_first(folder: &Path) -> Result<bool> {
    let files = ["1", "2"].map(|name| folder.join(name));
    for file in &files {
        fs::write(file, "").with_context(|| format!("writing {}", file.display()))?;
    }
    let first = names(folder)?.into_iter().next();
    for file in &files {
        fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
    }
    Ok(first.is_some_and(|name| name == "2"))
}

/// Copies the folder `from` to `to`, so that the entries come in the opposite order where the filesystem keeps one. Returns
/// in how many folders they come in another order than before.
fn reordered(from: &Path, to: &Path, newest_first: bool) -> Result<usize> {
    interrupt::check()?;
    fs::create_dir(to).with_context(|| format!("creating {}", to.display()))?;
    let names = names(from)?;
    let mut order: Vec<&std::ffi::OsString> = names.iter().collect();
    if !newest_first {
        order.reverse();
    }
    let mut count = 0;
    for name in order {
        let (source, target) = (from.join(name), to.join(name));
        let context = || format!("copying {}", source.display());
        let metadata = fs::symlink_metadata(&source).with_context(context)?;
        if metadata.is_dir() {
            count += reordered(&source, &target, newest_first)?;
        } else if metadata.is_symlink() {
            // A relative one leads elsewhere in the copy; one that leads out of the project stays what it is.
            symlink(fs::read_link(&source).with_context(context)?, &target).with_context(context)?;
        } else {
            let bytes = fs::read(&source).with_context(context)?;
            let mut file = fs::File::create(&target).with_context(context)?;
            file.write_all(&bytes).with_context(context)?;
            file.set_permissions(metadata.permissions()).with_context(context)?;
        }
    }
    Ok(count + usize::from(self::names(to)? != names))
}

/// The names in a folder, as the filesystem lists them.
fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    let context = || format!("reading {}", folder.display());
    fs::read_dir(folder)
        .with_context(context)?
        .map(|entry| Ok(entry.with_context(context)?.file_name()))
        .collect()
}

/// Gives everything below `path` to [`USER`].
fn give(path: &Path) -> Result<()> {
    let context = || format!("giving {} to another user", path.display());
    lchown(path, Some(USER), Some(USER)).with_context(context)?;
    if fs::symlink_metadata(path).with_context(context)?.is_dir() {
        for name in names(path)? {
            give(&path.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_files_in_another_order_where_the_filesystem_keeps_one() {
        let folder = Scratch::create(Path::new(MEMORY)).unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let newest_first = newest_first(folder.path()).unwrap();
        fs::create_dir_all(from.join("sub")).unwrap();
        for name in ["a", "b", "sub/c", "sub/d"] {
            fs::write(from.join(name), name).unwrap();
        }
        symlink("a", from.join("link")).unwrap();
        let count = reordered(&from, &to, newest_first).unwrap();
        let sorted = |folder: &Path| {
            let mut names = names(folder).unwrap();
            names.sort();
            names
        };
        for folder in ["", "sub"] {
            assert_eq!(sorted(&from.join(folder)), sorted(&to.join(folder)));
        }
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("a"));
        assert_eq!(fs::read(to.join("sub/d")).unwrap(), b"sub/d");
        assert_eq!(count, 2, "a filesystem in memory keeps an order");
    }
}
