//! `boxwright schema`: prints what is committed as `profiles/profile.schema.json`.

use super::Session;
use crate::profile::json_schema;

pub(super) fn run(session: &Session) -> anyhow::Result<()> {
    session.out.write(&json_schema::text())
}
