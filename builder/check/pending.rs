//! What a profile may say already and nothing acts on yet: said aloud, since a setting that does nothing misleads.

use crate::catalog::Service;
use crate::diag::Finding;
use crate::profile::Notifier;

use super::report::{At, Facts, Report};

/// Settings without an effect in this version.
pub(super) fn settings(facts: &Facts<'_>, report: &mut Report<'_>) {
    let profile = facts.profile;
    let alerts = &profile.alerts;
    // A service that mails has the server's password among its secrets.
    let mails = |service: &Service| {
        service.secrets.values().any(|secret| secret.when.as_ref().is_some_and(|when| when.mail))
    };
    let mail = alerts.mail.is_some()
        && !alerts.to.contains(&Notifier::Mail)
        && !facts.known().any(|(_, service)| mails(service));
    let forwarding = profile.vpn.as_ref().is_some_and(|vpn| vpn.port_forwarding);
    let pending: [(bool, &[&str], &str); 2] = [
        (forwarding, &["vpn", "port-forwarding"], "the torrent client is not told of the port"),
        (
            mail,
            &["alerts", "mail"],
            "none of these services sends mail, and alerts only with \"mail\" in `to`",
        ),
    ];
    for (written, path, what) in pending {
        if written {
            let message = format!("nothing acts on `{}` in this version: {what}", path.join("."));
            let finding = Finding::warning("not-yet", message);
            report.add(At::Value(path), finding.help("it may stay: a later version takes it up"));
        }
    }
}
