//! The catalog's services: planned, rendered, and read back by the programs that will read them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

#[path = "services/access.rs"]
mod access;
#[path = "services/audit.rs"]
mod audit;
#[path = "support/edge.rs"]
mod edge;
#[path = "services/exposed.rs"]
mod exposed;
#[path = "support/go.rs"]
mod go;
#[path = "services/kuma.rs"]
mod kuma;
#[path = "support/trixie.rs"]
mod trixie;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use boxwright::check::{self, CheckedProfile, World};
use boxwright::diag::Findings;
use boxwright::overlay::{Overlay, Planned, list, render};
use boxwright::plan::{Pair, Plan, WayOut};
use boxwright::profile::load;
use boxwright::tool::Tool;
use boxwright::tree::{Kind, Tree};
use tera::Context;

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The profile `text`, checked.
fn checked(text: &str) -> CheckedProfile {
    checked_in(&project(), text)
}

/// The same, with the services of another project.
fn checked_in(root: &Path, text: &str) -> CheckedProfile {
    let loaded = load::parse(Path::new("every.toml"), text.as_bytes().to_vec());
    let mut findings = loaded.findings;
    let document = loaded.document.expect("a profile");
    let mut faults = Findings::new();
    let world = World::load(root, &document.profile, &mut faults).unwrap();
    findings.extend(faults);
    let (checked, findings) = check::check(&document, world, findings);
    checked.unwrap_or_else(|| panic!("{}", findings.render(false)))
}

fn every() -> CheckedProfile {
    checked(include_str!("services/every.toml"))
}

/// The services' part of the profile layer.
fn rendered(profile: &CheckedProfile, plan: &Plan) -> Tree {
    let overlays = project().join("overlays");
    let mut common = Context::from_serialize(plan).unwrap();
    common.insert("profile", profile.profile());
    let system = list(&overlays, "system").unwrap().into_iter().filter(|name| name == "system/services");
    let planned =
        |name: &str, values: Context| Planned { overlay: Overlay::load(&overlays, name).unwrap(), values };
    let mut all: Vec<Planned> = system.map(|name| planned(&name, Context::new())).collect();
    for service in &plan.services {
        let mut values = Context::new();
        values.insert("service", service);
        all.push(planned(&format!("services/{}", service.name), values));
    }
    render(&all, &common).unwrap_or_else(|error| panic!("{error:#}"))
}

fn file<'a>(tree: &'a Tree, path: &str) -> &'a str {
    std::str::from_utf8(tree.file(path).unwrap_or_else(|| panic!("no {path}"))).unwrap()
}

/// Writes `tree` into a folder.
fn written(tree: &Tree) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, entry) in tree.iter() {
        let target = folder.path().join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        match &entry.kind {
            Kind::Dir => fs::create_dir_all(&target).unwrap(),
            Kind::File(bytes) => {
                fs::write(&target, bytes).unwrap();
                fs::set_permissions(&target, fs::Permissions::from_mode(entry.mode)).unwrap();
            }
            Kind::Symlink(to) => std::os::unix::fs::symlink(to, &target).unwrap(),
        }
    }
    folder
}

#[test]
fn compose_accepts_every_file_and_sees_the_rules_in_it() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let tree = rendered(&profile, &plan);
    let Some(unpacked) = trixie::unpacked("docker-compose") else {
        eprintln!("SKIPPED: apt cannot fetch Debian 13's docker-compose here");
        return;
    };
    let compose = unpacked.join("usr/libexec/docker/cli-plugins/docker-compose");
    let folder = written(&tree);
    let mut attached = BTreeMap::new();
    for service in &plan.services {
        let at = folder.path().join(format!("etc/boxwright/services/{}", service.name));
        let mut tool = Tool::new(&compose).args(["-f", "compose.yaml"]);
        if at.join("gpu.yaml").exists() {
            tool = tool.args(["-f", "gpu.yaml"]);
        }
        let tool = tool.env("BOXWRIGHT_GPU_GROUP", "104").env("HOME", "/nonexistent").current_dir(&at);
        let text =
            tool.args(["config", "--format", "json"]).output().unwrap_or_else(|error| panic!("{error:#}"));
        let config: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(config["name"], service.name.as_str());
        let containers = config["services"].as_object().unwrap();
        assert_eq!(containers.len(), service.containers.len());
        for container in &service.containers {
            let config = &containers[&container.key];
            obeys(&plan, container, config);
            attached.insert(container.name.clone(), attachment(&container.name, config));
        }
    }
    assert_eq!(plan.reach().pairs, pairs_of(&attached));
}

/// The namespace that a container lives in by what Compose understood, and the networks that it joins by itself.
fn attachment(name: &str, config: &serde_json::Value) -> (String, BTreeSet<String>) {
    let mode = config["network_mode"].as_str().and_then(|mode| mode.strip_prefix("container:"));
    let networks = config["networks"].as_object();
    let names = networks.map(|map| map.keys().cloned().collect()).unwrap_or_default();
    (mode.unwrap_or(name).to_owned(), names)
}

/// Who reaches whom where containers are `attached` like this, by Docker's rules.
fn pairs_of(attached: &BTreeMap<String, (String, BTreeSet<String>)>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (one, (home, _)) in attached {
        for (other, (other_home, _)) in attached.iter().filter(|(other, _)| *other > one) {
            let shared = attached[home].1.intersection(&attached[other_home].1);
            let networks: Vec<String> =
                if home == other_home { Vec::new() } else { shared.cloned().collect() };
            if home == other_home || !networks.is_empty() {
                pairs.push(Pair { containers: [one.clone(), other.clone()], networks });
            }
        }
    }
    pairs
}

#[test]
fn databases_are_reached_by_their_own_service_alone() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let reach = plan.reach();
    for service in &plan.services {
        let own: Vec<&str> = service.containers.iter().map(|container| container.name.as_str()).collect();
        for container in service.containers.iter().filter(|container| container.private) {
            for other in reach.of(&container.name) {
                assert!(own.contains(&other), "{other} reaches {}", container.name);
            }
        }
    }
    let way_out = |name: &str| {
        let found = reach.containers.iter().find(|outward| outward.container == name);
        found.map(|outward| outward.way_out)
    };
    for (name, expected) in [
        ("nextcloud-db", WayOut::Nothing),
        ("jellyfin", WayOut::Internet),
        ("gluetun", WayOut::Internet),
        ("sonarr", WayOut::Vpn),
    ] {
        assert_eq!(way_out(name), Some(expected), "{name}");
    }
}

/// The three rules, read back from what Compose understood.
fn obeys(plan: &Plan, planned: &boxwright::plan::ContainerPlan, config: &serde_json::Value) {
    let name = &planned.name;
    assert_eq!(config["image"], planned.image.as_str(), "{name}");
    assert_eq!(config["pull_policy"], "never", "{name}");
    assert_eq!(config["cap_drop"], serde_json::json!(["ALL"]), "{name}");
    assert_eq!(config["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
    assert_eq!(config["logging"]["driver"], "local", "{name}");
    assert!(config["mem_limit"].is_string() && config["pids_limit"].is_u64(), "{name}: {config}");
    assert!(config["environment"]["TZ"] == "Australia/Brisbane", "{name}");
    assert_ne!(config["network_mode"], "host", "{name}");
    assert!(config["privileged"].is_null() && config["pid"].is_null() && config["ipc"].is_null(), "{name}");
    let networks: BTreeSet<&str> = config["networks"]
        .as_object()
        .map(|map| map.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let expected: BTreeSet<&str> = planned.networks.iter().map(|network| network.name.as_str()).collect();
    match &planned.namespace {
        None => assert_eq!(networks, expected, "{name}"),
        Some(holder) => {
            assert_eq!(config["network_mode"], format!("container:{holder}"), "{name}");
            assert!(config["ports"].is_null() && config["hostname"].is_null(), "{name}");
        }
    }
    for port in config["ports"].as_array().into_iter().flatten() {
        assert_eq!(port["host_ip"], "0.0.0.0", "{name}: {port}");
        let published: u16 = port["published"].as_str().unwrap().parse().unwrap();
        assert!(
            plan.ports.iter().any(|one| one.port == published && one.container == *name),
            "{name}: {port}"
        );
    }
    for volume in config["volumes"].as_array().into_iter().flatten() {
        let source = volume["source"].as_str().unwrap();
        assert_eq!(volume["type"], "bind", "{name}");
        assert!(volume["bind"]["create_host_path"].is_null(), "{name}: {volume}");
        // Docker's socket: the profile has acknowledged it.
        let socket: &[&str] = if name == "casaos" { &["/run/docker.sock"] } else { &[] };
        // Of a disk only all of it: what is on it is mounted elsewhere.
        let folders = ["/srv/state/", "/etc/boxwright/services/", "/run/boxwright/folders/"];
        let allowed = [folders.as_slice(), socket].concat();
        let start = allowed.iter().any(|start| source.starts_with(start));
        assert!(start || source == "/srv/media", "{name}: {source}");
    }
}

#[test]
fn the_tunnel_shares_exactly_one_network_with_each_published_service() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let networks_of = |container: &str| -> BTreeSet<&str> {
        let on = |network: &&boxwright::plan::NetworkPlan| {
            network.members.iter().any(|member| member.container == container)
        };
        plan.networks.iter().filter(on).map(|network| network.name.as_str()).collect()
    };
    let tunnel = networks_of("cloudflared");
    for rule in &plan.ingress {
        let service = plan.service(&rule.service).unwrap();
        let holder = service.namespace.clone().unwrap_or_else(|| service.name.clone());
        let there = networks_of(&holder);
        let shared: Vec<&str> = tunnel.intersection(&there).copied().collect();
        assert_eq!(shared.len(), 1, "{}: {shared:?}", rule.service);
        // And the name in the rule is one that the holder has there.
        let host = rule.url.split("//").nth(1).unwrap().split(':').next().unwrap();
        let network = plan.networks.iter().find(|network| network.name == shared[0]).unwrap();
        let member = network.members.iter().find(|member| member.container == holder).unwrap();
        assert!(member.names.iter().any(|name| name == host), "{host} is not in {:?}", member.names);
    }
    let holders: Vec<&str> = plan.ingress.iter().map(|rule| rule.service.as_str()).collect();
    let twice = ["umami", "umami", "uptime-kuma", "uptime-kuma", "wizarr"];
    let once = [
        "amp",
        "casaos",
        "homepage",
        "immich",
        "jellyfin",
        "maintainerr",
        "nextcloud",
        "plex",
        "prowlarr",
        "qbittorrent",
        "radarr",
    ];
    let expected: Vec<&str> = once.into_iter().chain(["seerr", "sonarr", "tautulli"]).chain(twice).collect();
    assert_eq!(holders, expected);
}

#[test]
fn databases_and_ways_out_are_apart() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let table: BTreeMap<&str, (bool, bool, Vec<&str>)> = plan
        .networks
        .iter()
        .map(|network| {
            let members = network.members.iter().map(|member| member.container.as_str()).collect();
            (network.name.as_str(), (network.internal, network.egress, members))
        })
        .collect();
    let database = ["nextcloud", "nextcloud-cache", "nextcloud-cron", "nextcloud-db"];
    assert_eq!(table["bw-nextcloud_db"], (true, false, database.to_vec()));
    assert_eq!(table["bw-nextcloud"], (true, false, vec!["cloudflared", "nextcloud"]));
    assert_eq!(table["bw-gluetun"], (true, false, vec!["cloudflared", "gluetun"]));
    assert_eq!(table["bw-gluetun_out"], (false, true, vec!["gluetun"]));
    assert!(!table.contains_key("bw-sonarr") && !table.contains_key("bw-sonarr_out"));
    assert_eq!(table["bw-jellyfin_out"], (false, true, vec!["jellyfin"]));
    assert_eq!(table["bw-gluetun_uptime-kuma"], (true, false, vec!["gluetun", "uptime-kuma"]));
    for network in &plan.networks {
        assert!(network.bridge.len() <= 15 && network.bridge.starts_with("bw-"), "{}", network.bridge);
        assert!(profile.profile().network.containers.contains(&network.subnet));
        assert!(!plan.docker_pool.contains(&network.subnet), "{} is Docker's", network.subnet);
    }
    let bridges: BTreeSet<&str> = plan.networks.iter().map(|network| network.bridge.as_str()).collect();
    assert_eq!(bridges.len(), plan.networks.len());
}

#[test]
fn access_stands_in_each_rule_and_nothing_else_is_served() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let tree = rendered(&profile, &plan);
    let config = file(&tree, "etc/boxwright/services/cloudflared/config.yml");
    let rules: Vec<&str> = config.split("\n  - ").skip(1).collect();
    assert_eq!(rules.len(), plan.ingress.len() + 1);
    assert!(rules.last().unwrap().starts_with("service: http_status:404"));
    for (text, rule) in rules.iter().zip(&plan.ingress) {
        assert!(text.starts_with(&format!("hostname: \"{}\"", rule.hostname)), "{text}");
        assert_eq!(text.contains("required: true"), rule.access.is_some(), "{text}");
        assert!(rule.access.iter().flat_map(|access| &access.aud).all(|aud| text.contains(aud)), "{text}");
    }
    let open: Vec<&str> =
        plan.ingress.iter().filter(|rule| rule.access.is_none()).map(|rule| rule.hostname.as_str()).collect();
    assert_eq!(
        open,
        ["cloud.example.com", "requests.example.com", "count.example.com", "status.example.com"]
    );
}

#[test]
fn a_folder_that_another_container_could_replace_is_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let copy = Tool::new("cp").arg("-R").args([project().join("overlays"), folder.path().to_owned()]);
    copy.run().unwrap_or_else(|error| panic!("{error:#}"));
    std::os::unix::fs::symlink(project().join("firmware"), folder.path().join("firmware")).unwrap();
    let path = folder.path().join("overlays/services/seerr/service.toml");
    let one = r#"{ state = "config", at = "/app/config" }"#;
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(one));
    fs::write(&path, text.replace(one, &format!(r#"{one}, {{ state = "config/logs", at = "/logs" }}"#)))
        .unwrap();
    let profile = checked_in(folder.path(), include_str!("services/every.toml"));
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let volumes = |service: &str, container: usize| -> Vec<(String, Option<String>, String)> {
        let volumes = plan.service(service).unwrap().containers[container].volumes.iter();
        volumes.map(|one| (one.source.clone(), one.top.clone(), one.given.clone())).collect()
    };
    let of = |source: &str, top: Option<&str>, given: &str| {
        (source.to_owned(), top.map(str::to_owned), given.to_owned())
    };
    let config = "/srv/state/seerr/config";
    let expected = [
        of(config, Some("/srv/state/seerr"), config),
        of("/srv/state/seerr/config/logs", Some("/srv/state/seerr"), "/run/boxwright/folders/seerr/seerr-1"),
    ];
    assert_eq!(volumes("seerr", 0), expected);
    let expected = [of("/srv/media/immich", Some("/srv/media"), "/run/boxwright/folders/immich/immich-0")];
    assert_eq!(volumes("immich", 2), expected);
    assert_eq!(volumes("sonarr", 0)[1], of("/srv/media", None, "/srv/media"));
}

#[test]
fn units_wait_for_what_they_need() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let tree = rendered(&profile, &plan);
    let unit = file(&tree, "usr/lib/systemd/system/boxwright-service-sonarr.service");
    for line in [
        "RequiresMountsFor=/srv/state",
        "After=srv-media.mount",
        "PartOf=srv-media.mount",
        "ConditionPathIsMountPoint=/srv/media",
        "BindsTo=docker.service boxwright-service-gluetun.service",
        "PartOf=boxwright-service-gluetun.service",
        "ConditionPathExists=/run/boxwright/images/sonarr",
        "ConditionPathExists=/run/boxwright/secrets/sonarr/api-key",
        "WantedBy=srv-media.mount",
    ] {
        assert!(unit.lines().any(|each| each == line), "no {line} in\n{unit}");
    }
    let links = "etc/systemd/system/srv-media.mount.wants/boxwright-service-sonarr.service";
    assert!(tree.get(links).is_some());
    let unit = file(&tree, "usr/lib/systemd/system/boxwright-service-gluetun.service");
    assert!(!unit.contains("wireguard-preshared-key"), "an optional secret is waited for\n{unit}");
}

/// Parses a program, in which no word of JSON stands that Python does not know.
const NAMES: &str = "import ast, sys
for one in ast.walk(ast.parse(open(sys.argv[1]).read())):
    if isinstance(one, ast.Name) and one.id in ('null', 'true', 'false'):
        sys.exit(f'line {one.lineno}: {one.id}')";

#[test]
fn programs_for_the_box_pass_their_checkers() {
    // With all that a mail server may have, and with the least.
    let text = include_str!("services/every.toml");
    let least = text.replace(r#", to = "ann@example.com", user = "sender""#, "");
    assert_ne!(text, least);
    let folders = [text, &least].map(|text| {
        let profile = checked(text);
        let plan = Plan::new(&profile, profile.catalog()).unwrap();
        written(&rendered(&profile, &plan))
    });
    let mut seen = BTreeSet::new();
    let mut stack: Vec<PathBuf> = folders.iter().map(|folder| folder.path().to_owned()).collect();
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        // What sh reads in a container has no first line of that kind.
        let script =
            text.starts_with("#!/bin/sh\n") || path.extension().is_some_and(|extension| extension == "sh");
        let checker = if script {
            Tool::new("shellcheck").arg("-x")
        } else if text.starts_with("#!/usr/bin/python3") {
            Tool::new("python3").args(["-c", NAMES])
        } else {
            continue;
        };
        match checker.arg(&path).env("PATH", "/usr/bin:/bin").run() {
            Err(error) if error.to_string().starts_with("starting") => {
                eprintln!("SKIPPED {}: {error}", path.display())
            }
            result => result.unwrap_or_else(|error| panic!("{error:#}")),
        }
        seen.insert(script);
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn the_programs_do_their_work_on_a_box_of_stand_ins() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: folders of several users can only be made by root");
        return;
    }
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let folder = written(&rendered(&profile, &plan));
    let here = project().join("tests/services");
    let run = Tool::new("unshare").args(["--mount", "sh"]).arg(here.join("on-the-box.sh"));
    let run = run.args([folder.path(), &here]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let said = run.output().unwrap_or_else(|error| panic!("{error:#}"));
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 39, "{said}");
}

/// `every.toml` without the services of these names, rendered.
fn rendered_without(names: &[&str]) -> tempfile::TempDir {
    let stays = |line: &&str| !names.iter().any(|name| line.starts_with(&format!("{name} ")));
    let text: Vec<&str> = include_str!("services/every.toml").lines().filter(stays).collect();
    let profile = checked(&text.join("\n"));
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    written(&rendered(&profile, &plan))
}

/// How many lines `script` prints, each for something that holds, about these trees. None, and a line that says why, without
/// a Python.
fn held(script: &str, trees: &[&tempfile::TempDir]) -> Option<usize> {
    let run = Tool::new("python3").arg("-B").arg(project().join("tests/services").join(script));
    let run = run.args(trees.iter().map(|tree| tree.path())).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let said = match run.output() {
        Err(error) if error.to_string().starts_with("starting") => {
            eprintln!("SKIPPED: {error}");
            return None;
        }
        said => String::from_utf8(said.unwrap_or_else(|error| panic!("{error:#}"))).unwrap(),
    };
    said.lines().filter(|line| line.starts_with("SKIPPED")).for_each(|line| eprintln!("{line}"));
    Some(said.lines().filter(|line| line.starts_with("ok ")).count())
}

#[test]
fn setups_wire_stand_ins_of_the_applications_together() {
    let (every, plex, jellyfin) =
        (rendered_without(&[]), rendered_without(&["jellyfin"]), rendered_without(&["plex"]));
    let Some(wired) = held("wiring.py", &[&every]) else { return };
    assert_eq!(wired, 9);
    assert_eq!(held("media.py", &[&every, &plex, &jellyfin]), Some(7));
    assert_eq!(held("accounts.py", &[&every]), Some(6));
    assert_eq!(held("installing.py", &[&every]), Some(4));
}

#[test]
fn who_owns_an_application_is_found_out_and_plex_is_claimed() {
    let Some(count) = held("owned.py", &[&rendered_without(&[])]) else { return };
    assert_eq!(count, 10);
}

#[test]
fn logins_that_were_lost_get_a_new_password() {
    let Some(count) = held("logins.py", &[&rendered_without(&[])]) else { return };
    // The last one needs PostgreSQL.
    assert!((7..=8).contains(&count), "{count}");
}

#[test]
fn the_port_that_the_vpn_forwards_is_handed_on() {
    let Some(count) = held("ports.py", &[&rendered_without(&[])]) else { return };
    assert_eq!(count, 1);
}

#[test]
fn a_tunnel_that_serves_something_else_is_found() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let folder = written(&rendered(&profile, &plan));
    let run =
        Tool::new("python3").arg("-B").arg(project().join("tests/services/tunnel.py")).arg(folder.path());
    run.arg(project().join("tests/support/standin/cloudflared"))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn the_real_cloudflared_accepts_the_rules() {
    let Some(program) = edge::cloudflared() else { return };
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let folder = written(&rendered(&profile, &plan));
    let at = folder.path().join("etc/boxwright/services/cloudflared");
    let (state, owned) = (folder.path().join("state"), folder.path().join("owned"));
    fs::create_dir_all(state.join("config")).unwrap();
    let config = state.join("config/config.yml");
    let call = |config: &Path, words: &[&str]| {
        Tool::new(&program)
            .args(["tunnel", "--config"])
            .arg(config)
            .args(words)
            .env("HOME", "/nonexistent")
            .output()
    };
    let leads = |address: &str, expected: &str| {
        let said = String::from_utf8(call(&config, &["ingress", "rule", address]).unwrap()).unwrap();
        assert!(said.contains(&format!("service: {expected}")), "{address}: {said}");
    };
    call(&at.join("config.yml"), &["ingress", "validate"]).unwrap_or_else(|error| panic!("{error:#}"));
    // What `seed` makes of it: while Seerr has no owner, and when it has one.
    for expected in ["http_status:503", "http://seerr:5055"] {
        let seed = Tool::new("python3").args(["-B".as_ref(), at.join("seed").as_os_str()]);
        let seed = seed.env("STATE", &state).env("OWNED", &owned).env("PATH", "/usr/bin:/bin");
        let seed = seed.env("PYTHONPATH", folder.path().join("usr/lib/boxwright"));
        seed.run().unwrap_or_else(|error| panic!("{error:#}"));
        call(&config, &["ingress", "validate"]).unwrap_or_else(|error| panic!("{error:#}"));
        leads("https://requests.example.com/login", expected);
        fs::create_dir_all(&owned).unwrap();
        for name in ["seerr", "umami", "uptime-kuma"] {
            fs::write(owned.join(name), "").unwrap();
        }
    }
    for (address, expected) in [
        ("https://sonarr.example.com/", "http://sonarr:8989"),
        ("https://status.example.com/status/box", "http://uptime-kuma:3001"),
        ("https://status.example.com/", "http://uptime-kuma:3001"),
        ("https://status.example.com/dashboard", "http_status:404"),
        ("https://status.example.com/api/push/token", "http_status:404"),
        ("https://status.example.com/socket.io/", "http_status:404"),
        ("https://count.example.com/script.js", "http://umami:3000"),
        ("https://count.example.com/login", "http_status:404"),
        ("https://other.example.com/", "http_status:404"),
    ] {
        leads(address, expected);
    }
}
