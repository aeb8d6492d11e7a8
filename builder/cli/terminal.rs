//! Passphrases: from a terminal without echo, or from a file, which may be an open descriptor.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use super::Session;
use super::{output, surroundings};
use crate::secrets::Opener;
use crate::secrets::sealed::Asking;

/// The longest line that is a passphrase, in bytes.
const LONGEST: u64 = 4096;

/// The usual places of SSH's own keys, below the home folder, in the order in which SSH tries them.
const USUAL: [&str; 2] = [".ssh/id_ed25519", ".ssh/id_rsa"];

impl Session {
    /// What opens encrypted files in this run.
    ///
    /// # Errors
    /// If a file that a flag names cannot be read.
    pub(super) fn opener(&self) -> anyhow::Result<Opener> {
        let identities = if self.global.identity.is_empty() {
            let home = surroundings::home();
            home.map(|home| USUAL.map(|key| home.join(key)).to_vec()).unwrap_or_default()
        } else {
            named(&self.global.identity)?
        };
        let passphrases = match &self.global.passphrase_file {
            // It may be a pipe, which can be read once.
            Some(path) => {
                let phrase = read(path)?;
                Asking::new(move |_| Some(phrase.clone()))
            }
            None => Asking::new(|what| ask(&format!("Passphrase of {what}: "))),
        };
        Ok(Opener { identities, passphrases })
    }

    /// A passphrase for a new file, asked for twice.
    ///
    /// # Errors
    /// If nobody can be asked, or what they say differs.
    pub(super) fn new_passphrase(&self) -> anyhow::Result<SecretString> {
        use age::secrecy::ExposeSecret as _;
        if let Some(path) = &self.global.passphrase_file {
            return read(path);
        }
        let nobody =
            "there is no terminal to ask for a passphrase; name a file that holds it with --passphrase-file";
        let first = ask("New passphrase: ").context(nobody)?;
        let second = ask("Again: ").context(nobody)?;
        if first.expose_secret() != second.expose_secret() {
            bail!("the two passphrases differ; run the command again");
        }
        Ok(first)
    }
}

/// The paths, all of which are there: a flag that names a file means it.
fn named(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    for path in paths {
        File::open(path).with_context(|| format!("reading the key {}", path.display()))?;
    }
    Ok(paths.to_vec())
}

/// The passphrase in the file at `path`: its first line.
fn read(path: &Path) -> anyhow::Result<SecretString> {
    let context = || format!("reading a passphrase from {}", path.display());
    let file = File::open(path).with_context(context)?;
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize + 1));
    file.take(LONGEST).read_to_string(&mut text).with_context(context)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        bail!("the first line of {} is empty: it is the passphrase", path.display());
    }
    Ok(SecretString::from(line.to_owned()))
}

/// What is typed at the terminal after `question`; nothing where there is none, or nobody answers.
fn ask(question: &str) -> Option<SecretString> {
    match rpassword::prompt_password(question) {
        Ok(answer) if !answer.is_empty() => Some(SecretString::from(answer)),
        Ok(_) => None,
        Err(error) => {
            // Without a terminal the caller says what to do; anything else is worth a line.
            if error.raw_os_error() != Some(rustix::io::Errno::NXIO.raw_os_error()) {
                output::message(&format!("asking for a passphrase: {error}"));
            }
            None
        }
    }
}
