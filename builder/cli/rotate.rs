//! `boxwright rotate`: signs new secrets for a box that runs, and writes them into one file.

use std::fs::Permissions;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::args::Rotate;
use super::{Session, subject, surroundings};
use crate::atomic::AtomicFile;
use crate::diag::InputError;
use crate::secrets::signed;

pub(super) fn run(session: &Session, arguments: &Rotate) -> anyhow::Result<()> {
    let to_pipe = arguments.to == Path::new("-");
    if to_pipe && std::io::stdout().is_terminal() {
        bail!(InputError(
            "secrets are not shown on a terminal: write `--to FILE`, or `--to - | ssh BOX box secrets apply`"
                .into()
        ));
    }
    let checked = session.checked(&session.find(&arguments.profile))?;
    let secrets = session.secrets(&arguments.secrets, &checked)?;
    let payload = secrets.payload(i64::try_from(subject::now())?, &arguments.only)?;
    session.ui.note("signing; a security key waits until it is touched");
    let machine = &checked.profile().machine;
    let (signature, signer) =
        surroundings::keyring().sign(&payload, arguments.sign_with.as_deref(), &machine.admins)?;
    let file = signed::join(&payload, &signature)?;
    session.ui.note(format!("signed as {signer}, one of the admins of {}", machine.name));
    if to_pipe {
        let mut stdout = std::io::stdout().lock();
        return stdout.write_all(&file).and_then(|()| stdout.flush()).context("writing to the pipe");
    }
    let path = target(&arguments.to, &machine.name);
    write(&path, &file)?;
    session.ui.warn(format!(
        "{} is signed and not encrypted: whoever has it can read the secrets; the box overwrites it when it has taken them, \
         and flash memory may still keep a copy",
        path.display()
    ));
    session.out.write(&format!("{}\n", path.display()))
}

/// The file itself, or the one in this folder that a box looks for on a stick.
fn target(to: &Path, name: &str) -> PathBuf {
    if to.is_dir() { to.join(format!("boxwright-{name}.secrets")) } else { to.to_owned() }
}

/// Nobody else can read it, not even before it is whole; a stick knows no modes, and refuses them.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = AtomicFile::create(path)?;
    let _ = file.file().set_permissions(Permissions::from_mode(0o600));
    file.write_all(bytes).with_context(|| format!("writing {}", path.display()))?;
    file.commit()
}
