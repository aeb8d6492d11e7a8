//! `boxwright build`: makes the disk image of a profile.

use super::Session;
use super::args::Build;

pub(super) fn run(session: &Session, arguments: &Build) -> anyhow::Result<()> {
    let _context = session.context(&arguments.profile)?;
    let _checked = session.checked(&arguments.profile)?;
    super::unfinished("build")
}
