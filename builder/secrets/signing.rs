//! Signs new secrets with the key of an admin, and other things with any key, through `ssh-keygen -Y`.
//!
//! ssh-keygen rather than a library: it asks for passphrases on the terminal, knows agents, and lets security keys sign.
//! In: the admins' public keys, and where the owner's private ones are. Out: a signature that was verified as the box will.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::signed::NAMESPACE;
use crate::diag::InputError;
use crate::tool::Tool;

/// Where keys are looked for, and what ssh-keygen must know to reach agents and terminals.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    /// The owner's home folder: keys are in its `.ssh`.
    pub home: PathBuf,
    /// The variables of the environment that OpenSSH's programs see.
    pub environment: Vec<(&'static str, OsString)>,
}

/// Variables that [`Keyring::environment`] may have.
pub const ENVIRONMENT: [&str; 9] = [
    "PATH",
    "HOME",
    "TERM",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "SSH_ASKPASS_REQUIRE",
    "SSH_SK_PROVIDER",
];

/// The names of admins with their public keys.
pub type Admins = BTreeMap<String, Vec<String>>;

impl Keyring {
    /// Signs `payload` with `key` (a private key, or a public one whose private half an agent has); without one, with the
    /// first key of an admin's that is in `.ssh` or in the agent. Returns the signature and the admin's name.
    ///
    /// # Errors
    /// If there is no such key, it cannot be used, or it is not an admin's.
    pub fn sign(&self, payload: &[u8], key: Option<&Path>, admins: &Admins) -> Result<(Vec<u8>, String)> {
        let folder = tempfile::tempdir().context("making a folder for public keys")?;
        let key = match key {
            Some(key) => key.to_owned(),
            None => self.find(admins, folder.path())?,
        };
        let signature = self.sign_as(NAMESPACE, payload, &key)?;
        let signer = self.signer(payload, &signature, admins, folder.path());
        let signer = signer.with_context(|| format!("looking whose key {} is", key.display()))?;
        let Some(signer) = signer else {
            bail!(InputError(format!(
                "the key {} is none of the profile's admins: the box would refuse what it signs; \
                 name another with --sign-with, or add it to `admins` and build the box again",
                key.display()
            )));
        };
        Ok((signature, signer))
    }

    /// Signs `payload` in `namespace` with `key`, of which an agent may have the private half.
    ///
    /// # Errors
    /// If the key cannot be used.
    pub fn sign_as(&self, namespace: &str, payload: &[u8], key: &Path) -> Result<Vec<u8>> {
        let tool = self.ssh_keygen().args(["-Y", "sign", "-n", namespace]).arg("-f").arg(key);
        fed(tool, payload).with_context(|| format!("signing with {}", key.display()))
    }

    /// Who made the signature over `payload` in `namespace`: `files` are the signature's and that of those who may sign
    /// (ssh-keygen(1), ALLOWED SIGNERS). None if it is no valid signature of one of them.
    ///
    /// # Errors
    /// If ssh-keygen cannot be started.
    pub fn verify_as(
        &self,
        namespace: &str,
        payload: &[u8],
        files: (&Path, &Path),
    ) -> Result<Option<String>> {
        let (signature, allowed) = files;
        let found = self.ssh_keygen().args(["-Y", "find-principals"]).arg("-f").arg(allowed);
        // It has no other way to say that there is none than to fail.
        let mut running = found.arg("-s").arg(signature).spawn()?;
        let mut said = Vec::new();
        if let Some(mut stdout) = running.stdout.take() {
            stdout.read_to_end(&mut said).context("reading what ssh-keygen says")?;
        }
        if running.wait().is_err() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok(said.lines().map(str::to_owned).find(|name| {
            let verify = self.ssh_keygen().args(["-Y", "verify", "-q", "-n", namespace, "-I", name.as_str()]);
            fed(verify.arg("-f").arg(allowed).arg("-s").arg(signature), payload).is_ok()
        }))
    }

    /// The first key of an admin's that can sign here.
    fn find(&self, admins: &Admins, folder: &Path) -> Result<PathBuf> {
        let keys: Vec<&str> = admins.values().flatten().filter_map(|key| body(key)).collect();
        if keys.is_empty() {
            bail!(InputError("the profile names no admins: nobody can sign for this box".to_owned()));
        }
        if let Some(key) = self.in_folder(&keys) {
            return Ok(key);
        }
        // An agent that is not there has no keys.
        let listed = self.tool("ssh-add").arg("-L").output().unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed).into_owned();
        if let Some(line) = listed.lines().find(|line| body(line).is_some_and(|key| keys.contains(&key))) {
            let path = folder.join("key.pub");
            fs::write(&path, format!("{line}\n")).context("writing a public key")?;
            return Ok(path);
        }
        bail!(InputError(format!(
            "no key of the profile's admins ({}) is in {} or in an agent: name one with --sign-with",
            admins.keys().cloned().collect::<Vec<_>>().join(", "),
            self.home.join(".ssh").display()
        )))
    }

    /// A private key in `.ssh` whose public half is among `keys`.
    fn in_folder(&self, keys: &[&str]) -> Option<PathBuf> {
        let listing = fs::read_dir(self.home.join(".ssh")).ok()?;
        let mut paths: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "pub")).find_map(|public| {
            let text = fs::read_to_string(&public).ok()?;
            let private = public.with_extension("");
            (private.is_file() && keys.contains(&body(text.trim())?)).then_some(private)
        })
    }

    /// The admin whose key made `signature` over `payload`.
    fn signer(
        &self,
        payload: &[u8],
        signature: &[u8],
        admins: &Admins,
        folder: &Path,
    ) -> Result<Option<String>> {
        let (allowed, file) = (folder.join("allowed"), folder.join("signature"));
        fs::write(&allowed, allowed_signers(admins)).context("writing the admins' keys")?;
        fs::write(&file, signature).context("writing a signature")?;
        let found =
            self.ssh_keygen().args(["-Y", "find-principals"]).arg("-f").arg(&allowed).arg("-s").arg(&file);
        let Ok(found) = found.output() else { return Ok(None) };
        let found = String::from_utf8_lossy(&found).lines().next().unwrap_or_default().to_owned();
        let verify = self.ssh_keygen().args(["-Y", "verify", "-q", "-n", NAMESPACE, "-I", &found]);
        let verify = verify.arg("-f").arg(&allowed).arg("-s").arg(&file);
        Ok(fed(verify, payload).is_ok().then_some(found))
    }

    fn ssh_keygen(&self) -> Tool {
        self.tool("ssh-keygen")
    }

    fn tool(&self, name: &str) -> Tool {
        self.environment.iter().fold(Tool::new(name), |tool, (name, value)| tool.env(name, value))
    }
}

/// What `tool` says about `bytes`. They go straight into its pipe: no copy of secrets stays in memory.
fn fed(tool: Tool, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut running = tool.stdin_pipe().spawn()?;
    if let Some(mut pipe) = running.stdin.take() {
        // A program that stops reading early says so by its status.
        let _ = pipe.write_all(bytes);
    }
    let mut said = Vec::new();
    if let Some(mut stdout) = running.stdout.take() {
        stdout.read_to_end(&mut said).context("reading what ssh-keygen says")?;
    }
    running.wait()?;
    Ok(said)
}

/// The file that says who may sign (ssh-keygen(1), ALLOWED SIGNERS), as the box has it in /etc/boxwright/allowed_signers.
fn allowed_signers(admins: &Admins) -> String {
    let mut text = String::new();
    for (name, keys) in admins {
        for key in keys {
            text.push_str(&format!("{name} namespaces=\"{NAMESPACE}\" {key}\n"));
        }
    }
    text
}

/// The part of a public key that is the same wherever it stands.
fn body(key: &str) -> Option<&str> {
    key.split_ascii_whitespace().nth(1)
}
