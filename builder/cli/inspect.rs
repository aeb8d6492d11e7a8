//! `boxwright inspect`: says what is in a disk image.

use super::Session;
use super::args::Inspect;

pub(super) fn run(session: &Session, arguments: &Inspect) -> anyhow::Result<()> {
    let _context = session.context(&arguments.image)?;
    super::unfinished("inspect")
}
