//! `boxwright render`: writes the files that a profile puts onto the box into a folder.

use super::Session;
use super::args::Render;

pub(super) fn run(session: &Session, arguments: &Render) -> anyhow::Result<()> {
    let _context = session.context(&arguments.profile)?;
    let _checked = session.checked(&arguments.profile)?;
    super::unfinished("render")
}
