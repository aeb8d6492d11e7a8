//! `boxwright diff`: what differs between two profiles, two locks or two images.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Session;
use super::subject::Owned;
use super::surroundings;
use crate::build::manifest::{self, Manifest};
use crate::build::{self, lock_of};
use crate::diag::InputError;
use crate::diff::{self, Content, Kind, Side};
use crate::lock::{self, Lock};
use crate::tree::Tree;

/// `diff`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Profiles are compared with the locks beside them; nothing is built or fetched.
Differences are no failure: the exit code is 0 with and without them, and --json
says whether there are any (`differs`).")]
pub struct Diff {
    /// A profile, a lock, or an image with its manifest and lock beside it
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
}

enum What {
    Profile(Box<Owned>, Tree),
    Lock,
    Image(Box<Manifest>),
}

pub(super) fn run(session: &Session, arguments: &Diff) -> anyhow::Result<()> {
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
    let (old, new) = (load(session, &old, kinds.0)?, load(session, &new, kinds.1)?);
    let mut difference = diff::compare(&old.side(), &new.side());
    if let Some(lock) = new.lock.as_ref().filter(|_| old.lock.is_some()) {
        diff::look_for_fixes(&mut difference, lock, &surroundings::cache(&session.global)?)?;
    }
    if session.global.json {
        return session.out.json(&serde_json::to_value(&difference)?);
    }
    session.out.write(&if arguments.markdown { diff::markdown(&difference) } else { diff::text(&difference) })
}

/// What the file at `path` is, by its name.
fn kind(path: &Path) -> anyhow::Result<Kind> {
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

fn load(session: &Session, path: &Path, kind: Kind) -> anyhow::Result<Loaded> {
    let name = path.display().to_string();
    match kind {
        Kind::Profile => {
            let owned = session.subject(path)?;
            let lock = lock::load(&owned.borrow().lock_path())?;
            let context = owned.context(session)?;
            let images = lock.as_ref().map_or(&[][..], |lock| &lock.images);
            let tree = build::render(&owned.checked, &owned.plan, images, &context)?;
            Ok(Loaded { name, lock, what: What::Profile(Box::new(owned), tree) })
        }
        Kind::Lock => {
            let lock = lock::load(path)?.ok_or_else(|| InputError(format!("there is no {name}")))?;
            Ok(Loaded { name, lock: Some(lock), what: What::Lock })
        }
        Kind::Image => {
            let image = unpacked(path);
            let manifest = manifest_of(&image)?;
            let lock = lock::load(&lock_of(&image))?;
            Ok(Loaded { name, lock, what: What::Image(Box::new(manifest)) })
        }
    }
}

/// The manifest beside `image`, which must be that of this very image where the image is there.
fn manifest_of(image: &Path) -> anyhow::Result<Manifest> {
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

impl Loaded {
    fn side(&self) -> Side<'_> {
        let content = match &self.what {
            What::Profile(owned, tree) => Content::Profile(&owned.checked, &owned.plan, tree),
            What::Lock => Content::Lock,
            What::Image(manifest) => Content::Image(manifest),
        };
        Side { name: &self.name, lock: self.lock.as_ref(), content }
    }
}
