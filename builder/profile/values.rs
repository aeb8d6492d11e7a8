//! Small values that a profile writes as text: times of day, ages, owners, names of tunnels; [`super::ports`] has the ports.
//!
//! Each parses from and prints to the text a user writes, and gives the JSON schema a pattern for editors. The
//! `format` in the schema is the name by which [`problem`] checks a text, so that all bad values are found at once.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ports::PortRange;

/// The bytes of a WireGuard key, private or public, as `wg` writes it: in base64.
pub fn wireguard_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

/// A time of day on the box's own clock, `HH:MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2);
        let (hour, minute) = parts.ok_or("expected a time of day as \"HH:MM\", such as \"03:00\"")?;
        match (number(hour), number(minute)) {
            (Some(hour @ 0..=23), Some(minute @ 0..=59)) => {
                Ok(Self { hour: hour as u8, minute: minute as u8 })
            }
            _ => Err("expected a time of day from \"00:00\" to \"23:59\"".into()),
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// A number of days, written `"30d"` or `"4w"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Days(pub u32);

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = match (text.strip_suffix('d'), text.strip_suffix('w')) {
            (Some(days), _) => number(days),
            (_, Some(weeks)) => number(weeks).and_then(|weeks| weeks.checked_mul(7)),
            _ => None,
        };
        match days {
            Some(days @ 1..=3650) => Ok(Self(days)),
            _ => Err("expected days or weeks, such as \"30d\" or \"4w\"".into()),
        }
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}d", self.0)
    }
}

/// Who owns files: a user and a group by number, written `"1000:1000"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // 4294967295 is (uid_t) -1, which chown(2) reads as "leave it".
        let id = |text: &str| number(text).filter(|id| *id != u32::MAX);
        let pair = text.split_once(':').and_then(|(uid, gid)| Some((id(uid)?, id(gid)?)));
        let (uid, gid) = pair.ok_or("expected \"USER:GROUP\" in numbers, such as \"1000:1000\"")?;
        Ok(Self { uid, gid })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// The UUID of a Cloudflare Tunnel, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TunnelId(String);

impl TunnelId {
    /// The UUID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TunnelId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = [8, 4, 4, 4, 12];
        let parts: Vec<&str> = text.split('-').collect();
        let right = parts.len() == shape.len()
            && parts.iter().zip(shape).all(|(part, length)| {
                part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
        if right {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("expected the tunnel's UUID, such as \"6ff42ae2-765d-4adf-8112-31c55c1551ef\"".into())
        }
    }
}

impl fmt::Display for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// `"media"`
    One(String),
    /// `["media", "photos"]`
    Many(Vec<String>),
}

impl OneOrMany {
    /// The values, in the order in which they were written.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// What is wrong with `text` as a value of the schema's `format`; none if it is fine or the format is not ours.
pub fn problem(format: &str, text: &str) -> Option<String> {
    match format {
        "time-of-day" => TimeOfDay::from_str(text).err(),
        "days" => Days::from_str(text).err(),
        "owner" => Owner::from_str(text).err(),
        "ports" => PortRange::from_str(text).err(),
        "tunnel-id" => TunnelId::from_str(text).err(),
        "ipv4-network" => ipnet::Ipv4Net::from_str(text)
            .err()
            .map(|_| "expected an IPv4 network, such as \"192.168.1.0/24\"".to_owned()),
        "network" => network(text).err(),
        _ => None,
    }
}

/// A network or a single address (which is the network of that one address).
pub fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let address = || text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
    text.parse::<ipnet::IpNet>().or_else(|_| address()).map_err(|_| {
        "expected an address or a network, such as \"192.168.1.20\" or \"192.168.1.0/24\"".to_owned()
    })
}

/// Digits only: `u32::from_str` would take a sign.
pub(super) fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Implements what a value that is written as text needs besides parsing and printing.
macro_rules! text_value {
    ($type:ty, $name:literal, $format:literal, $pattern:literal) => {
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "pattern": $pattern })
            }
        }
    };
}

pub(super) use text_value;

text_value!(TimeOfDay, "TimeOfDay", "time-of-day", "^([01][0-9]|2[0-3]):[0-5][0-9]$");
text_value!(Days, "Days", "days", "^[0-9]+[dw]$");
text_value!(Owner, "Owner", "owner", "^[0-9]+:[0-9]+$");
text_value!(TunnelId, "TunnelId", "tunnel-id", "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_writes_is_read_and_printed() {
        let table = [
            ("time-of-day", "04:30", true),
            ("time-of-day", "24:00", false),
            ("time-of-day", "4:30", false),
            ("time-of-day", "+4:30", false),
            ("days", "30d", true),
            ("days", "4w", true),
            ("days", "0d", false),
            ("days", "30", false),
            ("days", "99999999999999d", false),
            ("days", "999999999w", false),
            ("owner", "1000:1000", true),
            ("owner", "1000", false),
            ("owner", "4294967295:0", false),
            ("ports", "25565/tcp", true),
            ("ports", "27015-27020/udp", true),
            ("ports", "27020-27015/udp", false),
            ("ports", "0/tcp", false),
            ("ports", "65536/tcp", false),
            ("ports", "80", false),
            ("tunnel-id", "6FF42AE2-765d-4adf-8112-31c55c1551ef", true),
            ("tunnel-id", "6ff42ae2765d4adf811231c55c1551ef", false),
            ("ipv4-network", "10.0.0.0/8", true),
            ("ipv4-network", "10.0.0.0", false),
            ("network", "10.0.0.7", true),
            ("network", "fd00::/8", true),
            ("network", "nas", false),
            ("uri", "anything", true),
        ];
        for (format, text, right) in table {
            assert_eq!(problem(format, text).is_none(), right, "{format} {text}");
        }
        assert_eq!("4w".parse::<Days>().unwrap(), Days(28));
        assert_eq!("27015-27020/udp".parse::<PortRange>().unwrap().to_string(), "27015-27020/udp");
        assert_eq!("03:05".parse::<TimeOfDay>().unwrap().to_string(), "03:05");
    }
}
