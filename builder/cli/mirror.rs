//! `boxwright mirror`: keeps what a profile's lock names, to build from it without a network.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::Session;
use crate::build::locking;
use crate::images::{self, Skopeo};
use crate::lock::{self, Image};
use crate::mirror;

/// `mirror`
#[derive(Debug, Args)]
#[command(after_help = "`boxwright build PROFILE --from DIR` builds from it without the network.")]
pub struct Mirror {
    /// The profile
    pub profile: PathBuf,
    /// The folder; what is there already stays
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

pub(super) fn run(session: &Session, arguments: &Mirror) -> anyhow::Result<()> {
    let subject = session.subject(&arguments.profile)?;
    let context = subject.context(session)?;
    let lock = subject.borrow().lock(&context)?;
    session.warn_if_stale(&lock, &subject);
    let (known, unknown): (Vec<Image>, Vec<Image>) =
        lock.images.iter().cloned().partition(|image| image.digest.is_some());
    if !unknown.is_empty() {
        let names: Vec<&str> = unknown.iter().map(|image| image.reference.as_str()).collect();
        session.ui.warn(format!(
            "not kept, since the lock has no digest for them: {}; run `boxwright lock --update` where a registry can be reached",
            names.join(", ")
        ));
    }
    let stored = match known.is_empty() {
        true => Vec::new(),
        false => images::fetch(&known, &Skopeo::new(&locking::tools(&lock, &context)?, &context)?, &context)?,
    };
    let packages = mirror::keep(&lock, &stored, &arguments.to, &context)?;
    lock::save(&lock, &arguments.to.join(format!("{}.lock", subject.checked.name())))?;
    if session.global.json {
        return session
            .out
            .json(&json!({ "folder": arguments.to, "packages": packages, "images": stored.len() }));
    }
    session.out.write(&format!("{}\n", arguments.to.display()))
}
