//! `boxwright verify`: builds an image again and compares.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::output::Rejected;
use super::{Session, profile};
use crate::atomic::Scratch;
use crate::build::manifest::Manifest;
use crate::build::{Built, Order, lock_of, locking};
use crate::context::Context;
use crate::diag::InputError;
use crate::lock;
use crate::prune::{DOWNLOADS, PARTIAL, VERIFY};
use crate::secrets::Handover;
use crate::ui::human_bytes;
use crate::verify::{self, Difference, Image};

/// `verify`
#[derive(Debug, Args)]
#[command(after_help = "The lock and the manifest beside the image say what it was made from.")]
pub struct Verify {
    /// The image; it is not changed
    pub image: PathBuf,
    /// The box's profile, where it is not profiles/NAME.toml
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<PathBuf>,
}

pub(super) fn run(session: &Session, arguments: &Verify) -> anyhow::Result<()> {
    let image = Image::open(&arguments.image)?;
    let manifest = Manifest::load(&arguments.image).ok_or_else(|| {
        let path = Manifest::path(&arguments.image);
        InputError(format!(
            "{} is missing or of another program: it says which box the image is",
            path.display()
        ))
    })?;
    let path = match &arguments.profile {
        Some(path) => path.clone(),
        None => profile::named(&session.context(&arguments.image)?.project, &manifest.name),
    };
    let (built, _scratch, context) = again(session, &path, &arguments.image, &manifest)?;
    let tools = locking::tools(&locked(&arguments.image)?, &context)?;
    let step = session.ui.step("comparing");
    let second = Image::open(&built.image)?;
    let differences = verify::compare(&image, &second, &tools)?;
    step.done(human_bytes(image.data_bytes().max(second.data_bytes())));
    if !differences.is_empty() {
        explain(session, (&arguments.image, &manifest), &built);
    }
    report(session, &arguments.image, &differences)
}

/// Says whether `image` is identical, or in what it differs.
///
/// # Errors
/// [`Rejected`] if it differs; or if nobody reads the answer.
fn report(session: &Session, image: &Path, differences: &[Difference]) -> anyhow::Result<()> {
    if session.global.json {
        let value =
            json!({ "image": image, "identical": differences.is_empty(), "differences": differences });
        session.out.json(&value)?;
    } else if differences.is_empty() {
        session.out.write(&format!("{}: identical\n", image.display()))?;
    } else {
        session.out.write(&text(image, differences))?;
    }
    if differences.is_empty() { Ok(()) } else { Err(Rejected.into()) }
}

/// The lock beside `image`.
fn locked(image: &Path) -> anyhow::Result<lock::Lock> {
    let path = lock_of(image);
    Ok(lock::load(&path)?.ok_or_else(|| {
        InputError(format!("{} is missing: it says what the image was made from", path.display()))
    })?)
}

/// Builds the image again, from the lock beside it and the profile at `path`, in a folder and a cache of its own that go
/// with the returned guard. Downloads are shared: each is compared with its digest whenever it is used.
fn again(
    session: &Session,
    path: &Path,
    image: &Path,
    manifest: &Manifest,
) -> anyhow::Result<(Built, Scratch, Context)> {
    let lock = locked(image)?;
    let subject = session.subject(path)?;
    if subject.checked.name() != manifest.name {
        let (ours, theirs) = (subject.checked.name(), &manifest.name);
        bail!(InputError(format!(
            "{} is the profile of {ours}, and the image is {theirs}'s",
            path.display()
        )));
    }
    let shared = subject.context(session)?;
    let scratch = Scratch::create(&shared.cache.join(VERIFY))?;
    let cache = scratch.path().join("cache");
    fs::create_dir(&cache).with_context(|| format!("creating {}", cache.display()))?;
    for kind in DOWNLOADS.into_iter().chain([PARTIAL]) {
        let folder = shared.cache.join(kind);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        std::os::unix::fs::symlink(&folder, cache.join(kind))
            .with_context(|| format!("linking to {}", folder.display()))?;
    }
    let context = Context { cache, ..shared };
    let order = Order {
        checked: &subject.checked,
        plan: &subject.plan,
        lock: &lock,
        secrets: None,
        handover: &Handover { incarnation: None, restore: None, rehearsal: false },
        out: &scratch.path().join("out"),
    };
    let built = order.build(&context).context("building the image again")?;
    Ok((built, scratch, context))
}

/// Says what may be the reason of a difference, as far as that is known.
fn explain(session: &Session, (image, manifest): (&Path, &Manifest), built: &Built) {
    if built.manifest.inputs != manifest.inputs {
        session.ui.warn(
            "this is not what the image was made from: the program, the profile, overlays/ or firmware/ have changed since, \
             or it holds secrets",
        );
    }
    let now = crate::build::content(image).ok();
    if manifest.content.is_some() && now != manifest.content {
        session.ui.warn(format!(
            "{} is not what its manifest says: it was changed after it was built",
            image.display()
        ));
    }
}

/// The differences for a person, under the partition and the stage of each. Writing into a String cannot fail.
fn text(image: &Path, differences: &[Difference]) -> String {
    let mut text = format!("{} is not what comes out when it is built again\n", image.display());
    let mut place = None;
    for difference in differences {
        let here = (difference.stage, &difference.partition);
        if place != Some(here) {
            _ = writeln!(text, "{}, made by the stage `{}`", here.1, here.0.word());
            place = Some(here);
        }
        _ = writeln!(text, "  {difference}");
    }
    text
}
