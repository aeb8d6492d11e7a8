//! `boxwright secrets`: prints a template of the secrets that a profile's box needs.

use super::Session;
use super::args::Secrets;

pub(super) fn run(session: &Session, arguments: &Secrets) -> anyhow::Result<()> {
    let checked = session.checked(&arguments.profile)?;
    session.out.write(&crate::secrets::template(&checked, checked.catalog())?)
}
