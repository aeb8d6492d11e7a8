//! The root filesystem: locked packages go in; a configured, normalised system comes out.
//!
//! Packages are unpacked in parallel, dpkg's database is written, and the maintainer scripts run in a sandbox without
//! network. No program of the host is used, and nothing of the host (name, time, user, processor) reaches the result.

mod accounts;
mod archive;
mod configure;
mod database;
mod decompressed;
mod disputes;
mod early;
mod inside;
mod modules;
mod normalize;
mod owners;
mod package;
mod unpack;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};

use self::accounts::{Fixed, Renumbering};
use self::archive::Archive;
use self::early::Early;
pub use self::early::PackedTooEarly;
use self::inside::Inside;
use self::modules::Modules;
use self::owners::{Owners, Record};
use self::package::Package;
use crate::context::Context;
use crate::debian::deb::DebFile;
use crate::debian::unpack::{self as placing, Target};
use crate::firmware::SystemId;
use crate::sandbox::Isolation;
use crate::tools::Tools;
use crate::tree::{Directories, Metadata};
use crate::ui::Step;

/// The file in which a finished root keeps its time.
const TIME: &str = "time";

/// What a root filesystem is to be like, and where it is made.
#[derive(Debug, Clone, Default)]
pub struct RootOptions {
    /// Seconds since 1970; no time in the result is later.
    pub time: i64,
    /// The architecture of the system, as dpkg calls it.
    pub architecture: String,
    /// Where to build; made, and emptied first.
    pub directory: PathBuf,
    /// System users with a fixed id.
    pub users: BTreeMap<String, SystemId>,
    /// System groups with a fixed id.
    pub groups: BTreeMap<String, u32>,
    /// How programs of the system are run; [`Isolation::detect`] where there is none.
    pub isolation: Option<Isolation>,
    /// Whether nothing is packed before all packages are configured: for a second try after [`PackedTooEarly`].
    pub late: bool,
}

/// A configured system in a folder.
#[derive(Debug)]
pub struct Root {
    inside: Inside,
    time: i64,
}

/// Makes the system from `debs`, and writes it to `tar` as a tar stream, partly while packages are still being
/// configured. Hand a sink to it that consumes the stream at once, like [`crate::layers::seal`]'s. While the rest is
/// written, `meanwhile` works with the finished system, which it must not change.
///
/// # Errors
/// If a package is broken or cannot be configured, if it makes a system user without a fixed id, if the kernel
/// forbids the sandbox, or if the disk is full. The message says which, and what to do. [`PackedTooEarly`] if a file
/// changed after it was written; then [`RootOptions::late`] helps. Those of `meanwhile`.
pub fn build(
    debs: &[DebFile],
    options: &RootOptions,
    (tools, context): (&Tools, &Context),
    (tar, meanwhile): (&mut dyn Write, impl FnOnce(&Root) -> Result<()> + Send),
) -> Result<Root> {
    let isolation = match options.isolation {
        Some(isolation) => isolation,
        None => Isolation::detect()?,
    };
    let tree = options.directory.join("tree");
    if options.directory.exists() {
        fs::remove_dir_all(&options.directory)
            .with_context(|| format!("emptying {}", options.directory.display()))?;
    }
    fs::create_dir_all(&tree).with_context(|| format!("creating {}", tree.display()))?;
    let inside = Inside::prepare(&options.directory, isolation, tools)?;

    let (packages, target) = unpack(debs, options, &inside, context)?;
    let step = context.ui.step("configuring packages");
    let mut archive = Archive::new(tar, &tree, options.time);
    let paths = if options.late { Vec::new() } else { early::choose(&packages) };
    let owners = inside.owners()?;
    let (early, configured) = std::thread::scope(|scope| {
        let configured = scope.spawn(|| configure(packages, &target, options, (&inside, context, &step)));
        let early = Early::pack(&paths, &tree, &owners, &mut archive);
        (early, configured.join())
    });
    configured.map_err(|_| anyhow!("configuring packages has crashed"))??;
    step.done(format!("{} packages", debs.len()));

    let step = context.ui.step("packing the root filesystem");
    let (early, owners) = (early?, inside.owners()?);
    early.check(&tree, &owners)?;
    let root = Root { inside, time: options.time };
    std::thread::scope(|scope| {
        let made = scope.spawn(|| meanwhile(&root));
        let packed = archive.add_rest(&owners, &early).and_then(|()| archive.finish());
        step.done("");
        let made =
            made.join().unwrap_or_else(|_| Err(anyhow!("working with the root filesystem has crashed")));
        packed.and(made)
    })?;
    let time = options.directory.join(TIME);
    fs::write(&time, options.time.to_string()).with_context(|| format!("writing {}", time.display()))?;
    Ok(root)
}

/// Unpacks `debs` and writes dpkg's database.
fn unpack<'a>(
    debs: &'a [DebFile],
    options: &RootOptions,
    inside: &Inside,
    context: &Context,
) -> Result<(Vec<Package<'a>>, Target)> {
    let step = context.ui.step("unpacking packages");
    placing::make_usr_aliases(inside.tree())?;
    let owners = match inside.isolation() {
        Isolation::Root => placing::Owners::Real,
        Isolation::UserNamespace => placing::Owners::Ours,
    };
    let target = Target::open(inside.tree(), owners)?;
    let (mut packages, mut made) = unpack::all(debs, &target, (options.time, context, &step))?;
    made.extend(disputes::settle(&mut packages, &target, options.time)?);
    made.extend(packages.iter().flat_map(|package| &package.placed));
    inside.keep(&Record::of_unpacked(made))?;
    database::write(inside.tree(), &packages, &options.architecture)?;
    step.done(format!("{} packages", packages.len()));
    Ok((packages, target))
}

/// Runs the maintainer scripts and makes their result the same on every machine.
fn configure(
    mut packages: Vec<Package<'_>>,
    target: &Target,
    options: &RootOptions,
    (inside, context, step): (&Inside, &Context, &Step),
) -> Result<()> {
    let tree = inside.tree();
    configure::prepare(inside, &packages)?;
    let made = disputes::divert(tree, &mut packages, target, options.time)?;
    if let Owners::Recorded(mut record) = inside.owners()? {
        record.add(made);
        inside.keep(&record)?;
    }
    let modules = Modules::of(&packages);
    std::thread::scope(|scope| {
        let index = modules.as_ref().map(|modules| scope.spawn(|| modules.index(inside, context)));
        let configured = configure::configure(inside, packages.len(), modules.as_ref(), step);
        let crashed = |_| Err(anyhow!("making an index of modules has crashed"));
        let indexed = index.map_or(Ok(()), |index| index.join().unwrap_or_else(crashed));
        configured.and(indexed)
    })?;
    let fixed = Fixed { users: &options.users, groups: &options.groups };
    let numbering = accounts::renumber(tree, fixed)?;
    normalize::normalize(tree, options.time)?;
    change_owners(inside, &numbering)
}

/// Gives every file of the tree the owner that `numbering` says.
fn change_owners(inside: &Inside, numbering: &Renumbering) -> Result<()> {
    let mut owners = inside.owners()?;
    let tree = inside.tree();
    archive::walk(tree, &mut |path, metadata| {
        let old = owners.of(metadata);
        let new = Metadata { uid: numbering.user(old.uid), gid: numbering.group(old.gid), ..old };
        if new == old { Ok(()) } else { owners.change(&tree.join(path), metadata, new) }
    })?;
    match &owners {
        Owners::Real => Ok(()),
        Owners::Recorded(record) => inside.keep(record),
    }
}

impl Root {
    /// A system that [`build`] finished in `directory` before.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(directory: &Path) -> Result<Self> {
        let time = fs::read_to_string(directory.join(TIME))
            .with_context(|| format!("{} holds no finished root filesystem", directory.display()))?;
        let inside = Inside::open(directory)?;
        ensure!(inside.tree().is_dir(), "{} is missing", inside.tree().display());
        Ok(Self { inside, time: time.trim().parse().context("the time of a root filesystem is no number")? })
    }

    /// Where the tree is.
    pub fn path(&self) -> &Path {
        self.inside.tree()
    }

    /// Writes the whole system as a normalised tar stream, sorted by path.
    ///
    /// # Errors
    /// If the tree cannot be read, or any error of the writer.
    pub fn write_tar(&self, tar: &mut dyn Write) -> Result<()> {
        let owners = self.inside.owners()?;
        let mut archive = Archive::new(tar, self.path(), self.time);
        archive.add_rest(&owners, &Early::default())?;
        archive.finish()
    }

    /// The folders of the system with mode and owner, for layers that go on top.
    ///
    /// # Errors
    /// If the tree cannot be read.
    pub fn directories(&self) -> Result<Directories> {
        let owners = self.inside.owners()?;
        let mut directories = Directories::new();
        archive::walk(self.path(), &mut |path, metadata| {
            if metadata.is_dir() {
                // Names that are not UTF-8 are none that a layer of ours could repeat.
                directories.insert(path.to_string_lossy().into_owned(), owners.of(metadata));
            }
            Ok(())
        })?;
        Ok(directories)
    }

    /// Runs a program of the system inside it, in the sandbox: no network, fixed host name, `/run` and `/tmp` empty.
    /// Returns its standard output.
    ///
    /// # Errors
    /// If it cannot be started or does not exit with 0.
    pub fn run(&self, program: &[&str]) -> Result<Vec<u8>> {
        self.inside.tool(program).output()
    }

    /// As [`Self::run`]; the program finds the folder `shared.0` as `/run/<shared.1>`, and may write to it.
    ///
    /// # Errors
    /// Those of [`Self::run`].
    pub fn run_with(&self, program: &[&str], shared: (&Path, &str)) -> Result<Vec<u8>> {
        self.inside.tool_with(program, shared).output()
    }
}
