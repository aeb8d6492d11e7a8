//! Rules over a profile, and the [`CheckedProfile`]: the only way on to the stages that build something.
//!
//! In go a profile with its places, the catalog, and what is known of distributions and platforms; out come findings.
//! Every rule is a pure function in one table. Nothing after here doubts the profile again.

mod at_rest;
mod backup;
mod care;
mod checked;
mod disks;
mod exposure;
mod machine;
mod network;
mod report;
mod services;
#[cfg(test)]
mod tests;
mod without_effect;
mod words;
mod world;

pub use checked::{CheckedProfile, CheckedService};
pub use world::World;

use crate::diag::Findings;
use crate::profile::Document;
use report::{Facts, Report};

/// One rule: what it looks after, and the function.
struct Rule {
    about: &'static str,
    apply: fn(&Facts<'_>, &mut Report<'_>),
}

const fn rule(about: &'static str, apply: fn(&Facts<'_>, &mut Report<'_>)) -> Rule {
    Rule { about, apply }
}

/// All rules. Their order does not matter: findings are sorted by place.
const RULES: &[Rule] = &[
    rule("the version of the format", machine::schema_version),
    rule("host name and domain", machine::names),
    rule("time zone", machine::timezone),
    rule("distribution and platform", machine::system),
    rule("who logs in", machine::admins),
    rule("encryption of the box's disk", at_rest::encryption),
    rule("packages and mirrors", machine::packages),
    rule("what only Ubuntu has", machine::ubuntu_only),
    rule("the way in for admins", machine::ssh),
    rule("names under the domain", exposure::names),
    rule("the tunnel and Access", exposure::tunnel),
    rule("applications in Access", exposure::tags),
    rule("what strangers meet", exposure::strangers),
    rule("pages for everyone", exposure::pages),
    rule("ports at home and at the edge", exposure::ports),
    rule("services that exist", services::names),
    rule("services that others need", services::needs),
    rule("ways out", services::egress),
    rule("graphics processor, memory, environment", services::resources),
    rule("settings of services", services::settings),
    rule("drawbacks, and what is accepted", services::drawbacks),
    rule("which disk is which", disks::sources),
    rule("who works on which disk", disks::uses),
    rule("who owns a disk", disks::owners),
    rule("ranges of addresses", network::ranges),
    rule("the VPN's own range", network::tunnel),
    rule("what may be reached in the house", network::reach),
    rule("ports behind the VPN", network::shared_namespace),
    rule("the VPN", care::vpn),
    rule("backups", backup::backups),
    rule("the UPS", care::ups),
    rule("alerts and mail", care::alerts),
    rule("what nothing acts on yet", without_effect::settings),
];

/// Applies every rule to `document`. `findings` are those that there are already, about its shape and about the
/// catalog; they come back sorted with the new ones.
///
/// There is a [`CheckedProfile`] exactly if there is no error among them.
pub fn check(
    document: &Document,
    world: World,
    mut findings: Findings,
) -> (Option<CheckedProfile>, Findings) {
    let facts = Facts::new(document, &world);
    let mut report = Report::new(document, &mut findings);
    for rule in RULES {
        (rule.apply)(&facts, &mut report);
    }
    findings.sort();
    let checked = if findings.has_errors() { None } else { checked::fill(document, world) };
    (checked, findings)
}

/// What the rules look after, one line each.
pub fn rules() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.about)
}
