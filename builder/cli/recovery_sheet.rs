//! `boxwright secrets recovery-sheet`: what a person must keep on paper to bring the box back.

use super::Session;
use super::args::RecoverySheet;
use super::output;

pub(super) fn run(session: &Session, arguments: &RecoverySheet) -> anyhow::Result<()> {
    let path = session.find(&arguments.profile);
    let checked = session.checked(&path)?;
    let secrets = session.secrets(&arguments.secrets, &checked)?;
    if !session.global.quiet {
        output::message(
            "this has secrets in plain text: print it, keep the paper safe, and leave no file behind",
        );
    }
    session.out.write(&secrets.recovery_sheet(checked.profile(), checked.catalog()))
}
