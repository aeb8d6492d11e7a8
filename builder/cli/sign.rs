//! `boxwright sign`: an SSH signature over the manifest of an image; and its check, which `--signers` asks for.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{Session, surroundings};
use crate::atomic;
use crate::build::beside;
use crate::build::manifest::Manifest;
use crate::diag::InputError;
use crate::flash::Source;

/// What the signature is for: one that was made for something else is worth nothing here.
const NAMESPACE: &str = "boxwright-image";

/// `sign`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The signature is NAME.manifest.json.sig. The manifest has the digests of all of the image.\n\
                        `boxwright flash` and `verify` take no image without one with --signers FILE."
)]
pub struct Sign {
    /// The image: .img, .img.zst or .img.gz, with its manifest beside it
    pub image: PathBuf,
    /// An SSH key: private, or public if an agent has the private one
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

pub(super) fn run(session: &Session, arguments: &Sign) -> anyhow::Result<()> {
    let scratch = surroundings::cache(&session.global)?;
    let mut source = Source::open(&arguments.image, &scratch, false, &session.ui)?;
    // Nobody shall vouch for bytes that nobody has read.
    source.check(&session.ui)?;
    let manifest = source.manifest_path();
    let bytes = signed_bytes(&source, &manifest)?;
    session.ui.note("signing; a security key waits until it is touched");
    let signature = surroundings::keyring().sign_as(NAMESPACE, &bytes, &arguments.key)?;
    let path = beside::signature(&manifest);
    atomic::write(&path, &signature)?;
    if session.global.json {
        return session.out.json(&json!({ "signature": path, "namespace": NAMESPACE }));
    }
    session.out.write(&format!("{}\n", path.display()))
}

/// Who of the file `signers` has signed the image at `path`, all of which is read and held to what was signed.
///
/// # Errors
/// [`InputError`] if none of them has, or it is not what they signed.
pub(super) fn vouched(session: &Session, path: &Path, signers: &Path) -> anyhow::Result<String> {
    let scratch = surroundings::cache(&session.global)?;
    let mut source = Source::open(path, &scratch, false, &session.ui)?;
    let signer = signer(&source, signers)?;
    source.check(&session.ui)?;
    session.ui.note(format!("{} is signed by {signer}", path.display()));
    Ok(signer)
}

/// Who of the file `signers` (ssh-keygen(1), ALLOWED SIGNERS) has signed the manifest of `source`.
///
/// # Errors
/// [`InputError`] if none of them has.
pub(super) fn signer(source: &Source, signers: &Path) -> anyhow::Result<String> {
    let manifest = source.manifest_path();
    let path = beside::signature(&manifest);
    if !signers.is_file() {
        bail!(InputError(format!(
            "{} is no file: --signers takes lines of `NAME ssh-ed25519 AAAA…`, as ssh-keygen's ALLOWED SIGNERS",
            signers.display()
        )));
    }
    if !path.is_file() {
        bail!(InputError(format!(
            "{} is not signed: there is no {}. Get the signature, have the image signed with `boxwright sign`, or leave out \
             --signers",
            source.path.display(),
            path.display()
        )));
    }
    let bytes = signed_bytes(source, &manifest)?;
    let signer = surroundings::keyring()
        .verify_as(NAMESPACE, &bytes, (&path, signers))
        .with_context(|| format!("verifying {}", path.display()))?;
    signer.ok_or_else(|| {
        InputError(format!(
            "{} is not a signature of anybody in {} over {}: the image is not theirs, or was changed",
            path.display(),
            signers.display(),
            manifest.display()
        ))
        .into()
    })
}

/// The bytes of the manifest by which `source` is judged.
fn signed_bytes(source: &Source, manifest: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let read: Option<Manifest> = serde_json::from_slice(&bytes).ok();
    if read != source.manifest {
        bail!(InputError(format!("{} has changed while it was read: start again", manifest.display())));
    }
    Ok(bytes)
}
