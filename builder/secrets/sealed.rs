//! A `secrets.toml` that may be committed: encrypted to keys or with a passphrase, in the format of age.
//!
//! In: bytes, and who can tell keys and passphrases. Out: the text in memory that is overwritten, never on a disk. The only
//! thing that writes text again is `boxwright secrets decrypt`.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::{ExposeSecret as _, SecretString};
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use zeroize::Zeroizing;

/// How an armored file begins, and how one does that is not.
const BEGINNINGS: [&[u8]; 2] = [b"-----BEGIN AGE ENCRYPTED FILE-----", b"age-encryption.org/v1\n"];

/// The most work that a file may ask for, as a power of two: some 15 seconds. Anyone can write any number into a file.
const MOST_WORK: u8 = 22;

/// No file with keys comes near this many bytes.
const LARGEST_IDENTITY: u64 = 1 << 20;

/// Whoever knows passphrases, such as a person at a terminal.
#[derive(Clone)]
pub struct Asking(Arc<Answer>);

/// From the name of what is locked to its passphrase.
type Answer = dyn Fn(&str) -> Option<SecretString> + Send + Sync;

impl Asking {
    /// Asks `ask` with the name of what is locked; it answers nothing where nobody can be asked.
    pub fn new(ask: impl Fn(&str) -> Option<SecretString> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    fn ask(&self, what: &str) -> Option<SecretString> {
        (self.0)(what)
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

/// What opens encrypted files.
#[derive(Debug, Clone)]
pub struct Opener {
    /// Files with private keys, of age or of SSH. Those that are missing are passed over.
    pub identities: Vec<PathBuf>,
    /// Where passphrases come from.
    pub passphrases: Asking,
}

impl Opener {
    /// Opens nothing: for where every file is plain text.
    pub fn nothing() -> Self {
        Self { identities: Vec::new(), passphrases: Asking::new(|_| None) }
    }
}

/// Whether `bytes` are an encrypted file.
pub fn is_sealed(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning))
}

/// What is in the encrypted file `name`.
///
/// # Errors
/// Why it stays closed, in the middle of a sentence, and what to do.
pub fn open(sealed: &[u8], name: &Path, opener: &Opener) -> Result<Zeroizing<Vec<u8>>, String> {
    let damaged = |error: DecryptError| match error {
        DecryptError::UnknownFormat => {
            "it is encrypted in a format that this program does not know".to_owned()
        }
        _ => "it begins like an encrypted file and is damaged: take it from a backup".to_owned(),
    };
    let decryptor =
        Decryptor::new_buffered(ArmoredReader::new(sealed.trim_ascii_start())).map_err(damaged)?;
    let unanswered = Arc::new(AtomicBool::new(false));
    let identities = if decryptor.is_scrypt() {
        vec![passphrase(name, opener)?]
    } else {
        let mut identities = Vec::new();
        for path in &opener.identities {
            identities.extend(keys(path, opener, &unanswered)?);
        }
        identities
    };
    let by_passphrase = decryptor.is_scrypt();
    let borrowed = identities.iter().map(|identity| &**identity as &dyn age::Identity);
    let mut reader = decryptor.decrypt(borrowed).map_err(|error| match error {
        DecryptError::NoMatchingKeys if unanswered.load(Ordering::Relaxed) => {
            "the key that opens it has a passphrase, and there is no terminal to ask for it; name a file that holds it \
             with --passphrase-file"
                .to_owned()
        }
        other => closed(&other, by_passphrase, opener),
    })?;
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(sealed.len() + 1));
    reader
        .read_to_end(&mut text)
        .map_err(|_| "it was changed or cut off since it was encrypted: take it from a backup".to_owned())?;
    Ok(text)
}

fn closed(error: &DecryptError, by_passphrase: bool, opener: &Opener) -> String {
    match error {
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed if by_passphrase => {
            "the passphrase is wrong".to_owned()
        }
        DecryptError::KeyDecryptionFailed => {
            "the passphrase of the key is wrong, or none was given".to_owned()
        }
        DecryptError::NoMatchingKeys => {
            let there: Vec<String> = opener
                .identities
                .iter()
                .filter(|path| path.exists())
                .map(|path| path.display().to_string())
                .collect();
            let tried = if there.is_empty() {
                "no key was found".into()
            } else {
                format!("{} does not open it", there.join(" or "))
            };
            format!("it is encrypted for other keys: {tried}; name the right one with --identity")
        }
        DecryptError::ExcessiveWork { .. } => {
            "its passphrase would take minutes to try, which no file of this program's does".to_owned()
        }
        DecryptError::InvalidMac | DecryptError::InvalidHeader => {
            "it was changed since it was encrypted: take it from a backup".to_owned()
        }
        other => other.to_string(),
    }
}

fn passphrase(name: &Path, opener: &Opener) -> Result<Box<dyn age::Identity>, String> {
    let phrase = opener.passphrases.ask(&name.display().to_string()).ok_or(
        "it is encrypted with a passphrase, and there is no terminal to ask for it; name a file that holds it with \
         --passphrase-file",
    )?;
    let mut identity = age::scrypt::Identity::new(phrase);
    identity.set_max_work_factor(MOST_WORK);
    Ok(Box::new(identity))
}

/// The keys in the file at `path`: of SSH or of age, the latter maybe behind a passphrase themselves.
fn keys(
    path: &Path,
    opener: &Opener,
    unanswered: &Arc<AtomicBool>,
) -> Result<Vec<Box<dyn age::Identity>>, String> {
    let trouble = |what: &str| format!("the key {} {what}", path.display());
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(trouble(&format!("cannot be read: {error}"))),
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 << 10));
    file.take(LARGEST_IDENTITY).read_to_end(&mut bytes).map_err(|error| trouble(&error.to_string()))?;
    if is_sealed(&bytes) {
        // Only by a passphrase: a key behind a key would have no end.
        let inner = Opener { identities: Vec::new(), passphrases: opener.passphrases.clone() };
        bytes = open(&bytes, path, &inner).map_err(|why| trouble(&format!("stays closed: {why}")))?;
    }
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        let name = Some(path.display().to_string());
        let key = age::ssh::Identity::from_buffer(&bytes[..], name)
            .map_err(|_| trouble("is not one of SSH in a form that is known: ssh-ed25519 and ssh-rsa are"))?;
        let callbacks = Callbacks {
            passphrases: opener.passphrases.clone(),
            name: path.display().to_string(),
            unanswered: Arc::clone(unanswered),
        };
        return Ok(vec![Box::new(key.with_callbacks(callbacks))]);
    }
    let keys = age::IdentityFile::from_buffer(&bytes[..])
        .and_then(|file| file.into_identities().map_err(std::io::Error::other))
        .map_err(|_| trouble("is neither one of SSH nor one of age (`age-keygen` writes those)"))?;
    Ok(keys.into_iter().map(|key| -> Box<dyn age::Identity> { key }).collect())
}

/// How age asks for the passphrase of an SSH key.
#[derive(Clone)]
struct Callbacks {
    passphrases: Asking,
    name: String,
    /// Set when a passphrase was wanted and nobody told one.
    unanswered: Arc<AtomicBool>,
}

impl age::Callbacks for Callbacks {
    fn display_message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        let answer = self.passphrases.ask(&self.name);
        if answer.is_none() {
            self.unanswered.store(true, Ordering::Relaxed);
        }
        answer
    }
}

/// For whom a file is encrypted.
pub enum Recipients {
    /// Whoever knows this.
    Passphrase(SecretString),
    /// Whoever has one of these keys.
    Keys(Vec<Box<dyn age::Recipient>>),
}

/// The key that `text` names: `age1…`, `ssh-ed25519 …`, `ssh-rsa …`, or a line of authorized_keys with one of these.
///
/// # Errors
/// Why nothing can be encrypted for it, in the middle of a sentence.
pub fn recipient(text: &str) -> Result<Box<dyn age::Recipient>, String> {
    let text = text.trim();
    if text.starts_with("AGE-SECRET-KEY-") || text.contains("PRIVATE KEY") {
        return Err("is a private key; name the public one that belongs to it".into());
    }
    if text.starts_with("age1") {
        let key = text.parse::<age::x25519::Recipient>();
        return key.map(|key| Box::new(key) as _).map_err(|_| "is not a whole key of age".into());
    }
    let key = text.find("ssh-").map_or(text, |start| &text[start..]);
    key.parse::<age::ssh::Recipient>().map(|key| Box::new(key) as _).map_err(|_| {
        "is of a kind that nothing can be encrypted for: ssh-ed25519, ssh-rsa and age1… are".into()
    })
}

/// `text` encrypted for `recipients`, as lines of ASCII.
///
/// # Errors
/// If there are no recipients.
pub fn seal(text: &[u8], recipients: &Recipients) -> anyhow::Result<Vec<u8>> {
    let encryptor = match recipients {
        Recipients::Passphrase(phrase) => {
            Encryptor::with_user_passphrase(SecretString::from(phrase.expose_secret().to_owned()))
        }
        Recipients::Keys(keys) => {
            let borrowed = keys.iter().map(|key| &**key as &dyn age::Recipient);
            Encryptor::with_recipients(borrowed).map_err(|error| match error {
                EncryptError::MissingRecipients => anyhow::anyhow!("there is nobody to encrypt it for"),
                other => anyhow::anyhow!("{other}"),
            })?
        }
    };
    let mut armored = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(&mut armored)?;
    writer.write_all(text)?;
    writer.finish()?;
    Ok(armored.finish()?)
}

#[cfg(test)]
mod tests;
