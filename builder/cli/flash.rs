//! `boxwright flash`: writes a disk image to a disk or a file, and reads it back.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;
use zeroize::Zeroizing;

use super::Session;
use super::args::Flash;
use super::output::{self, Rejected};
use super::{disks, profile, prompt, sign, subject, surroundings};
use crate::diag::InputError;
use crate::flash::{Aim, Machine, Order, Plan, Receipt, Source, missing_manifest};
use crate::secrets::Handover;
use crate::ui::human_bytes;

/// Why a disk that keeps its state restores nothing.
const RESTORED_OVER: &str = "the disk keeps the state of its box, and a restore would replace it: leave out --restore to keep it, \
    or give it up with --erase-state";

pub(super) fn run(session: &Session, arguments: &Flash) -> anyhow::Result<()> {
    let machine = Machine::default();
    let Some(image) = image(arguments)? else {
        list(session, &disks::survey(&machine, None, arguments.erase_state)?)?;
        bail!(InputError("there is no image in out/: `boxwright build PROFILE` makes one".into()));
    };
    let scratch = surroundings::cache(&session.global)?;
    if let Some(missing) = missing_manifest(&image).filter(|_| !arguments.unverified) {
        bail!(InputError(format!("{missing}, or take the image as it is with --unverified")));
    }
    let mut source = Source::open(&image, &scratch, arguments.unverified, &session.ui)?;
    if let Some(signers) = &arguments.signers {
        let signer = sign::signer(&source, signers).map_err(unwritten)?;
        session.ui.note(format!("{} is signed by {signer}", image.display()));
    }
    let aim = match &arguments.to {
        Some(path) => Aim::take(&machine, path, (&source, arguments.erase_state), arguments.size)?,
        None => {
            let aims = disks::survey(&machine, Some(&source), arguments.erase_state)?;
            list(session, &aims)?;
            if session.global.json {
                return Ok(());
            }
            if !prompt::possible() {
                bail!(InputError("nobody is there to choose a disk: name one with --to".into()));
            }
            output::message(&format!("\nthe image is {}", image.display()));
            disks::choose(aims)?
        }
    };
    if !aim.refusals.is_empty() && !arguments.dry_run {
        return refuse(session, &aim);
    }
    if arguments.restore.is_some() && !arguments.erase_state && aim.contents.state.is_some() {
        return Err(InputError(RESTORED_OVER.into()).into());
    }
    let now = subject::now();
    // Of two disks of one box the one that was written last is the box.
    let handover = Handover { incarnation: Some(now), restore: arguments.restore.clone(), rehearsal: false };
    let secrets = secrets(session, arguments, &source, &handover)?;
    if secrets.is_none() {
        tell_twins(session, &source);
    }
    if !arguments.dry_run {
        disks::confirm(session, &aim, arguments.confirm.as_deref())?;
    }
    source.check(&session.ui).map_err(unwritten)?;
    let order = Order {
        source: &source,
        aim: &aim,
        secrets,
        erase_state: arguments.erase_state,
        time: i64::try_from(now).unwrap_or(i64::MAX),
    };
    if arguments.dry_run {
        return dry_run(session, &order);
    }
    let (plan, receipt) = order.plan()?;
    let seen = order
        .carry_out(&plan, &machine, &session.ui)
        .with_context(|| format!("flashing {}", aim.path.display()))?;
    finish(session, &aim, &receipt, seen)
}

/// What is wrong with an image, and that it has reached no disk.
fn unwritten(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<InputError>() {
        Ok(wrong) => InputError(format!("{wrong}. Nothing was written")).into(),
        Err(error) => error,
    }
}

/// The image that is meant: the one that is named, or the only one in `out/`.
fn image(arguments: &Flash) -> anyhow::Result<Option<PathBuf>> {
    if let Some(image) = &arguments.image {
        return Ok(Some(image.clone()));
    }
    let is_image = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        [".img", ".img.zst", ".img.gz"].iter().any(|end| name.ends_with(end)) && !name.starts_with('.')
    };
    let entries = std::fs::read_dir("out").into_iter().flatten().flatten();
    let mut images: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_image).collect();
    images.sort();
    // A packed copy beside the image is the same image.
    let plain: Vec<PathBuf> = images.iter().filter(|path| !is_packed(path)).cloned().collect();
    images.retain(|path| !is_packed(path) || !plain.contains(&path.with_extension("")));
    if images.len() < 2 {
        return Ok(images.pop());
    }
    let names: Vec<String> = images.iter().map(|image| image.display().to_string()).collect();
    if !prompt::possible() {
        bail!(InputError(format!("there are several images ({}): name one", names.join(", "))));
    }
    for (number, name) in (1..).zip(&names) {
        output::message(&format!("{number:>3}  {name}"));
    }
    loop {
        let answer = prompt::ask(&format!("which image, 1 to {}?", names.len()))?;
        let index = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        if let Some(image) = index.and_then(|index| images.get(index)) {
            return Ok(Some(image.clone()));
        }
    }
}

fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst" || extension == "gz")
}

fn list(session: &Session, aims: &[Aim]) -> anyhow::Result<()> {
    if session.global.json {
        return session.out.json(&disks::json(aims));
    }
    session.out.write(&disks::text(aims))
}

/// Shows everything that speaks against `aim`.
fn refuse(session: &Session, aim: &Aim) -> anyhow::Result<()> {
    if session.global.json {
        session.out.json(&disks::one(aim))?;
    }
    for refusal in &aim.refusals {
        output::error(&refusal.to_string(), session.ui.colour());
    }
    output::message("nothing was written");
    Err(Rejected.into())
}

/// The bundle for the box of `source`.
fn secrets(
    session: &Session,
    arguments: &Flash,
    source: &Source,
    handover: &Handover,
) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
    let Some(path) = &arguments.secrets else { return Ok(None) };
    let profile = match (&arguments.profile, &source.manifest) {
        (Some(profile), _) => profile.clone(),
        (None, Some(manifest)) => {
            let project = surroundings::project(&session.global, &source.path)?;
            profile::named(&project, &manifest.name)
        }
        (None, None) => bail!(InputError(
            "whose secrets the box takes is unknown, since the image has no manifest beside it; name its profile with --profile".into()
        )),
    };
    Ok(Some(session.secrets(path, &session.checked(&profile)?)?.bundle(handover)?))
}

/// Says whether this disk takes an earlier one's place, where no secrets are handed over that say so.
fn tell_twins(session: &Session, source: &Source) {
    match source.incarnation() {
        Some(_) => session.ui.warn(
            "the secrets are those in the image, and were packed for one disk: of two disks that are written from it neither \
             gives way to the other, and both use the box's tunnel and write its backups; start only one of them, or flash \
             with --secrets FILE, so that the disk takes the place of all earlier ones",
        ),
        None if source.has_secrets() => session.ui.note(
            "the secrets are those in the image: a new disk takes the place of earlier ones when it first starts, and one \
             that keeps its state stays what it was; with --secrets FILE it takes their place in any case",
        ),
        None => {}
    }
}

/// Says what would be done.
fn dry_run(session: &Session, order: &Order<'_>) -> anyhow::Result<()> {
    let aim = order.aim;
    let planned = if aim.refusals.is_empty() { Some(order.plan()?) } else { None };
    if session.global.json {
        let mut value = disks::one(aim);
        value["would_write"] = json!(planned.as_ref().map(|(_, receipt)| receipt.written));
        value["would_clear"] = json!(planned.as_ref().map(|(plan, _)| cleared(plan)));
        value["would_keep"] = json!(order.kept());
        session.out.json(&value)?;
    } else if let Some((plan, receipt)) = &planned {
        session.out.write(&would(order, plan, receipt))?;
    }
    if planned.is_none() {
        for refusal in &aim.refusals {
            output::error(&refusal.to_string(), session.ui.colour());
        }
        return Err(Rejected.into());
    }
    Ok(())
}

fn cleared(plan: &Plan) -> u64 {
    plan.zeroes.iter().map(|range| range.end - range.start).sum()
}

fn would(order: &Order<'_>, plan: &Plan, receipt: &Receipt) -> String {
    let aim = order.aim;
    let kept = if receipt.kept.is_empty() { "nothing".to_owned() } else { receipt.kept.join(", ") };
    format!(
        "would write   {} of {} to {} ({})\nwould clear   {}\nwould keep    {kept}\nwould replace {}\nsecrets       {}\nnothing was written\n",
        human_bytes(receipt.written),
        receipt.image,
        aim.path.display(),
        human_bytes(aim.size),
        human_bytes(cleared(plan)),
        disks::holds(aim),
        receipt.secrets,
    )
}

/// The receipt, and what to do now.
fn finish(session: &Session, aim: &Aim, receipt: &Receipt, seen: bool) -> anyhow::Result<()> {
    if session.global.json {
        session.out.json(&serde_json::to_value(receipt)?)?;
    } else {
        session.out.write(&receipt.text())?;
    }
    let path = aim.path.display();
    match &aim.disk {
        None => {
            session.ui.note(format!("{path} is ready: copy all of it to a disk, or start a machine from it"))
        }
        Some(disk) => {
            if !seen && disk.file.is_none() {
                session.ui.note(format!("the kernel still shows the former partitions of {path}"));
            }
            session.ui.note(format!("{path} is done; it may be pulled out now"));
        }
    }
    Ok(())
}

/// A size as people write it: `16G` and `16GiB` are powers of two, `16GB` is one of ten, a bare number is bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match bytes(text).filter(|size| *size > 0 && i64::try_from(*size).is_ok()) {
        Some(size) if size % 512 == 0 => Ok(size),
        Some(_) => Err("a disk has whole sectors of 512 bytes".to_owned()),
        None => Err("write a size such as 16G, 16GB or 17179869184".to_owned()),
    }
}

/// So many bytes as `text` says, with a unit or without.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor: Option<u64> = match text[end..].trim() {
        "" | "B" => Some(1),
        "M" | "MiB" => Some(1 << 20),
        "G" | "GiB" => Some(1 << 30),
        "T" | "TiB" => Some(1 << 40),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "TB" => Some(1_000_000_000_000),
        _ => None,
    };
    text[..end].parse::<u64>().ok()?.checked_mul(factor?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, wanted) in [("512", 512), ("16G", 16 << 30), ("2GiB", 2 << 30), ("64 GB", 64_000_000_000)]
        {
            assert_eq!(size(text), Ok(wanted));
        }
        for text in ["", "0", "G", "16X", "513", "99999999999T", "-1G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
