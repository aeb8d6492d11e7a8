//! Who comes in, by the real cloudflared's own check of Access: it runs with the rules as they are rendered, by the command of
//! its Compose file, in a network that has nothing but loopback. The names of the origins lead there, and so does Cloudflare's
//! edge, which a program of the tests plays.

use std::collections::BTreeSet;

use boxwright::plan::Plan;
use serde_json::{Value, json};

use super::edge::{NO_TOKEN, TEAM, cloudflared, credential, hosts, play};
use super::{checked, file, go, rendered};

const EVERY: &str = include_str!("every.toml");
/// The applications in Access that the profile names.
const ADMIN: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";
const FAMILY: &str = "2b77e0d3f0a6432a4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441";
/// What the profile opens: host names for everyone, one for the family, and pages with a path that is one and some that are not.
const OPEN: [&str; 2] = ["cloud.example.com", "requests.example.com"];
const FOR_FAMILY: [&str; 1] = ["jellyfin.example.com"];
const PAGES: [(&str, &str, &[&str]); 2] = [
    ("count.example.com", "/script.js", &["/login", "/", "/script.js/x", "/api/sendx", "/x/script.js"]),
    (
        "status.example.com",
        "/status/box",
        &[
            "/dashboard",
            "/settings",
            "/statusx",
            "/x/status",
            "/status/../dashboard",
            "/status/%2e%2e/dashboard",
        ],
    ),
];

/// One request, and what must come of it.
struct Case {
    host: String,
    path: &'static str,
    token: &'static str,
    audience: &'static str,
    websocket: bool,
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// The origin answers.
    Answered,
    /// cloudflared answers with this status, and no origin has seen anything.
    Kept(u16),
    /// The same with any status that is a refusal: it says 502 of a token that it cannot verify.
    Refused,
}
use Expected::{Answered, Kept, Refused};

impl Case {
    fn new(host: &str, expected: Expected) -> Self {
        Self { host: host.to_owned(), path: "/", token: "", audience: "", websocket: false, expected }
    }

    fn with(self, token: &'static str, audience: &'static str) -> Self {
        Self { token, audience, ..self }
    }

    fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// As `edge/main.go` reads it.
    fn request(&self) -> Value {
        let Self { host, path, token, audience, websocket, .. } = self;
        json!({ "Host": host, "Path": path, "Token": token, "Audience": [audience], "Websocket": websocket })
    }

    /// What is wrong with this answer, if anything is.
    fn wrong(&self, answer: &Value, plan: &Plan) -> Option<String> {
        let Self { host, path, token, expected, .. } = self;
        let (status, reached) = (answer["status"].as_u64().unwrap(), answer["reached"].as_array().unwrap());
        let right = match *expected {
            Answered => {
                let rule = plan.ingress.iter().find(|rule| rule.hostname == *host).unwrap();
                status == 200 && *reached == [json!(format!("{} {host}{path}", origin(&rule.url)))]
            }
            Kept(expected) => status == u64::from(expected) && reached.is_empty(),
            Refused => (400..600).contains(&status) && reached.is_empty(),
        };
        (!right).then(|| format!("{host}{path} with the token {token:?} is not {expected:?}: {answer}"))
    }
}

/// The profile's host names behind Access, and which application each is for.
fn guarded(plan: &Plan) -> Vec<(String, &'static str)> {
    let names: BTreeSet<&str> = plan.ingress.iter().map(|rule| rule.hostname.as_str()).collect();
    let open = |name: &str| OPEN.contains(&name) || PAGES.iter().any(|page| page.0 == name);
    let guarded = names.into_iter().filter(|name| !open(name));
    let guarded =
        guarded.map(|name| (name.to_owned(), if FOR_FAMILY.contains(&name) { FAMILY } else { ADMIN }));
    let guarded: Vec<_> = guarded.collect();
    assert!(guarded.len() > 10 && guarded.iter().any(|(_, audience)| *audience == FAMILY));
    guarded
}

/// Sends `cases` down the tunnel of the profile, whose rules `change` may change, and fails if one went otherwise. With `keys`
/// cloudflared can fetch those of the Access team.
fn all_right(cases: &[Case], keys: bool, change: impl Fn(&str) -> String) {
    let Some(cloudflared) = cloudflared() else { return };
    let Some(edge) = go::own("support/edge") else { return };
    let profile = checked(EVERY);
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let tree = rendered(&profile, &plan);
    let origins: BTreeSet<String> = plan.ingress.iter().map(|rule| origin(&rule.url)).collect();
    let names: BTreeSet<&str> = origins.iter().map(|origin| origin.split(':').next().unwrap()).collect();
    let files = [
        ("etc/cloudflared/config.yml", change(file(&tree, "etc/boxwright/services/cloudflared/config.yml"))),
        ("etc/hosts", hosts(names)),
        ("run/secrets/tunnel", credential()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let compose = file(&tree, "etc/boxwright/services/cloudflared/compose.yaml");
    let command = compose.lines().find_map(|line| line.trim().strip_prefix("command: ")).unwrap();
    let mut command: Vec<String> = serde_json::from_str(command).unwrap();
    command.insert(0, cloudflared.to_str().unwrap().to_owned());
    let requests: Vec<Value> = cases.iter().map(Case::request).collect();
    let job =
        json!({ "Command": command, "Origins": origins, "Team": TEAM, "Keys": keys, "Requests": requests });

    let said = play(&edge, &files, &job);
    assert_eq!(said["unasked"], json!([]), "an origin was asked for nothing that was sent");
    let answers = said["answers"].as_array().unwrap();
    assert_eq!(answers.len(), cases.len());
    let wrong: Vec<String> =
        cases.iter().zip(answers).filter_map(|(case, answer)| case.wrong(answer, &plan)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let without = cases.iter().filter(|case| case.token.is_empty() && case.expected == Kept(403)).count();
    let log = said["said"].as_str().unwrap();
    assert_eq!(log.matches(NO_TOKEN).count(), without, "another check than cloudflared's: {log}");
}

/// Host and port of an origin's address.
fn origin(url: &str) -> String {
    url.strip_prefix("http://").unwrap_or_else(|| panic!("{url} is not http")).to_owned()
}

#[test]
fn nobody_without_a_valid_token_reaches_an_origin() {
    let profile = checked(EVERY);
    let mut cases = Vec::new();
    for (host, audience) in guarded(&Plan::new(&profile, profile.catalog()).unwrap()) {
        let other = if audience == ADMIN { FAMILY } else { ADMIN };
        cases.push(Case::new(&host, Kept(403)));
        cases.push(Case::new(&host, Kept(403)).at("/api/anything?token=1"));
        cases.push(Case { websocket: true, ..Case::new(&host, Kept(403)) });
        cases.push(Case::new(&host, Kept(403)).with("valid", other));
        for token in ["garbage", "signed by another key", "not signed", "expired", "of another team"] {
            cases.push(Case::new(&host, Refused).with(token, audience));
        }
        // The same with a token that is right: it was the token, and the origin is there.
        cases.push(Case::new(&host, Answered).with("valid", audience));
    }
    all_right(&cases, true, str::to_owned);
}

#[test]
fn a_token_is_refused_while_the_teams_keys_cannot_be_fetched() {
    let profile = checked(EVERY);
    let mut cases = vec![Case::new(OPEN[0], Answered)];
    for (host, audience) in guarded(&Plan::new(&profile, profile.catalog()).unwrap()) {
        cases.push(Case::new(&host, Kept(403)));
        cases.extend(["valid", "garbage"].map(|token| Case::new(&host, Refused).with(token, audience)));
    }
    all_right(&cases, false, str::to_owned);
}

#[test]
fn what_is_open_is_answered_and_nothing_beside_it() {
    let mut cases: Vec<Case> = OPEN.map(|host| Case::new(host, Answered)).into();
    cases.extend(OPEN.map(|host| Case::new(host, Answered).at("/any/path")));
    for (host, page, others) in PAGES {
        cases.push(Case::new(host, Answered).at(page));
        cases.extend(others.iter().map(|path| Case::new(host, Kept(404)).at(path)));
        // A token opens no more of a page.
        cases.push(Case::new(host, Kept(404)).at(others[0]).with("valid", ADMIN));
    }
    for host in ["other.example.com", "example.com", "sonarr.example.org", "sonarr", "127.0.0.1"] {
        cases.push(Case::new(host, Kept(404)).with("valid", ADMIN));
    }
    all_right(&cases, true, str::to_owned);
}

/// The same request passes where the rule's Access is gone, so that it is the rule that keeps it out.
#[test]
fn a_rule_without_access_lets_everyone_in() {
    let case = Case::new("sonarr.example.com", Answered);
    let without = |config: &str| {
        let (before, rule) = config.split_once("  - hostname: \"sonarr.example.com\"").unwrap();
        let (rule, after) = rule.split_once("\n  - ").unwrap();
        let (rule, _) = rule.split_once("\n    originRequest:").unwrap();
        format!("{before}  - hostname: \"sonarr.example.com\"{rule}\n  - {after}")
    };
    all_right(&[case, Case::new("radarr.example.com", Kept(403))], true, without);
}
