//! `boxwright verify`: builds an image again and compares.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::made_from::MadeFrom;
use super::output::Rejected;
use super::subject::Owned;
use super::{Session, profile, sign};
use crate::atomic::Scratch;
use crate::build::{Built, Order, locking};
use crate::context::Context;
use crate::diag::InputError;
use crate::images::{self, Skopeo};
use crate::lock::Lock;
use crate::prune::{DOWNLOADS, PARTIAL, VERIFY};
use crate::secrets::Handover;
use crate::tools::Tools;
use crate::ui::{human_bytes, printable_lines};
use crate::verify::{self, Difference, Elsewhere, Image, Original};

/// `verify`
#[derive(Debug, Args)]
#[command(after_help = "\
The image itself says what it was made from. Only where it does not, as one of
an older Boxwright, the lock and the manifest beside it are asked.")]
pub struct Verify {
    /// The image; it is not changed. A profile with --twice
    #[arg(value_name = "IMAGE")]
    pub subject: PathBuf,
    /// The box's profile, where it is not profiles/NAME.toml
    #[arg(long, value_name = "PROFILE", conflicts_with = "twice")]
    pub profile: Option<PathBuf>,
    /// Build nothing unless one of these has signed the image: NAME KEY in each line, as ssh-keygen reads it
    #[arg(long, value_name = "FILE", conflicts_with = "twice")]
    pub signers: Option<PathBuf>,
    /// Build the profile twice, the second time under other circumstances: folder, user, umask, time zone, language, host
    /// name, processors, clock, order of files
    #[arg(long)]
    pub twice: bool,
}

pub(super) fn run(session: &Session, arguments: &Verify) -> anyhow::Result<()> {
    if arguments.twice {
        return twice(session, &arguments.subject);
    }
    let path = &arguments.subject;
    let image = Image::open(path)?;
    // What an image of nobody's says is no reason to run anything.
    let signer = match &arguments.signers {
        Some(signers) => Some(sign::vouched(session, path, signers)?),
        None => None,
    };
    let made_from = MadeFrom::of(session, path)?;
    let profile = match &arguments.profile {
        Some(profile) => profile.clone(),
        None => profile::named(&session.context(path)?.project, &made_from.name),
    };
    let subject = session.subject(&profile)?;
    if subject.checked.name() != made_from.name {
        let (ours, theirs) = (subject.checked.name(), &made_from.name);
        bail!(InputError(format!(
            "{} is the profile of {ours}, and the image is {theirs}'s",
            profile.display()
        )));
    }
    let lock = &made_from.lock;
    let again = again(&subject, lock, subject.context(session)?).context("building the image again")?;
    let tools = locking::tools(lock, &again.context)?;
    let differences = compare(session, &image, &Image::open(&again.built.image)?, &tools)?;
    if !differences.is_empty() {
        let record = subject.borrow().record(&again.context.project)?;
        let built = (again.built.image.as_path(), &again.built.manifest);
        made_from.explain(session, path, built, record.differences(lock));
    }
    report(session, (path, signer.as_deref()), &differences, &[])
}

/// `verify --twice`
fn twice(session: &Session, profile: &Path) -> anyhow::Result<()> {
    let subject = session.subject(profile)?;
    let shared = subject.context(session)?;
    let lock = subject.borrow().lock(&shared)?;
    let again = again(&subject, &lock, shared)?;
    let tools = locking::tools(&lock, &again.context)?;
    let list = images::list(&subject.checked, &subject.plan, &lock.images);
    let embedded: Vec<_> =
        images::embedded(&list, &lock.images).into_iter().filter(|image| image.digest.is_some()).collect();
    let stored = match embedded.is_empty() {
        true => Vec::new(),
        false => images::fetch(&embedded, &Skopeo::new(&tools, &again.context)?, &again.context)?,
    };
    let elsewhere = Elsewhere::build(&Original {
        profile: subject.borrow().path,
        name: subject.checked.name(),
        lock: &lock,
        stored: &stored,
        context: &again.context,
        tools: &tools,
    })?;
    let images = [Image::open(&again.built.image)?, Image::open(&elsewhere.image)?];
    let differences = compare(session, &images[0], &images[1], &tools)?;
    report(session, (subject.borrow().path, None), &differences, &elsewhere.varied)
}

fn compare(
    session: &Session,
    first: &Image,
    second: &Image,
    tools: &Tools,
) -> anyhow::Result<Vec<Difference>> {
    let step = session.ui.step("comparing");
    let differences = verify::compare(first, second, tools)?;
    step.done(human_bytes(first.data_bytes().max(second.data_bytes())));
    Ok(differences)
}

/// Says whether what was built of `subject`, and who has signed that, is identical, or in what it differs, and what was `varied`.
///
/// # Errors
/// [`Rejected`] if it differs; or if nobody reads the answer.
fn report(
    session: &Session,
    (subject, signer): (&Path, Option<&str>),
    differences: &[Difference],
    varied: &[(&'static str, String)],
) -> anyhow::Result<()> {
    let identical = differences.is_empty();
    if session.global.json {
        let mut value = json!({ "subject": subject, "identical": identical, "differences": differences });
        if let Some(signer) = signer {
            value["signer"] = json!(signer);
        }
        if !varied.is_empty() {
            value["varied"] = varied.iter().map(|(what, how)| ((*what).to_owned(), json!(how))).collect();
        }
        session.out.json(&value)?;
    } else {
        let mut text = varied.iter().map(|(what, how)| format!("{what:<15} {how}\n")).collect::<String>();
        match identical {
            true => _ = writeln!(text, "{}: identical", subject.display()),
            false => text.push_str(&differing(subject, differences)),
        }
        session.out.write(&printable_lines(&text))?;
    }
    if identical { Ok(()) } else { Err(Rejected.into()) }
}

/// What was built again.
struct Again {
    built: Built,
    /// Where: folder and cache are gone with this value.
    context: Context,
    _scratch: Scratch,
}

/// Builds from `lock` in a folder and a cache of its own. Downloads are shared: each is compared with its digest whenever it
/// is used.
fn again(subject: &Owned, lock: &Lock, shared: Context) -> anyhow::Result<Again> {
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
        lock,
        secrets: None,
        handover: &Handover { incarnation: None, restore: None, rehearsal: false },
        out: &scratch.path().join("out"),
    };
    let built = order.build(&context)?;
    Ok(Again { built, context, _scratch: scratch })
}

/// The differences for a person, under the partition and the stage of each. Writing into a String cannot fail.
fn differing(subject: &Path, differences: &[Difference]) -> String {
    let mut text = format!("{} is not what comes out when it is built again\n", subject.display());
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
