//! The keys of a WireGuard tunnel: whether its server answers a handshake that is made with them.
//!
//! The handshake is Noise_IKpsk2 with WireGuard's own frame around it; see section 5.4 of
//! <https://www.wireguard.com/papers/wireguard.pdf>. No data follow, so that no session begins. A server that does not know a key
//! says nothing at all, and neither does a network that lets no UDP through.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use blake2::digest::consts::U16;
use blake2::digest::{Digest as _, FixedOutput as _, KeyInit as _, Update as _};
use blake2::{Blake2s256, Blake2sMac};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use super::Outcome;
use crate::profile::values;

const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
/// What the key of a message's first code is made of, besides the public key of who gets it.
const LABEL: &[u8] = b"mac1----";
/// Lengths of messages, and of the frame in front of what Noise writes: type and own number, then the other's number.
const INITIATION: usize = 148;
const RESPONSE: usize = 92;
const FRAME: usize = 8;
const RESPONSE_FRAME: usize = 12;
/// Types of messages.
const INITIATES: u8 = 1;
const RESPONDS: u8 = 2;
const COOKIE: u8 = 3;
/// What Unix's epoch is in TAI64.
const EPOCH: u64 = (1 << 62) + 10;
/// How often it is tried, and how long an answer may take: WireGuard itself tries every 5 s.
const TRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(5);

/// A tunnel's server, and the keys with which it is spoken to, in base64.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tunnel<'a> {
    pub(super) endpoint: SocketAddrV4,
    pub(super) public_key: &'a str,
    pub(super) private_key: &'a str,
    pub(super) preshared_key: Option<&'a str>,
}

/// What a server answers.
enum Answer {
    /// It knows the keys.
    Good,
    /// It knows the public key, and is too busy to say more.
    Busy,
}

/// Whether the server answers.
pub(super) fn tried(tunnel: &Tunnel<'_>) -> Outcome {
    let endpoint = tunnel.endpoint;
    match tunnel.answer() {
        Ok(Some(Answer::Good)) => {
            Outcome::works(format!("the server {endpoint} answers a handshake with them"))
        }
        Ok(Some(Answer::Busy)) => {
            Outcome::untried(format!("the server {endpoint} is overloaded; try again later"))
        }
        Ok(None) => Outcome::failed(
            format!("the server {endpoint} does not answer a handshake with them"),
            "a server is silent to keys that it does not know: compare all of them, and public-key in [vpn], with the configuration \
             of the VPN's provider. If they are the same, the network here may let no UDP through",
        ),
        Err(error) => Outcome::untried(format!("the server {endpoint}: {error:#}")),
    }
}

impl Tunnel<'_> {
    fn answer(&self) -> Result<Option<Answer>> {
        let socket = UdpSocket::bind("0.0.0.0:0").context("no socket can be had")?;
        socket.connect(self.endpoint).context("there is no way to it")?;
        socket.set_read_timeout(Some(PATIENCE)).context("no socket can be had")?;
        for number in 1..=TRIES {
            let number = u32::try_from(number)?;
            let (message, mut state) = self.initiation(number)?;
            // Whoever refuses the packet has nothing behind the port: that is no answer either.
            if socket.send(&message).is_err() {
                continue;
            }
            let (mut answer, end) = ([0; 256], Instant::now() + PATIENCE);
            while let Ok(length) = socket.recv(&mut answer)
                && Instant::now() < end
            {
                let ours = number.to_le_bytes();
                if answer[4..8] != ours && answer[8..12] != ours {
                    continue;
                }
                let noise = RESPONSE_FRAME..RESPONSE_FRAME + 48;
                match (answer[0], length) {
                    (RESPONDS, RESPONSE) if state.read_message(&answer[noise], &mut [0; 64]).is_ok() => {
                        return Ok(Some(Answer::Good));
                    }
                    (COOKIE, 64) => return Ok(Some(Answer::Busy)),
                    _ => (),
                }
            }
        }
        Ok(None)
    }

    /// The first message of a handshake with the own number `number`, and what reads the answer.
    fn initiation(&self, number: u32) -> Result<([u8; INITIATION], HandshakeState)> {
        let (private, public) = (key(self.private_key)?, key(self.public_key)?);
        let preshared = self.preshared_key.map_or(Ok(Zeroizing::new([0; 32])), key)?;
        let builder = Builder::new(PATTERN.parse()?).prologue(PROLOGUE)?;
        let builder = builder.local_private_key(&*private)?.remote_public_key(&*public)?;
        let mut state = builder.psk(2, &preshared)?.build_initiator()?;
        let mut message = [0; INITIATION];
        message[0] = INITIATES;
        message[4..FRAME].copy_from_slice(&number.to_le_bytes());
        let end = FRAME + state.write_message(&timestamp(), &mut message[FRAME..])?;
        ensure!(end + 32 == INITIATION, "a handshake has an unexpected length");
        let code = first_code(&*public, &message[..end]);
        message[end..end + 16].copy_from_slice(&code);
        Ok((message, state))
    }
}

/// A key out of its base64.
fn key(text: &str) -> Result<Zeroizing<[u8; 32]>> {
    values::wireguard_key(text).context("a key is not 32 bytes in base64")
}

/// The code that says that whoever wrote `message` knows the public key of who gets it.
fn first_code(public: &[u8], message: &[u8]) -> [u8; 16] {
    let key = Blake2s256::new().chain_update(LABEL).chain_update(public).finalize();
    let mut code = Blake2sMac::<U16>::new(&key);
    code.update(message);
    code.finalize_fixed().into()
}

/// Now, as TAI64N: a server takes no initiation that is not later than the last of the same key.
#[allow(clippy::disallowed_methods, reason = "no handshake without it")]
fn timestamp() -> [u8; 12] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut stamp = [0; 12];
    stamp[..8].copy_from_slice(&(EPOCH + now.as_secs()).to_be_bytes());
    stamp[8..].copy_from_slice(&now.subsec_nanos().to_be_bytes());
    stamp
}
