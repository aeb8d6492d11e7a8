//! `boxwright graph`: draws the box of a profile.

use std::fs;

use anyhow::Context as _;

use super::Session;
use super::args::Graph;
use crate::{atomic, graph};

pub(super) fn run(session: &Session, arguments: &Graph) -> anyhow::Result<()> {
    let subject = session.subject(&arguments.profile)?;
    let drawing = graph::draw(&subject.checked, &subject.plan)?;
    let folder = &arguments.out;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let name = subject.checked.name();
    let page = folder.join(format!("{name}.html"));
    atomic::write(&folder.join(format!("{name}.svg")), drawing.svg.as_bytes())?;
    atomic::write(&page, drawing.page.as_bytes())?;
    session.out.write(&format!("{}\n", page.display()))
}
