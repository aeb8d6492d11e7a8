//! `boxwright diff`: what differs between two profiles, two locks or two images.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::Session;
use super::subject::Owned;
use super::surroundings;
use crate::build::manifest::{self, Manifest};
use crate::build::{self, lock_of, locking};
use crate::context::Context;
use crate::diag::InputError;
use crate::diff::{self, Content, Kind, Side};
use crate::inspect;
use crate::interrupt;
use crate::lock::{self, Lock};
use crate::tools::Tools;
use crate::tree::Tree;
use crate::ui::printable_lines;

/// What is compared of images whose files are read.
const INSIDE: &str = "services, host names, ports, networks, units and files";

/// `diff`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Profiles are compared with the locks beside them; nothing is built or fetched.
The files in images are read with unsquashfs of their locked tools, which are
fetched where the cache lacks them. Nothing is read of the secrets partition.
Differences are no failure: the exit code is 0 with and without them, and --json
says whether there are any (`differs`).")]
pub struct Diff {
    /// A profile, a lock, or an image with its manifest beside it
    pub old: PathBuf,
    /// Another of the same kind
    pub new: PathBuf,
    /// Print a comment for a merge request
    #[arg(long)]
    pub markdown: bool,
}

/// What was read of one of the two.
struct Loaded {
    name: String,
    lock: Option<Lock>,
    what: What,
    /// What could not be read, with the reason.
    unread: Option<String>,
}

enum What {
    Profile(Box<Owned>, Tree),
    Lock,
    /// With the files in it, where they were read.
    Image(Box<Manifest>, Option<Tree>),
}

pub(super) fn run(session: &Session, arguments: &Diff) -> Result<()> {
    if arguments.markdown && session.global.json {
        return Err(InputError("--markdown and --json are two forms of one report: choose one".into()).into());
    }
    let (old, new) = (session.find(&arguments.old), session.find(&arguments.new));
    let kinds = (kind(&old)?, kind(&new)?);
    if kinds.0 != kinds.1 {
        return Err(InputError(format!(
            "{} is {} and {} is {}: name two of one kind",
            old.display(),
            kinds.0.word(),
            new.display(),
            kinds.1.word()
        ))
        .into());
    }
    let paths = [old.as_path(), new.as_path()];
    let mut both = [load(session, paths[0], kinds.0)?, load(session, paths[1], kinds.1)?];
    let unread = match kinds.0 {
        Kind::Image => look_inside(session, paths, &mut both)?,
        Kind::Profile | Kind::Lock => None,
    };
    let [old, new] = &both;
    let mut difference = diff::compare(&old.side(), &new.side());
    difference.not_compared.extend(both.iter().filter_map(|side| side.unread.clone()));
    difference.not_compared.extend(unread.map(|reason| format!("{INSIDE}: {reason}")));
    if let Some(lock) = new.lock.as_ref().filter(|_| old.lock.is_some()) {
        diff::look_for_fixes(&mut difference, lock, &surroundings::cache(&session.global)?)?;
    }
    if session.global.json {
        return session.out.json(&serde_json::to_value(&difference)?);
    }
    let text = if arguments.markdown { diff::markdown(&difference) } else { diff::text(&difference) };
    session.out.write(&printable_lines(&text))
}

/// What the file at `path` is, by its name.
fn kind(path: &Path) -> Result<Kind> {
    if !path.exists() && !Manifest::path(&unpacked(path)).exists() {
        return Err(InputError(format!("there is no {}", path.display())).into());
    }
    match path.extension().and_then(OsStr::to_str) {
        Some("toml") => Ok(Kind::Profile),
        Some("lock") => Ok(Kind::Lock),
        Some("img" | "zst" | "gz") => Ok(Kind::Image),
        _ => Err(InputError(format!(
            "{} is no profile (.toml), lock (.lock) or image (.img, .img.zst, .img.gz)",
            path.display()
        ))
        .into()),
    }
}

/// The name of an image without what a packer has added: its manifest and lock are called after that.
fn unpacked(path: &Path) -> PathBuf {
    match path.extension().and_then(OsStr::to_str) {
        Some("zst" | "gz") => path.with_extension(""),
        _ => path.to_owned(),
    }
}

fn load(session: &Session, path: &Path, kind: Kind) -> Result<Loaded> {
    let name = path.display().to_string();
    match kind {
        Kind::Profile => {
            let owned = session.subject_quietly(path)?;
            let lock = lock::load(&owned.borrow().lock_path())?;
            let context = owned.context(session)?;
            let images = lock.as_ref().map_or(&[][..], |lock| &lock.images);
            let tree = build::render(&owned.checked, &owned.plan, images, &context)?;
            Ok(Loaded { name, lock, what: What::Profile(Box::new(owned), tree), unread: None })
        }
        Kind::Lock => {
            let lock = lock::load(path)?.ok_or_else(|| InputError(format!("there is no {name}")))?;
            Ok(Loaded { name, lock: Some(lock), what: What::Lock, unread: None })
        }
        Kind::Image => {
            let image = unpacked(path);
            let manifest = manifest_of(&image)?;
            let (lock, unread) = lock_for(path, &image)?;
            Ok(Loaded { name, lock, what: What::Image(Box::new(manifest), None), unread })
        }
    }
}

/// The lock of the image at `path`, which is called `image` once it is unpacked: its own, and only if it has none the one beside
/// it. And why its own cannot be read.
fn lock_for(path: &Path, image: &Path) -> Result<(Option<Lock>, Option<String>)> {
    let origin = if path.is_file() && path == image { inspect::origin_in(path) } else { Ok(None) };
    let beside = || lock::load(&lock_of(image));
    match origin {
        Ok(Some(origin)) => Ok((Some(origin.lock), None)),
        Ok(None) => Ok((beside()?, None)),
        Err(error) => {
            let (lock, instead) = match beside() {
                Ok(Some(lock)) => (Some(lock), "the lock beside it was compared"),
                _ => (None, "neither packages nor container images were"),
            };
            let name = path.display();
            Ok((lock, Some(format!("the lock in {name}: {error:#}; {instead}"))))
        }
    }
}

/// The manifest beside `image`, which must be that of this very image where the image is there.
fn manifest_of(image: &Path) -> Result<Manifest> {
    let path = Manifest::path(image);
    let manifest = Manifest::load(image).ok_or_else(|| {
        InputError(format!(
            "{} is no manifest that this program knows, or is not there; it is written beside the image",
            path.display()
        ))
    })?;
    if image.is_file() {
        let found = manifest::fingerprint(image).context("comparing an image with its manifest")?;
        if found != manifest.fingerprint {
            return Err(InputError(format!(
                "{} is not what {} says: it was changed after it was built, or the manifest is another image's",
                image.display(),
                path.display()
            ))
            .into());
        }
    }
    Ok(manifest)
}

/// Reads the files in two images, unless there is a reason not to, which is returned.
///
/// # Errors
/// If an image is damaged.
fn look_inside(session: &Session, paths: [&Path; 2], both: &mut [Loaded; 2]) -> Result<Option<String>> {
    let closed: Vec<String> = paths.into_iter().filter_map(closed).collect();
    if !closed.is_empty() {
        return Ok(Some(closed.join(" and ")));
    }
    let (tools, context) = match tools(session, paths[1], both) {
        Ok(found) => found,
        Err(error) => {
            interrupt::check()?;
            // What lies beside the images can be compared without tools, also where there is no network.
            let reason = format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join("; ");
            return Ok(Some(format!("what reads them could not be had: {reason}")));
        }
    };
    for (side, path) in both.iter_mut().zip(paths) {
        if let What::Image(_, files) = &mut side.what {
            *files = Some(inspect::files_in(path, &tools, context.jobs)?);
        }
    }
    Ok(None)
}

/// Why the files in the image at `path` cannot be read; none if they can.
fn closed(path: &Path) -> Option<String> {
    let name = path.display();
    match path.extension().and_then(OsStr::to_str) {
        Some("zst") => Some(format!("{name} is packed; `zstd -d {name}` unpacks it")),
        Some("gz") => Some(format!("{name} is packed; `gunzip -k {name}` unpacks it")),
        _ => (!path.is_file()).then(|| format!("there is no {name}, but what lies beside it")),
    }
}

/// The tools of one of the two locks: those that the cache has unpacked, or else the newer ones.
fn tools(session: &Session, subject: &Path, both: &[Loaded; 2]) -> Result<(Tools, Context)> {
    let context = session.context(subject)?;
    let locks = || both.iter().rev().filter_map(|side| side.lock.as_ref());
    let unpacked = |lock: &Lock| Tools::unpacked(lock.tools.iter().map(|package| &package.sha256), &context);
    let tools = match (locks().find_map(unpacked), locks().next()) {
        (Some(tools), _) => tools,
        (None, Some(lock)) => locking::tools(lock, &context)?,
        (None, None) => bail!("no lock says which tools read them"),
    };
    Ok((tools, context))
}

impl Loaded {
    fn side(&self) -> Side<'_> {
        let content = match &self.what {
            What::Profile(owned, tree) => Content::Profile(&owned.checked, &owned.plan, tree),
            What::Lock => Content::Lock,
            What::Image(manifest, files) => Content::Image(manifest, files.as_ref()),
        };
        Side { name: &self.name, lock: self.lock.as_ref(), content }
    }
}
