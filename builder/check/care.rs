//! Rules about looking after the box: VPN provider, UPS, alerts, mail.

use std::collections::BTreeSet;

use crate::diag::Finding;
use crate::profile::{Notifier, Vpn, VpnType, values};

use super::report::{At, Facts, Report};

/// The provider that is none: the profile names the server.
const CUSTOM: &str = "custom";

/// The VPN's provider, and its server.
pub(super) fn vpn(facts: &Facts<'_>, report: &mut Report<'_>) {
    let Some(vpn) = &facts.profile.vpn else { return };
    if vpn.provider.trim().is_empty() {
        let finding = Finding::error("bad-value", "the VPN's provider has no name");
        report.add(
            At::Value(&["vpn", "provider"]),
            finding.help("write one such as \"mullvad\", as Gluetun names it"),
        );
    }
    vpn_server(vpn, report);
}

/// A server of one's own is named whole, and nobody else's is.
fn vpn_server(vpn: &Vpn, report: &mut Report<'_>) {
    let custom = vpn.provider == CUSTOM;
    if custom && vpn.kind == VpnType::Openvpn {
        let finding = Finding::error("no-server", "a VPN of your own is reached by WireGuard alone");
        report.add(At::Value(&["vpn", "type"]), finding.help("write type = \"wireguard\""));
        return;
    }
    for (key, is_there) in [("endpoint", vpn.endpoint.is_some()), ("public-key", vpn.public_key.is_some())] {
        if custom && !is_there {
            let finding = Finding::error(
                "no-server",
                format!("nothing says where the VPN's server is: {key} is missing"),
            );
            let help = "write endpoint = \"ADDRESS:PORT\" and public-key = \"KEY\", the `Endpoint` and `PublicKey` of its WireGuard \
                        configuration";
            report.add(At::Value(&["vpn", "provider"]), finding.help(help));
        } else if !custom && is_there {
            let finding = Finding::error(
                "bad-value",
                format!("the servers of {} are known: {key} is for one of your own", vpn.provider),
            );
            report.add(At::Value(&["vpn", key]), finding.help("remove it, or write provider = \"custom\""));
        }
    }
    for (key, places) in [("countries", &vpn.countries), ("cities", &vpn.cities)] {
        if custom && !places.is_empty() {
            let finding = Finding::warning("unused-key", "a server of your own is where its endpoint is");
            report.add(At::Key(&["vpn", key]), finding.help(format!("remove {key}")));
        }
    }
    if vpn.public_key.as_deref().is_some_and(|key| values::wireguard_key(key).is_none()) {
        let finding = Finding::error("bad-value", "the server's public key is not 32 bytes in base64");
        report.add(
            At::Value(&["vpn", "public-key"]),
            finding.help("copy `PublicKey` of its WireGuard configuration"),
        );
    }
}

/// The UPS cuts the box's power at the end, and gives it back with the mains.
pub(super) fn ups(facts: &Facts<'_>, report: &mut Report<'_>) {
    if facts.profile.machine.ups.is_some() {
        let message =
            "the UPS switches a box off that has shut down: its firmware has to start it when power returns";
        let finding = Finding::note("start-with-power", message);
        let help =
            "set \"Restore on AC Power Loss\" (or the like) to \"Power On\" in the machine's firmware (BIOS)";
        report.add(At::Value(&["box", "ups"]), finding.help(help));
    }
}

/// Who is told.
pub(super) fn alerts(facts: &Facts<'_>, report: &mut Report<'_>) {
    let alerts = &facts.profile.alerts;
    let mut seen = BTreeSet::new();
    for (position, notifier) in alerts.to.iter().enumerate() {
        if !seen.insert(notifier) {
            let position = position.to_string();
            let finding = Finding::warning("needless-value", "this stands here twice");
            report.add(At::Value(&["alerts", "to", &position]), finding.help("remove one of them"));
        }
    }
    if seen.contains(&Notifier::Mail) && alerts.mail.is_none() {
        let finding = Finding::error("no-mail-server", "alerts go by mail, and there is no mail server");
        let help = "add mail = { host = \"smtp.example.net\", from = \"box@example.com\" } to [alerts]";
        report.add(At::Value(&["alerts", "to"]), finding.help(help));
    }
    if alerts.ntfy.is_some() && !seen.contains(&Notifier::Ntfy) {
        let finding = Finding::warning("unused-key", "no alert goes by ntfy");
        report.add(At::Key(&["alerts", "ntfy"]), finding.help("add \"ntfy\" to `to`, or remove it"));
    }
    let server = alerts.ntfy.as_ref().map(|ntfy| ntfy.server.as_str());
    if server.is_some_and(|server| !server.starts_with("https://") && !server.starts_with("http://")) {
        let finding = Finding::error("bad-value", "this is not the address of a server");
        report.add(At::Value(&["alerts", "ntfy", "server"]), finding.help("write \"https://ntfy.sh\""));
    }
    let Some(mail) = &alerts.mail else { return };
    let addresses = [("from", Some(&mail.from)), ("to", mail.to.as_ref())];
    for (key, address) in addresses.into_iter().filter_map(|(key, address)| Some((key, address?))) {
        let parts = address.split_once('@');
        let right =
            parts.is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'));
        if !right || address.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let finding = Finding::error("bad-value", format!("\"{address}\" is not a mail address"));
            report.add(At::Value(&["alerts", "mail", key]), finding.help("write \"name@example.com\""));
        }
    }
    if mail.host.contains("://") || mail.host.contains(':') || mail.host.trim().is_empty() {
        let finding = Finding::error("bad-value", "the mail server is a host name alone");
        report.add(
            At::Value(&["alerts", "mail", "host"]),
            finding.help("write \"smtp.example.net\", and port = 587 beside it"),
        );
    }
}
