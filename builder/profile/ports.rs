//! Ports that a profile writes as text: one or several in a row, with the protocol.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::values::{number, text_value};

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One port or several in a row, written `"25565/tcp"` or `"27015-27020/udp"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    /// The lowest port, at least 1.
    pub first: u16,
    /// The highest port, not below `first`.
    pub last: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl PortRange {
    /// Whether a port of `other` is also one of this range.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.first <= other.last && other.first <= self.last
    }

    /// Whether every port of `other` is also one of this range.
    pub fn contains(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.first <= other.first && other.last <= self.last
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help =
            || "expected a port and a protocol, such as \"25565/tcp\" or \"27015-27020/udp\"".to_owned();
        let (ports, protocol) = text.split_once('/').ok_or_else(help)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(help()),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port =
            |text: &str| number(text).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last, protocol }),
            _ => Err(help()),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}/{}", self.first, self.protocol)
        } else {
            write!(f, "{}-{}/{}", self.first, self.last, self.protocol)
        }
    }
}

text_value!(PortRange, "PortRange", "ports", "^[0-9]+(-[0-9]+)?/(tcp|udp)$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_within_a_protocol() {
        let port = |text: &str| text.parse::<PortRange>().unwrap();
        assert!(port("10-20/tcp").overlaps(&port("20/tcp")));
        assert!(!port("10-20/tcp").overlaps(&port("21-30/tcp")));
        assert!(!port("10-20/tcp").overlaps(&port("15/udp")));
    }
}
