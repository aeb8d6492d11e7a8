//! `boxwright render`: writes the files that a profile puts onto the box into a folder.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::Session;
use super::args::Render;
use crate::atomic::{self, Scratch};
use crate::plan::Plan;
use crate::tree::Tree;
use crate::{build, lock};

/// Tells a folder that `render` made from one that it must not touch.
const MARK: &str = ".boxwright-render";

pub(super) fn run(session: &Session, arguments: &Render) -> anyhow::Result<()> {
    let path = session.find(&arguments.profile);
    let context = session.context(&path)?;
    let profile = session.checked(&path)?;
    let plan = Plan::new(&profile, profile.catalog())?;
    let lock = lock::load(&path.with_extension("lock"))?;
    let images = lock.as_ref().map_or(&[][..], |lock| &lock.images);
    let tree = build::render(&profile, &plan, images, &context)?;
    write(&tree, &arguments.to)?;
    session.out.write(&format!("{}\n", arguments.to.display()))
}

/// Writes `tree` into `folder` in place of what an earlier `render` wrote there, which stays until all of it is written.
/// The folder itself stays the same one: somebody may be in it, or something be mounted on it.
fn write(tree: &Tree, folder: &Path) -> anyhow::Result<()> {
    if folder.symlink_metadata().is_ok() && !folder.join(MARK).is_file() && !names(folder)?.is_empty() {
        bail!("{} is not empty; name another folder, or empty it first", folder.display());
    }
    let scratch = Scratch::create(folder)?;
    let [old, new] = ["old", "new"].map(|name| scratch.path().join(name));
    fs::create_dir(&old).with_context(|| format!("creating {}", old.display()))?;
    tree.write_to(&new)?;
    let mark = new.join(MARK);
    fs::write(&mark, "").with_context(|| format!("writing {}", mark.display()))?;
    // Whatever happens from here on, the mark is there: the next run may go on.
    move_into(folder, &new, MARK.into())?;
    for name in names(folder)?.into_iter().filter(|name| name != MARK) {
        move_into(&old, folder, name)?;
    }
    names(&new)?.into_iter().try_for_each(|name| move_into(folder, &new, name))
}

/// What is in `folder`, but for what is under construction.
fn names(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let context = || format!("reading {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        names.push(entry.with_context(context)?.file_name());
    }
    names.retain(|name| !atomic::is_unfinished(name));
    Ok(names)
}

fn move_into(to: &Path, from: &Path, name: OsString) -> anyhow::Result<()> {
    let (from, to) = (from.join(&name), to.join(name));
    fs::rename(&from, &to).with_context(|| format!("renaming {} to {}", from.display(), to.display()))
}
