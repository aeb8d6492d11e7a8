//! What a profile may say already and nothing acts on yet: said aloud, since a setting that does nothing misleads.

use crate::diag::Finding;

use super::report::{At, Facts, Report};

/// Settings without an effect in this version.
pub(super) fn settings(facts: &Facts<'_>, report: &mut Report<'_>) {
    let profile = facts.profile;
    let alerts = &profile.alerts;
    let stale = profile.updates.stale != crate::profile::Updates::default().stale;
    let forwarding = profile.vpn.as_ref().is_some_and(|vpn| vpn.port_forwarding);
    let pending: [(bool, &[&str], &str); 7] = [
        (profile.machine.ups.is_some(), &["box", "ups"], "the box does not watch a UPS"),
        (stale, &["updates", "stale"], "the box does not tell when something is old"),
        (forwarding, &["vpn", "port-forwarding"], "the torrent client is not told of the port"),
        (!alerts.to.is_empty(), &["alerts", "to"], "the box sends no alerts"),
        (alerts.heartbeat, &["alerts", "heartbeat"], "the box calls no outside address"),
        (alerts.mail.is_some(), &["alerts", "mail"], "neither the box nor its services send mail"),
        (alerts.ntfy.is_some(), &["alerts", "ntfy"], "the box sends no alerts"),
    ];
    for (written, path, what) in pending {
        if written {
            let message = format!("nothing acts on `{}` in this version: {what}", path.join("."));
            let finding = Finding::warning("not-yet", message);
            report.add(At::Value(path), finding.help("it may stay: a later version takes it up"));
        }
    }
}
