//! The tunnel's configuration against the plan: it serves what was agreed, to whom it was agreed, by names that it can look
//! up on a network that it shares.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Breach;
use crate::plan::{IngressRule, Plan, ServicePlan};

/// Checks the file at `path`, if it has rules.
pub(super) fn check(
    path: &str,
    file: &Value,
    (tunnel, plan): (&ServicePlan, &Plan),
    breaches: &mut Vec<Breach>,
) {
    let Some(rules) = file.get("ingress").and_then(Value::as_array) else { return };
    let mut add = |code, message: String, help| {
        let (service, message) = (tunnel.name.clone(), format!("{path}: {message}"));
        breaches.push(Breach { service, code, message, help });
    };
    let mut served: BTreeSet<(String, String)> = BTreeSet::new();
    for rule in rules {
        let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (hostname, part, target) = (text("hostname"), text("path"), text("service"));
        if hostname.is_empty() {
            if !target.starts_with("http_status:") {
                let help = "end with `service: http_status:404`";
                add("open-tunnel", format!("whatever has no name leads to {target}"), help);
            }
            continue;
        }
        let agreed =
            |one: &&IngressRule| one.hostname == hostname && one.path.clone().unwrap_or_default() == part;
        let Some(agreed) = plan.ingress.iter().find(agreed) else {
            let help = "give the service an `at` in the profile instead";
            add(
                "unnamed-host",
                format!("{hostname}{part} is served, and the profile does not name it"),
                help,
            );
            continue;
        };
        served.insert((hostname.clone(), part));
        if target.starts_with("http_status:") {
            continue;
        }
        if target != agreed.url || !reachable(host_of(&target), tunnel, plan) {
            let help = "write the rule's `url`: a name on a network that the tunnel shares";
            add(
                "unreachable-target",
                format!("{hostname} leads to {target}, which the tunnel cannot reach"),
                help,
            );
        }
        let access = rule.pointer("/originRequest/access");
        let required = access.and_then(|access| access.get("required")) == Some(&Value::Bool(true));
        let tags: Vec<&str> = access
            .and_then(|one| one.get("audTag"))
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let team = access.and_then(|one| one.get("teamName")).and_then(Value::as_str);
        let wanted = agreed.access.as_ref();
        if wanted.is_some_and(|wanted| !required || tags != wanted.aud || team != Some(wanted.team.as_str()))
        {
            let help = "write `access` into the rule itself: at the top level it is ignored";
            add("access-missing", format!("{hostname} does not check Access's tokens"), help);
        }
    }
    for rule in &plan.ingress {
        if !served.contains(&(rule.hostname.clone(), rule.path.clone().unwrap_or_default())) {
            add("unserved-host", format!("{} has no rule", rule.hostname), "add one for each of `ingress`");
        }
    }
    if rules.last().is_none_or(|rule| rule.get("hostname").is_some()) {
        let help = "end with `service: http_status:404`";
        add("open-tunnel", "the last rule does not refuse everything else".to_owned(), help);
    }
}

fn host_of(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.split([':', '/']).next().unwrap_or_default()
}

/// Whether the tunnel's container shares a network on which somebody else has this name.
fn reachable(host: &str, tunnel: &ServicePlan, plan: &Plan) -> bool {
    let main = tunnel.containers.iter().find(|container| container.main);
    let Some(main) = main else { return false };
    plan.networks.iter().any(|network| {
        let here = network.members.iter().any(|member| member.container == main.name);
        let other = |member: &&crate::plan::Member| member.container != main.name;
        here && network
            .members
            .iter()
            .filter(other)
            .any(|member| member.names.iter().any(|name| name == host))
    })
}
