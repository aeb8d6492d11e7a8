//! Settings on which nothing on this box acts: said aloud, since a setting that does nothing misleads.

use crate::catalog::Service;
use crate::diag::Finding;
use crate::profile::Notifier;

use super::report::{At, Facts, Report};

/// Settings without an effect in this profile.
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
    if mail {
        let message = "nothing acts on `alerts.mail`: none of these services sends mail, and alerts only with \"mail\" in `to`";
        let finding = Finding::warning("without-effect", message);
        report.add(At::Value(&["alerts", "mail"]), finding.help("write `to = [\"mail\"]`, or leave it out"));
    }
}
