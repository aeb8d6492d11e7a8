//! Secrets that reach an application's environment or arguments: those that overlays/services/README.md lists, and no others.

use std::collections::BTreeSet;
use std::fs;

use boxwright::plan::{Plan, ServicePlan};
use boxwright::tree::Tree;
use serde_yaml_ng::Value;

use crate::{checked, file, project, rendered};

/// A service and its secret.
type Pair = (String, String);

/// The table's rows.
fn listed() -> BTreeSet<Pair> {
    let text = fs::read_to_string(project().join("overlays/services/README.md")).unwrap();
    let (_, section) = text.split_once("\n## Secrets that are more than files\n").expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, service, secrets, place, why, _] = cells.as_slice() else { panic!("{row}") };
        assert!(!place.is_empty() && !why.is_empty(), "{row}");
        let service = service.trim_matches('`').to_owned();
        let secrets: Vec<Pair> = secrets
            .split(", ")
            .map(|secret| (service.clone(), secret.trim_matches('`').to_owned()))
            .collect();
        secrets
    })
    .collect()
}

/// Every secret whose value a text of shell reads, rather than naming its file.
fn read_by(text: &str) -> impl Iterator<Item = String> {
    let places = text.match_indices("/run/secrets/").filter(|(at, _)| {
        let before = text[..*at].trim_end_matches(['"', ' ']);
        ["cat", "<", "`cat", "read", "source", "."].iter().any(|word| before.ends_with(word))
    });
    places.map(|(at, prefix)| {
        let rest = &text[at + prefix.len()..];
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
    })
}

/// All texts in a part of a Compose file.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Sequence(list) => list.iter().for_each(|one| texts(one, found)),
        Value::Mapping(map) => map.iter().for_each(|(key, one)| {
            texts(key, found);
            texts(one, found);
        }),
        _ => {}
    }
}

/// The secrets of `service` that reach an environment, an argument or a label of its containers.
fn exposed(tree: &Tree, service: &ServicePlan) -> BTreeSet<Pair> {
    let folder = format!("etc/boxwright/services/{}", service.name);
    let mut found = BTreeSet::new();
    let mut add = |secret: String| {
        found.insert((service.name.clone(), secret));
    };
    for name in ["compose.yaml", "gpu.yaml"] {
        if tree.file(&format!("{folder}/{name}")).is_none() {
            continue;
        }
        let compose: Value = serde_yaml_ng::from_str(file(tree, &format!("{folder}/{name}"))).unwrap();
        for (container, spec) in compose["services"].as_mapping().unwrap() {
            assert!(spec.get("env_file").is_none(), "{container:?} of {name} reads a file of variables");
            let mut all = Vec::new();
            for key in ["environment", "command", "entrypoint", "labels", "healthcheck", "annotations"] {
                spec.get(key).into_iter().for_each(|part| texts(part, &mut all));
            }
            for text in &all {
                read_by(text).for_each(&mut add);
                // What Compose puts in from elsewhere; nothing does so but the group of the graphics processor.
                let inserted = text.replace("$$", "");
                assert!(!inserted.contains('$'), "{}: `{text}` takes something from outside", service.name);
            }
        }
    }
    for (path, _) in tree.iter().filter(|(path, _)| path.starts_with(&format!("{folder}/"))) {
        let inside = service.containers.iter().flat_map(|one| &one.volumes);
        let mounted = |source: &str| source.trim_start_matches('/') == path;
        if inside.clone().any(|volume| mounted(&volume.source))
            && let Some(bytes) = tree.file(path)
        {
            read_by(&String::from_utf8_lossy(bytes)).for_each(&mut add);
        }
    }
    found
}

#[test]
fn only_listed_secrets_are_more_than_files() {
    let text = include_str!("every.toml")
        .replace("[alerts]\n", "[alerts]\nto = [\"pushbullet\", \"ntfy\", \"mail\"]\n");
    let profile = checked(&text);
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let tree = rendered(&profile, &plan);
    let found: BTreeSet<Pair> = plan.services.iter().flat_map(|service| exposed(&tree, service)).collect();
    assert_eq!(found, listed(), "left: what is rendered; right: what overlays/services/README.md lists");
    // Each of them is a secret of that service.
    for (service, secret) in &found {
        let service = plan.services.iter().find(|one| one.name == *service).unwrap();
        assert!(service.secrets.iter().any(|one| one.name == *secret), "{} {secret}", service.name);
    }
}

#[test]
fn what_reads_a_secret_is_told_from_what_names_its_file() {
    let all = |text: &str| read_by(text).collect::<Vec<_>>();
    assert_eq!(all("A=$(cat /run/secrets/licence)\nB=$(</run/secrets/key)"), ["licence", "key"]);
    assert_eq!(all("wget --header \"T: $(cat \"/run/secrets/token\")\""), ["token"]);
    assert!(
        all("X_FILE=/run/secrets/licence [ -s /run/secrets/key ] --token-file /run/secrets/key").is_empty()
    );
}
