//! The VPN of a profile, as it is written there.

use std::net::SocketAddrV4;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::Ipv4NetworkText;

/// The VPN. Its keys are in secrets.toml.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vpn {
    /// The provider as Gluetun names it, such as "mullvad"; "custom" for one of your own.
    pub provider: String,
    /// The protocol.
    #[serde(rename = "type", default)]
    pub kind: VpnType,
    /// The server, where the provider is "custom": address and UDP port, such as "198.51.100.7:51820".
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<SocketAddrV4>,
    /// The public key of that server.
    pub public_key: Option<String>,
    /// Countries to leave in.
    #[serde(default)]
    pub countries: Vec<String>,
    /// Cities to leave in.
    #[serde(default)]
    pub cities: Vec<String>,
    /// Servers to use.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// The networks that the tunnel's own addresses come from, where the provider tells them: such as "10.64.0.0/10".
    /// The networks at home and those of containers stay clear of them.
    #[serde(default)]
    #[schemars(with = "Vec<Ipv4NetworkText>")]
    pub addresses: Vec<Ipv4Net>,
    /// Whether the provider forwards a port to the torrent client.
    #[serde(default)]
    pub port_forwarding: bool,
}

/// The VPN's protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VpnType {
    /// WireGuard
    #[default]
    Wireguard,
    /// OpenVPN
    Openvpn,
}
