//! `boxwright secrets`: prints a template of the secrets that a profile's box needs.

use super::Session;
use super::args::Secrets;

pub(super) fn run(session: &Session, arguments: &Secrets) -> anyhow::Result<()> {
    let _context = session.context(&arguments.profile)?;
    let _checked = session.checked(&arguments.profile)?;
    super::unfinished("secrets")
}
