//! What the value of a secret must look like, and the one form in which the box gets it.
//!
//! In: the text that the owner wrote. Out: the value as it is placed, or what is wrong with it. Messages here describe
//! values and never repeat a part of one; the only exception is a tunnel's UUID, which is public.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::catalog::SecretFormat;
use crate::profile::{Network, TunnelId, values};

use super::ssh_key;
use super::value::Value;

/// A credential of systemd may have 1 MiB (systemd.exec(5)); nothing here comes near.
pub(super) const LARGEST: usize = 64 << 10;

/// The fewest bytes of a tunnel's secret (cloudflared refuses less).
const TUNNEL_SECRET: usize = 32;

/// What a secret looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One line of text.
    Text,
    /// The same, where the owner invents it.
    Invented,
    /// 32 hexadecimal digits.
    HexKey,
    /// The credential of a locally managed tunnel: of this one, if that is known.
    Tunnel(Option<TunnelId>),
    /// 32 bytes in base64.
    WireguardKey,
    /// Addresses of a VPN's tunnel, clear of these networks.
    WireguardAddresses(Vec<(IpNet, &'static str)>),
    /// A web address.
    Url,
    /// 64 hexadecimal digits, with whatever blanks and dashes between them.
    RecoveryKey,
    /// A private SSH key as `ssh-keygen` writes it, without a passphrase.
    SshKey,
}

/// Why a value is not one of a [`Shape`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What is the matter, in the middle of a sentence: "is not …".
    pub message: String,
    /// What to write instead.
    pub help: &'static str,
}

impl Shape {
    /// The shape of a service's secret with this format.
    pub fn new(format: SecretFormat, tunnel: Option<TunnelId>, network: &Network) -> Self {
        match format {
            SecretFormat::Text => Self::Text,
            SecretFormat::HexKey => Self::HexKey,
            SecretFormat::TunnelCredential => Self::Tunnel(tunnel),
            SecretFormat::WireguardKey => Self::WireguardKey,
            SecretFormat::WireguardAddresses => Self::WireguardAddresses(network.around()),
        }
    }

    /// The value as the box places it.
    ///
    /// # Errors
    /// If `text` is not of this shape.
    pub fn read(&self, text: &str) -> Result<Value, Wrong> {
        let text = text.trim();
        if text.len() > LARGEST {
            return wrong("is too long to be a secret", "at most 64 KiB are possible");
        }
        if let Self::Tunnel(id) = self {
            return tunnel(text, id.as_ref());
        }
        if *self == Self::SshKey {
            return ssh_key::read(text);
        }
        if text.contains(char::is_control) {
            return wrong("has more than one line, or control characters", "write it on one line");
        }
        match self {
            Self::HexKey if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                wrong("is not an API key", "an API key is 32 hexadecimal digits")
            }
            Self::WireguardKey if values::wireguard_key(text).is_none() => {
                let help = "it is what `wg genkey` prints: 44 characters that end in `=`";
                wrong("is not a WireGuard key", help)
            }
            Self::WireguardAddresses(around) => tunnel_addresses(text, around),
            Self::Url if !["https://", "http://"].iter().any(|scheme| is_url(text, scheme)) => {
                wrong("is not a web address", "write the whole address, such as \"https://hc-ping.com/UUID\"")
            }
            Self::RecoveryKey => recovery_key(text),
            Self::Text | Self::Invented if tunnel(text, None).is_ok() => {
                let help = "it is the credential of a tunnel: is it under the right name?";
                wrong("is the credential of a tunnel", help)
            }
            _ => Ok(Value::new(text)),
        }
    }
}

pub(super) fn wrong<T>(message: impl Into<String>, help: &'static str) -> Result<T, Wrong> {
    Err(Wrong { message: message.into(), help })
}

/// `text` as addresses with commas between them, none of them in one of the networks `around`.
fn tunnel_addresses(text: &str, around: &[(IpNet, &'static str)]) -> Result<Value, Wrong> {
    for address in text.split(',') {
        let Ok(address) = values::network(address.trim()) else {
            let help = "it is the `Address` of the provider's configuration, such as 10.64.0.2/32";
            return wrong("is no list of addresses", help);
        };
        let within = |(other, _): &&(IpNet, &str)| other.contains(&address) || address.contains(other);
        if let Some((other, what)) = around.iter().find(within) {
            let message =
                format!("has an address inside {what}, {other}: the tunnel would hide it, or it the tunnel");
            return wrong(
                message,
                "write another range as `containers` in [network], or take another provider's address",
            );
        }
    }
    Ok(Value::new(text))
}

/// The digits alone: what the initrd reads of a file on a USB stick, so that both give the same key.
fn recovery_key(text: &str) -> Result<Value, Wrong> {
    let help = "it is 64 hexadecimal digits, as `openssl rand -hex 32` prints them";
    let mut digits = Zeroizing::new(String::with_capacity(text.len()));
    digits.extend(text.chars().filter(|c| ![' ', '-'].contains(c)).map(|c| c.to_ascii_lowercase()));
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return wrong("is not a recovery key", help);
    }
    // A key that was drawn has nearly all of the 16 digits, and never less than half of them.
    let kinds: std::collections::BTreeSet<u8> = digits.bytes().collect();
    if kinds.len() < 8 {
        return wrong("is no random recovery key: it repeats a few digits", help);
    }
    Ok(Value::new(digits.as_str()))
}

fn is_url(text: &str, scheme: &str) -> bool {
    let rest = text.strip_prefix(scheme).unwrap_or_default();
    !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace)
}

/// The file that `cloudflared tunnel create` writes.
#[derive(Deserialize, Serialize)]
struct Credentials {
    #[serde(rename = "AccountTag")]
    account: String,
    #[serde(rename = "TunnelSecret")]
    secret: String,
    #[serde(rename = "TunnelID")]
    id: String,
    #[serde(rename = "Endpoint", default, skip_serializing_if = "String::is_empty")]
    endpoint: String,
}

/// What is in a token, in base64: the same with other names.
#[derive(Deserialize)]
struct Token {
    #[serde(rename = "a")]
    account: String,
    #[serde(rename = "s")]
    secret: String,
    #[serde(rename = "t")]
    id: String,
    #[serde(rename = "e", default)]
    endpoint: String,
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// The credentials file from either form (cloudflared's `TunnelToken` and `Credentials`, connection/connection.go).
fn tunnel(text: &str, expected: Option<&TunnelId>) -> Result<Value, Wrong> {
    let credentials = understand(text)?;
    let broken = "it has to be copied whole; `cloudflared tunnel token NAME` prints it again";
    let account =
        credentials.account.len() == 32 && credentials.account.bytes().all(|byte| byte.is_ascii_hexdigit());
    let secret = Zeroizing::new(STANDARD.decode(&credentials.secret).unwrap_or_default());
    let Ok(id) = credentials.id.parse::<TunnelId>() else {
        return wrong("has no valid id of a tunnel", broken);
    };
    if !account || secret.len() < TUNNEL_SECRET {
        return wrong("is damaged: its account or secret is not whole", broken);
    }
    if let Some(expected) = expected.filter(|expected| **expected != id) {
        let message = format!("is the credential of the tunnel {id}, while the profile names {expected}");
        return wrong(message, "take the credential of that tunnel, or change the profile");
    }
    let text = serde_json::to_string(&credentials);
    text.map(Value::new).or_else(|_| wrong("cannot be written as a credentials file", broken))
}

fn understand(text: &str) -> Result<Credentials, Wrong> {
    let help = "it is the JSON file that `cloudflared tunnel create` writes, or the token that \
                `cloudflared tunnel token NAME` prints";
    if text.contains("-----BEGIN") {
        let help = "cert.pem administers the whole account and stays at home; the box needs the tunnel's own \
                    UUID.json";
        return wrong("is a certificate, not the credential of a tunnel", help);
    }
    if text.starts_with('{') {
        let credentials = serde_json::from_str::<Credentials>(text);
        return credentials.or_else(|_| wrong("is JSON, but not the credentials file of a tunnel", help));
    }
    // Cloudflare's pages show the token at the end of a command.
    let word = text.rsplit([' ', '=']).find(|word| !word.is_empty()).unwrap_or_default();
    // Padding was split off with a variable's name: `TUNNEL_TOKEN=eyJ…==`.
    let padded = Zeroizing::new(format!("{word}{}", &"==="[..(4 - word.len() % 4) % 4]));
    let json = Zeroizing::new(STANDARD.decode(padded.as_bytes()).unwrap_or_default());
    match serde_json::from_slice::<Token>(&json) {
        Ok(token) => Ok(Credentials {
            account: token.account,
            secret: token.secret,
            id: token.id,
            endpoint: token.endpoint,
        }),
        Err(_) => wrong("is not the credential of a tunnel", help),
    }
}

/// Whether `text` is what a template or a guide leaves to be replaced.
pub(super) fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    let bracketed =
        (text.starts_with('<') && text.ends_with('>')) || text.chars().all(|c| ".…x*-".contains(c));
    let word = text.to_ascii_lowercase();
    bracketed
        || ["changeme", "change-me", "todo", "secret", "password", "token", "none"].contains(&word.as_str())
}

#[cfg(test)]
mod tests;
