//! `boxwright lock`: chooses the exact packages and container images of a profile.

use super::Session;
use super::args::Lock;

pub(super) fn run(session: &Session, arguments: &Lock) -> anyhow::Result<()> {
    let _context = session.context(&arguments.profile)?;
    let _checked = session.checked(&arguments.profile)?;
    super::unfinished("lock")
}
