//! `boxwright secrets encrypt` and `decrypt`: between a `secrets.toml` and one that may be committed.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use super::Session;
use super::args::{SecretsDecrypt, SecretsEncrypt};
use crate::atomic::AtomicFile;
use crate::diag::InputError;
use crate::secrets::sealed::{self, Recipients};
use crate::secrets::tracks;

/// The end of the name of an encrypted file.
const ENDING: &str = "age";

/// No secrets file comes near this many bytes, encrypted or not.
const LARGEST: u64 = 2 << 20;

pub(super) fn encrypt(session: &Session, arguments: &SecretsEncrypt) -> anyhow::Result<()> {
    let source = &arguments.secrets;
    let text = read(source)?;
    if sealed::is_sealed(&text) {
        bail!(InputError(format!("{} is encrypted already", source.display())));
    }
    let target = arguments.to.clone().unwrap_or_else(|| with_ending(source));
    refuse_existing(&target, arguments.force)?;
    let recipients = recipients(session, arguments)?;
    let sealed =
        sealed::seal(&text, &recipients).with_context(|| format!("encrypting {}", source.display()))?;
    crate::atomic::write(&target, &sealed)?;
    session.ui.note(format!(
        "{} may be committed, and every verb takes it as --secrets; remove {} when you have seen that it opens: \
         boxwright secrets check PROFILE --secrets {}",
        target.display(),
        source.display(),
        target.display()
    ));
    session.out.write(&format!("{}\n", target.display()))
}

pub(super) fn decrypt(session: &Session, arguments: &SecretsDecrypt) -> anyhow::Result<()> {
    let source = &arguments.secrets;
    let target = match (&arguments.to, source.extension().is_some_and(|ending| ending == ENDING)) {
        (Some(target), _) => target.clone(),
        (None, true) => source.with_extension(""),
        (None, false) => {
            bail!(InputError(format!(
                "{} does not end in .age: name the file to write with --to",
                source.display()
            )))
        }
    };
    refuse_existing(&target, arguments.force)?;
    if tracks(&target) {
        bail!(InputError(format!(
            "git tracks {}: the text would be in the next commit; name another file with --to",
            target.display()
        )));
    }
    let bytes = read(source)?;
    if !sealed::is_sealed(&bytes) {
        bail!(InputError(format!("{} is not encrypted", source.display())));
    }
    let text = sealed::open(&bytes, source, &session.opener()?)
        .map_err(|why| InputError(format!("{} stays closed: {why}", source.display())))?;
    write_private(&target, &text)?;
    session.out.write(&format!("{}\n", target.display()))
}

fn with_ending(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ENDING);
    PathBuf::from(name)
}

fn refuse_existing(target: &Path, force: bool) -> anyhow::Result<()> {
    match std::fs::symlink_metadata(target) {
        Ok(metadata) if !metadata.is_file() => {
            bail!(InputError(format!("{} is not a file; name another with --to", target.display())))
        }
        Ok(_) if !force => bail!(InputError(format!(
            "{} is there already; name another file with --to, or replace it with --force",
            target.display()
        ))),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let context = || format!("reading {}", path.display());
    let file = std::fs::File::open(path).with_context(context)?;
    let room = file.metadata().with_context(context)?.len().min(LARGEST);
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(room as usize + 1));
    file.take(LARGEST + 1).read_to_end(&mut bytes).with_context(context)?;
    if bytes.len() as u64 > LARGEST {
        bail!(InputError(format!("{} is too large for a file with secrets", path.display())));
    }
    Ok(bytes)
}

/// Those named by flags; the admins of the profile, where one is named.
fn recipients(session: &Session, arguments: &SecretsEncrypt) -> anyhow::Result<Recipients> {
    if arguments.passphrase {
        return Ok(Recipients::Passphrase(session.new_passphrase()?));
    }
    let mut keys = Vec::new();
    for text in &arguments.recipient {
        let key = sealed::recipient(text);
        keys.push(key.map_err(|why| InputError(format!("a key that --recipient names {why}")))?);
    }
    if let Some(profile) = &arguments.profile {
        let checked = session.checked(profile)?;
        for (admin, lines) in &checked.profile().machine.admins {
            for line in lines {
                match sealed::recipient(line) {
                    Ok(key) => keys.push(key),
                    Err(why) => session.ui.warn(format!("not encrypted for a key of `{admin}`: it {why}")),
                }
            }
        }
    }
    if keys.is_empty() {
        bail!(InputError(
            "nobody is named who could open it: add --profile PROFILE (for the SSH keys of its admins), --recipient KEY \
             or --passphrase"
                .into()
        ));
    }
    Ok(Recipients::Keys(keys))
}

/// Writes `text` for the owner alone, from its first byte on.
fn write_private(target: &Path, text: &[u8]) -> anyhow::Result<()> {
    let context = || format!("writing {}", target.display());
    let mut file = AtomicFile::create(target)?;
    file.file().set_permissions(std::fs::Permissions::from_mode(0o600)).with_context(context)?;
    file.file().write_all(text).with_context(context)?;
    file.commit()
}
