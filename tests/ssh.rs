//! SSH's own tunnel: who gets through it to sshd, and that it leads to nothing else. The real cloudflared runs the rules as they
//! are rendered, by the command of its unit, behind an edge that the test plays.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

#[path = "support/built.rs"]
mod built;
#[path = "support/edge.rs"]
mod edge;
#[path = "support/go.rs"]
mod go;
#[path = "ssh/login.rs"]
mod login;
#[allow(dead_code, reason = "not all of it is used here")]
#[path = "support/profiles.rs"]
mod profiles;

use std::collections::BTreeSet;
use std::fs;

use boxwright::check::CheckedProfile;
use boxwright::plan::Plan;
use boxwright::tree::Tree;
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

use edge::{NO_TOKEN, TEAM, cloudflared, credential, hosts, play};

const SSHD: &str = "127.0.0.1:22";
const RULES: &str = "etc/boxwright/ssh-tunnel.yml";
const PUBLIC: &str = "etc/boxwright/services/cloudflared";
const UNIT: &str = "usr/lib/systemd/system/boxwright-ssh-tunnel.service";
/// A key that nobody has.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIJPRgh+AXm+rRH1Ydo+E3qd2R8JZnZyh3rnFXd25G5p ann";
/// The host names, with the application in Access that each is for; and that of all services.
const NAMES: [(&str, &str); 2] = [
    ("ssh.example.com", "4714c135c0ffee4714c135c0ffee4714c135c0ffee4714c135c0ffee4714c135"),
    ("ssh-ci.example.com", "2b77e0d3c0ffee2b77e0d3c0ffee2b77e0d3c0ffee2b77e0d3c0ffee2b77e0d3"),
];
const ADMIN: &str = "1b77e0d3c0ffee1b77e0d3c0ffee1b77e0d3c0ffee1b77e0d3c0ffee1b77e0d3";

/// `ssh/box.toml` for the owner of `key`.
fn behind(key: &str) -> (CheckedProfile, Tree) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box.toml");
    fs::write(&path, include_str!("ssh/box.toml").replace("KEY", key.trim())).unwrap();
    (profiles::checked(&path), profiles::rendered_at(&path))
}

fn file<'a>(tree: &'a Tree, path: &str) -> &'a str {
    std::str::from_utf8(tree.file(path).unwrap_or_else(|| panic!("no {path}"))).unwrap()
}

/// What a unit's file says to `key`.
fn said<'a>(unit: &'a str, key: &str) -> &'a str {
    let mut found = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = found.next().unwrap_or_else(|| panic!("no {key}"));
    assert_eq!(found.next(), None, "a second {key}");
    value
}

/// The tunnel's command in its unit, and its environment with the credential at `credential`.
fn command(tree: &Tree, credential: &str) -> (Vec<String>, String) {
    let unit = file(tree, UNIT);
    let command = said(unit, "ExecStart").split(' ').map(str::to_owned).collect();
    (command, said(unit, "Environment").replace("%d/credentials.json", credential))
}

/// What is wrong with the rules of SSH's tunnel: they lead to sshd for those whom Access let in, and there is nothing else.
fn astray(rules: &str, names: &[(String, Vec<String>)], team: Option<&str>) -> Option<String> {
    let mut config: Yaml = serde_yaml_ng::from_str(rules).unwrap();
    let config = config.as_mapping_mut().unwrap();
    let mut expected: Vec<Value> = names
        .iter()
        .map(|(name, aud)| {
            let access = json!({ "required": true, "teamName": team.unwrap(), "audTag": aud });
            json!({ "hostname": name, "service": format!("ssh://{SSHD}"), "originRequest": { "access": access } })
        })
        .collect();
    expected.push(json!({ "service": "http_status:404" }));
    let ingress = serde_json::to_value(config.remove("ingress").unwrap()).unwrap();
    if ingress != json!(expected) {
        return Some(format!("{ingress} is not {}", json!(expected)));
    }
    // Nothing that leads past the rules, such as `warp-routing`, and metrics for the box itself.
    config.remove("tunnel").unwrap();
    let rest = serde_json::to_value(config).unwrap();
    let expected = json!({ "no-autoupdate": true, "metrics": "127.0.0.1:20239", "loglevel": "warn" });
    (rest != expected).then(|| format!("{rest} is not {expected}"))
}

/// The host names of SSH in a profile, with the applications that they are for.
fn names(profile: &CheckedProfile) -> Vec<(String, Vec<String>)> {
    let profile = profile.profile();
    let domain = profile.machine.domain.as_deref().unwrap_or_default();
    let admin = profile.cloudflare.as_ref().and_then(|cloudflare| cloudflare.admin.as_ref());
    [(&profile.ssh.at, &profile.ssh.aud), (&profile.ssh.ci, &profile.ssh.ci_aud)]
        .into_iter()
        .filter_map(|(name, aud)| {
            let aud = aud.as_ref().or(admin.map(|app| &app.aud)).unwrap();
            Some((format!("{}.{domain}", name.as_ref()?), aud.as_slice().to_vec()))
        })
        .collect()
}

/// Everything of this profile that leads to SSH, as it is rendered.
fn assert_right(name: &str, profile: &CheckedProfile, tree: &Tree) {
    let settings = profile.profile();
    let listens = file(tree, "etc/ssh/sshd_config.d/10-boxwright.conf");
    let never = settings.ssh.lan == boxwright::profile::SshLan::Never;
    let at: Vec<&str> = listens.lines().filter_map(|line| line.strip_prefix("ListenAddress ")).collect();
    assert_eq!(at, if never { &[SSHD][..] } else { &[] }, "{name}");
    if settings.ssh.at.is_some() {
        let team = settings.cloudflare.as_ref().and_then(|cloudflare| cloudflare.team.as_deref());
        assert_eq!(astray(file(tree, RULES), &names(profile), team), None, "{name}");
        let (command, _) = command(tree, "");
        assert_eq!(command[1..], ["tunnel", "--config", &format!("/{RULES}"), "run"], "{name}");
    } else {
        assert!(tree.get(RULES).is_none() && tree.get(UNIT).is_none(), "{name}");
    }
    let Some(config) = tree.file(&format!("{PUBLIC}/config.yml")) else { return };
    let plan = Plan::new(profile, profile.catalog()).unwrap();
    let containers: BTreeSet<&str> = plan
        .networks
        .iter()
        .flat_map(|network| &network.members)
        .flat_map(|member| member.names.iter().map(String::as_str))
        .collect();
    let config: Yaml = serde_yaml_ng::from_slice(config).unwrap();
    for rule in config["ingress"].as_sequence().unwrap() {
        let service = rule["service"].as_str().unwrap();
        let inside = service.strip_prefix("http://").and_then(|origin| origin.split_once(':'));
        let right = service.starts_with("http_status:")
            || inside.is_some_and(|(host, port)| containers.contains(host) && port != "22");
        assert!(right, "{name}: the public tunnel leads to {service}");
    }
    let compose: Yaml = serde_yaml_ng::from_str(file(tree, &format!("{PUBLIC}/compose.yaml"))).unwrap();
    for (_, container) in compose["services"].as_mapping().unwrap() {
        // Neither the host's network nor a name for the host.
        assert!(container["network_mode"].is_null() && container["extra_hosts"].is_null(), "{name}");
    }
}

#[test]
fn what_is_rendered_leads_to_sshd_by_its_own_tunnel_only() {
    let (profile, tree) = behind(KEY);
    assert_right("box", &profile, &tree);
    let mut paths: Vec<_> = profiles::shipped()
        .iter()
        .map(|name| profiles::project().join("profiles").join(name).with_extension("toml"))
        .collect();
    paths.push(profiles::project().join("tests/golden/ubuntu.toml"));
    for path in paths {
        assert_right(&path.display().to_string(), &profiles::checked(&path), &profiles::rendered_at(&path));
    }
    // And each of these would be seen.
    let (names, rules) = (names(&profile), file(&tree, RULES));
    for (old, new) in [
        ("127.0.0.1:22\n", "127.0.0.1:2222\n"),
        ("ssh://127.0.0.1:22\n", "ssh://192.168.1.1:22\n"),
        ("required: true", "required: false"),
        (NAMES[1].1, NAMES[0].1),
        ("http_status:404", "http://127.0.0.1:20239"),
        ("ingress:", "warp-routing: { enabled: true }\ningress:"),
        ("metrics: 127.0.0.1", "metrics: 0.0.0.0"),
    ] {
        assert!(rules.contains(old), "{old}");
        assert!(astray(&rules.replacen(old, new, 1), &names, Some("example")).is_some(), "{old} => {new}");
    }
}

/// A request for `host`, and what must come of it: the status, and whether sshd was connected to. No status is any refusal.
type Case<'a> = (&'a str, &'static str, &'a str, bool, Option<u64>, bool);

/// Sends `cases` down a tunnel whose files are `files`, and fails if one went otherwise.
fn all_right(command: &[String], environment: &[String], files: &[(&str, &str)], cases: &[Case<'_>]) {
    let (Some(cloudflared), Some(edge)) = (cloudflared(), go::own("support/edge")) else { return };
    let requests: Vec<Value> = cases
        .iter()
        .map(|(host, token, audience, websocket, ..)| {
            json!({ "Host": host, "Path": "/", "Token": token, "Audience": [audience], "Websocket": websocket })
        })
        .collect();
    let command = [&[cloudflared.to_str().unwrap().to_owned()], command].concat();
    let job = json!({
        "Command": command, "Environment": environment, "Raw": [SSHD], "Team": TEAM, "Keys": true, "Requests": requests,
    });
    let said = play(&edge, files, &job);
    let answers = said["answers"].as_array().unwrap();
    assert_eq!(answers.len(), cases.len());
    for (answer, case) in answers.iter().zip(cases) {
        let (.., status, connected) = case;
        let found = answer["status"].as_u64().unwrap();
        let right = status.map_or((400..600).contains(&found), |status| status == found);
        let reached: &[&str] = if *connected { &[SSHD] } else { &[] };
        assert!(right && answer["reached"] == json!(reached), "{case:?}: {answer}");
    }
    let without =
        cases.iter().filter(|(_, token, .., status, _)| token.is_empty() && *status == Some(403)).count();
    let log = said["said"].as_str().unwrap();
    assert_eq!(log.matches(NO_TOKEN).count(), without, "another check than cloudflared's: {log}");
}

/// As [`all_right`], for SSH's tunnel, whose rules `change` may change.
fn all_right_for_ssh(cases: &[Case<'_>], change: impl Fn(&str) -> String) {
    let (_, tree) = behind(KEY);
    let (command, environment) = command(&tree, "/run/credentials.json");
    let (rules, hosts, credential) = (change(file(&tree, RULES)), hosts([]), credential());
    let files = [(RULES, rules.as_str()), ("etc/hosts", &hosts), ("run/credentials.json", &credential)];
    all_right(&command[1..], &[environment], &files, cases);
}

#[test]
fn nobody_without_a_valid_token_reaches_sshd() {
    let mut cases = Vec::new();
    for (index, (host, audience)) in NAMES.into_iter().enumerate() {
        for websocket in [true, false] {
            cases.push((host, "", audience, websocket, Some(403), false));
            for other in [NAMES[1 - index].1, ADMIN] {
                cases.push((host, "valid", other, websocket, Some(403), false));
            }
            for token in ["garbage", "signed by another key", "not signed", "expired", "of another team"] {
                cases.push((host, token, audience, websocket, None, false));
            }
        }
        // The same with a token that is right: it was the token, and the way is there.
        cases.push((host, "valid", audience, true, Some(200), true));
    }
    for host in
        ["other.example.com", "kuma.example.com", "example.com", "ssh.example.org", "ssh", "127.0.0.1"]
    {
        for (_, audience) in NAMES {
            cases.push((host, "valid", audience, true, Some(404), false));
        }
    }
    all_right_for_ssh(&cases, str::to_owned);
}

/// The same request passes where a rule's Access is gone, so that it is the rule that keeps it out.
#[test]
fn a_rule_without_access_lets_everyone_reach_sshd() {
    let cases = [(NAMES[0].0, "", "", true, Some(200), true), (NAMES[1].0, "", "", true, Some(403), false)];
    all_right_for_ssh(&cases, |rules| rules.replacen("required: true", "required: false", 1));
}

/// What `systemctl` says in front of the real cloudflared, whose unit has been started anew so many times; it writes down the rest.
const SYSTEMCTL: &str = "#!/bin/sh\n[ $1 = show ] || echo \"$*\"\n\
     printf 'Id=boxwright-ssh-tunnel.service\\nActiveState=active\\nJob=\\nNRestarts=%s\\n' TIMES\n";
/// Looks at it as the box does each minute, and shows what comes of it.
const LOOK: &str = "chmod +x /run/bin/systemctl && PATH=/run/bin:$PATH && cd /run/boxwright && \
     until python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:20239/config\")' 2>/dev/null; do \
     sleep 0.1; done; python3 -B ssh-tunnel && ls problems && cat $(find problems -type f)";

/// What is said and done when the tunnel serves `rules`, and its unit was started anew `times` times.
fn looked(rules: &str, times: &str) -> Option<String> {
    let (Some(cloudflared), Some(edge)) = (cloudflared(), go::own("support/edge")) else { return None };
    let (_, tree) = behind(KEY);
    let (command, environment) = command(&tree, "/run/credentials.json");
    let command = [&[cloudflared.to_str().unwrap().to_owned()], &command[1..]].concat();
    let (hosts, credential, systemctl) = (hosts([]), credential(), SYSTEMCTL.replace("TIMES", times));
    let program = |name: &str| file(&tree, &format!("usr/lib/boxwright/{name}"));
    let files = [
        (RULES, rules),
        ("etc/boxwright/ssh-tunnel.json", file(&tree, "etc/boxwright/ssh-tunnel.json")),
        ("etc/hosts", &hosts),
        ("run/credentials.json", &credential),
        ("run/bin/systemctl", &systemctl),
        ("run/boxwright/ssh-tunnel", program("ssh-tunnel")),
        ("run/boxwright/tunnels.py", program("tunnels.py")),
        ("run/boxwright/units.py", program("units.py")),
    ];
    let job = json!({
        "Command": command, "Environment": [environment], "Raw": [SSHD], "Team": TEAM, "Keys": true,
        "Clients": [["sh", "-c", LOOK]],
    });
    let end = &play(&edge, &files, &job)["ends"][0];
    assert_eq!(end["status"], 0, "{end}");
    Some(end["out"].as_str().unwrap().to_owned())
}

#[test]
fn a_tunnel_of_ssh_that_serves_something_else_is_stopped() {
    let (_, tree) = behind(KEY);
    let rules = file(&tree, RULES);
    let Some(said) = looked(rules, "0") else { return };
    assert_eq!(said, "", "the real cloudflared says it in another way");
    let condition = "ConditionPathExists=!/run/boxwright/problems/ssh-tunnel-rules";
    assert!(file(&tree, UNIT).lines().any(|line| line == condition));
    for (old, new, told) in [
        ("ssh://127.0.0.1:22\n", "ssh://192.168.1.1:22\n", "ssh.example.com leads to ssh://192.168.1.1:22)"),
        ("required: true", "required: false", "ssh.example.com leads to ssh://127.0.0.1:22 for everyone)"),
        (NAMES[1].1, NAMES[0].1, "ssh-ci.example.com leads to ssh://127.0.0.1:22)"),
        (
            "http_status:404",
            "http://127.0.0.1:20239",
            "everything else leads to http://127.0.0.1:20239 for everyone)",
        ),
    ] {
        assert!(rules.contains(old), "{old}");
        let said = looked(&rules.replacen(old, new, 1), "0").unwrap();
        assert!(said.contains("stop boxwright-ssh-tunnel.service\n"), "{said}");
        assert!(said.contains(&format!("ssh-tunnel-rules\nSSH's own tunnel was stopped: the tunnel has rules that are not of this release ({told}")), "{said}");
    }
    // Nobody registers it here, so that it never comes up.
    let said = looked(rules, "3").unwrap();
    assert!(said.starts_with("ssh-tunnel\nSSH's own tunnel fails again and again"), "{said}");
}

/// The tunnel's program runs on the host: it reaches sshd, the resolver and the internet.
#[test]
fn the_tunnel_of_ssh_reaches_nothing_at_home() {
    let (_, tree) = behind(KEY);
    let unit = file(&tree, UNIT);
    assert_eq!(said(unit, "IPAddressAllow"), "127.0.0.1 127.0.0.53 127.0.0.54");
    let servers = file(&tree, "etc/resolv.conf").lines().filter_map(|line| line.strip_prefix("nameserver "));
    assert_eq!(servers.collect::<Vec<_>>(), ["127.0.0.53", "127.0.0.54"]);
    let denied: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("IPAddressDeny="))
        .flat_map(|line| line.split(' '))
        .collect();
    for range in [
        "localhost",
        "link-local",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "10.213.0.0/16",
    ] {
        assert!(denied.contains(&range), "{range}: {denied:?}");
    }
}

#[test]
fn the_public_tunnel_does_not_lead_to_sshd() {
    let (_, tree) = behind(KEY);
    let compose: Yaml = serde_yaml_ng::from_str(file(&tree, &format!("{PUBLIC}/compose.yaml"))).unwrap();
    let command = &compose["services"]["cloudflared"]["command"];
    let command: Vec<String> = serde_yaml_ng::from_value(command.clone()).unwrap();
    let mut cases = Vec::new();
    for (host, audience) in NAMES {
        cases.extend([audience, ADMIN].map(|audience| (host, "valid", audience, true, Some(404), false)));
    }
    for host in ["127.0.0.1", "127.0.0.1:22", "localhost", "other.example.com"] {
        cases.push((host, "valid", ADMIN, true, Some(404), false));
    }
    // Its containers are not here: 502.
    cases.push(("kuma.example.com", "valid", ADMIN, true, Some(502), false));
    cases.push(("cloud.example.com", "", "", true, Some(502), false));
    let (hosts, credential) = (hosts([]), credential());
    let files = [
        ("etc/cloudflared/config.yml", file(&tree, &format!("{PUBLIC}/config.yml"))),
        ("etc/hosts", &hosts),
        ("run/secrets/tunnel", &credential),
    ];
    all_right(&command, &[], &files, &cases);
}
