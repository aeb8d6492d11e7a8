//! `boxwright boot`: starts a disk image in a virtual machine.

use super::Session;
use super::args::Boot;

pub(super) fn run(session: &Session, arguments: &Boot) -> anyhow::Result<()> {
    let _context = session.context(&arguments.image)?;
    super::unfinished("boot")
}
