//! `boxwright render`: writes the files that a profile puts onto the box into a folder.

use std::path::Path;

use anyhow::Context as _;

use super::Session;
use super::args::Render;
use crate::plan::Plan;
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
    clear(&arguments.to)?;
    tree.write_to(&arguments.to)?;
    let mark = arguments.to.join(MARK);
    std::fs::write(&mark, "").with_context(|| format!("writing {}", mark.display()))?;
    session.out.write(&format!("{}\n", arguments.to.display()))
}

/// Removes what an earlier `render` wrote; leaves everything else to [`crate::tree::Tree::write_to`], which refuses it.
fn clear(folder: &Path) -> anyhow::Result<()> {
    if folder.join(MARK).is_file() {
        std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}
