//! Compose files brought in as services: what comes of real ones, what is said of a hostile one, and that what is written
//! keeps the rules of a box and is read by Compose as it was meant.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "these tests start the program as people do")]

#[path = "import/secrets.rs"]
mod secrets;
#[path = "support/trixie.rs"]
mod trixie;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use boxwright::audit::audit;
use boxwright::catalog;
use boxwright::check::{self, World};
use boxwright::diag::Findings;
use boxwright::import::{Imported, import};
use boxwright::overlay::Inputs;
use boxwright::plan::Plan;
use boxwright::profile::load;
use boxwright::tool::Tool;
use proptest::prelude::*;
use snapbox::{Assert, Data};

const PROGRAM: &str = env!("CARGO_BIN_EXE_boxwright");

/// A profile whose `[services]` are still to be written.
const PROFILE: &str = r#"schema = 1
[box]
name = "attic"
domain = "example.com"
timezone = "Europe/Berlin"
[box.admins]
ada = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIJPRgh+AXm+rRH1Ydo+E3qd2R8JZnZyh3rnFXd25G5o example"]
[cloudflare]
tunnel = "6ff42ae2-765d-4adf-8112-31c55c1551ef"
team = "ada"
admin = { aud = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2" }
[disks]
media = { label = "media" }
[services]
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A project with everything that ships, and room for a service of one's own.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let services = folder.path().join("overlays/services");
    fs::create_dir_all(&services).unwrap();
    symlink(root().join("firmware"), folder.path().join("firmware")).unwrap();
    symlink(root().join("overlays/system"), folder.path().join("overlays/system")).unwrap();
    for entry in fs::read_dir(root().join("overlays/services")).unwrap() {
        let entry = entry.unwrap();
        symlink(entry.path(), services.join(entry.file_name())).unwrap();
    }
    folder
}

/// What is written for the file below tests/import, and what is said.
fn imported(path: &str) -> Imported {
    let file = PathBuf::from(format!("tests/import/{path}"));
    import(&file, &fs::read(root().join(&file)).unwrap(), None)
}

fn golden(name: &str, text: &str) {
    let data = Data::from(text.to_owned());
    let path = root().join(format!("tests/import/{name}"));
    Assert::new().action_env("SNAPSHOTS").eq(data, Data::read_from(&path, None).raw());
}

/// `SNAPSHOTS=overwrite cargo test --test import` writes what is made now.
#[test]
fn what_comes_of_real_files_and_what_is_said_of_them() {
    for (path, service) in [
        ("paperless/docker-compose.yml", "paperless"),
        ("vaultwarden/compose.yaml", "vaultwarden"),
        ("hostile/compose.yaml", "hostile"),
    ] {
        let made = imported(path);
        assert_eq!(made.name, service);
        golden(&format!("{service}/expected/findings.txt"), &format!("{}\n", made.findings.render(false)));
        for (file, bytes) in &made.files {
            golden(&format!("{service}/expected/{file}"), std::str::from_utf8(bytes).unwrap());
        }
        let everything = format!("{:?} {:?}", made.files, made.findings.render(false));
        for secret in [
            "hunter2-of-the-database",
            "another-long-secret",
            "argon2id",
            "--password=hunter2",
            "web:hunter2",
        ] {
            assert!(!everything.contains(secret), "{path}: {secret} is told");
        }
        assert_eq!(made.files.is_empty(), service == "hostile");
    }
}

/// Each thing that a box forbids has its own finding; a file with several has them all at once.
#[test]
fn everything_forbidden_is_found_at_once() {
    let made = imported("hostile/compose.yaml");
    let text = fs::read_to_string(root().join("tests/import/hostile/compose.yaml")).unwrap();
    let found: Vec<&str> = made
        .findings
        .list
        .iter()
        .filter(|one| one.severity == boxwright::diag::Severity::Error)
        .map(|one| text[one.place.as_ref().unwrap().span.start..].lines().next().unwrap())
        .collect();
    for line in
        text.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_alphabetic() || c == '-'))
    {
        let harmless = [
            "version:",
            "name:",
            "services:",
            "web:",
            "job:",
            "gpu:",
            "user: \"1000\"",
            "volumes:",
            "ports:",
            "environment:",
        ];
        let harmless =
            harmless.iter().chain(&["data:", "depends_on:", "a:", "DATABASE:", "image: hostile/gpu"]);
        let words = line.trim().trim_start_matches("- ");
        if !harmless.clone().any(|start| words.starts_with(start)) {
            assert!(found.iter().any(|one| line.contains(one.trim())), "nothing is said of {line}");
        }
    }
}

/// What was brought in is checked, rendered, audited, and read by Compose.
#[test]
fn a_profile_that_uses_what_was_brought_in_is_right() {
    let project = project();
    let run = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).current_dir(project.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
    };
    let mut profile = PROFILE.to_owned();
    for file in ["paperless/docker-compose.yml", "vaultwarden/compose.yaml"] {
        let file = root().join("tests/import").join(file);
        let (code, stdout, said) = run(&["import", file.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        assert!(project.path().join(stdout.trim_end()).join("service.toml").is_file(), "{stdout}");
        let line = said.lines().find_map(|line| Some(line.split_once("of a profile: ")?.1)).unwrap();
        profile = format!("{profile}{line}\n");
        let (code, _, said) = run(&["import", file.to_str().unwrap()]);
        assert_eq!(code, Some(2), "a folder that is there stays: {said}");
    }
    fs::write(project.path().join("attic.toml"), profile).unwrap();
    let (code, _, said) = run(&["check", "attic.toml"]);
    assert_eq!((code, said.contains("error[")), (Some(0), false), "{said}");
    let (code, _, said) = run(&["render", "attic.toml", "--to", "tree"]);
    assert_eq!(code, Some(0), "{said}");
    // The login is unknown, so nobody without Access comes in.
    let text = fs::read_to_string(project.path().join("attic.toml")).unwrap();
    fs::write(project.path().join("open.toml"), text.replace("for = \"admin\"", "for = \"everyone\""))
        .unwrap();
    let (code, _, said) = run(&["check", "open.toml"]);
    assert_eq!((code, said.matches("error[open-to-everyone]").count()), (Some(1), 2), "{said}");
    compose(&project.path().join("tree/etc/boxwright/services"));
}

/// What Debian 13's Compose makes of the rendered files.
fn compose(services: &Path) {
    let Some(unpacked) = trixie::unpacked("docker-compose") else {
        eprintln!("SKIPPED: apt cannot fetch Debian 13's docker-compose here");
        return;
    };
    let read = |service: &str| -> serde_json::Value {
        let tool = Tool::new(unpacked.join("usr/libexec/docker/cli-plugins/docker-compose"));
        let tool = tool.args(["config", "--format", "json"]).env("HOME", "/nonexistent");
        let text =
            tool.current_dir(services.join(service)).output().unwrap_or_else(|error| panic!("{error:#}"));
        serde_json::from_slice(&text).unwrap()
    };
    let paperless = &read("paperless")["services"];
    let main = &paperless["paperless"];
    assert_eq!(main["environment"]["PAPERLESS_FILENAME_FORMAT"], "{{ created_year }}/{{ title }}");
    assert_eq!(main["environment"]["PAPERLESS_DBPASS_FILE"], "/run/secrets/paperless-dbpass");
    assert_eq!(paperless["db"]["environment"]["POSTGRES_PASSWORD_FILE"], "/run/secrets/paperless-dbpass");
    assert_eq!(main["depends_on"]["db"]["condition"], "service_healthy");
    assert_eq!(main["healthcheck"]["interval"], "1m30s");
    assert_eq!(
        paperless["db"]["healthcheck"]["test"][1],
        "pg_isready --quiet --username \"$${POSTGRES_USER:-postgres}\""
    );
    for (key, networks) in
        [("db", vec!["bw-paperless_db"]), ("paperless", vec!["bw-paperless", "bw-paperless_db"])]
    {
        let joined: Vec<&String> = paperless[key]["networks"].as_object().unwrap().keys().collect();
        assert_eq!(joined, networks, "{key}");
    }
    let sources: BTreeMap<&str, &str> = main["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["target"].as_str().unwrap(), one["source"].as_str().unwrap()))
        .collect();
    assert_eq!(sources["/usr/src/paperless/data"], "/srv/state/paperless/data");
    assert_eq!(sources["/usr/src/paperless/consume"], "/srv/media");
    let hooks = "/etc/boxwright/services/paperless/files/config/hooks.sh";
    assert_eq!(sources["/usr/src/paperless/hooks.sh"], hooks);
    assert!(services.join("paperless/files/config/hooks.sh").is_file());
    let vault = &read("vaultwarden")["services"]["vaultwarden"];
    assert_eq!(vault["environment"]["SIGNUPS_ALLOWED"], "false");
    assert_eq!((&vault["user"], &vault["read_only"]), (&"1000:1000".into(), &true.into()));
    assert_eq!(vault["cap_drop"], serde_json::json!(["ALL"]));
}

/// Both forms of everything mean the same.
#[test]
fn short_and_long_forms_are_the_same() {
    let short = "name: x\nservices:\n  x:\n    image: a/b:1\n    user: 1:1\n    environment: [A=1, \"B=x y\"]\n    \
                 ports: ['80', '127.0.0.1:90:91/udp']\n    volumes: ['d:/d:ro', '/mnt/m/a:/a', /z]\n    tmpfs: /t\n    \
                 healthcheck: {test: 'true'}\n    depends_on: [y]\n  y: {image: 'redis:8.2', command: 'a b'}\n";
    let long = "name: x\nservices:\n  x:\n    image: a/b:1\n    user: 1:1\n    environment: {A: 1, B: 'x y'}\n    \
                ports: [{target: 80}, {target: 91, published: 90, protocol: udp, host_ip: 127.0.0.1}]\n    volumes:\n    \
                - {type: volume, source: d, target: /d, read_only: true}\n    - {type: bind, source: /mnt/m/a, target: /a}\n    \
                - {type: volume, target: /z}\n    - {type: tmpfs, target: /t}\n    healthcheck: {test: [CMD-SHELL, 'true']}\n    \
                depends_on: {y: {condition: service_healthy}}\n  y: &y {image: 'redis:8.2', command: 'a b'}\n";
    let made = |text: &str| import(Path::new("x/compose.yaml"), text.as_bytes(), None);
    let (short, long) = (made(short), made(long));
    assert!(!short.files.is_empty(), "{}", short.findings.render(false));
    assert_eq!(short.files, long.files);
}

/// However large a file is, no more of it is read than what a Compose file may have.
#[test]
fn of_a_huge_file_only_the_beginning_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yaml");
    fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    let output = Command::new(PROGRAM).arg("import").arg(&file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("has more than 1 MiB"), "{said}");
}

/// Names that only the file has become those of the box, where a host name stands and nowhere else.
#[test]
fn names_of_hosts_are_those_of_the_box() {
    let text = "services:\n  web_app: {image: 'a/b:1', user: '1:1', ports: ['80:80'], container_name: front}\n  \
                other: {image: 'a/c:1', user: '1:1', environment: {URL: 'http://web_app:80/web_app', HOST: front, \
                MODE: front, LIST: 'front:80,web_app:81'}}\n";
    let made = import(Path::new("compose.yaml"), text.as_bytes(), Some("shop"));
    let template = String::from_utf8(made.files["compose.yaml.tera"].clone()).unwrap();
    for line in
        ["URL: \"http://shop:80/web_app\"", "HOST: \"shop\"", "MODE: \"front\"", "LIST: \"shop:80,shop:81\""]
    {
        assert!(template.contains(line), "{line} is not in\n{template}");
    }
}

/// What a Compose file may have in a container, a line each; some of it is wrong.
const LINES: [&str; 44] = [
    "user: '0:0'",
    "user: '33'",
    "user: app",
    "environment: {PUID: 1000, PGID: 1000}",
    "environment: [A, B=2, 'C=$$x{{y}}']",
    "environment: {DB_PASSWORD: abcdef, X: '{% raw %}'}",
    "environment: {X_TOKEN: '${T:-default}', Y: '${Z-é\u{1f600}}'}",
    "environment: {URL: 'redis://:pass@db:6379'}",
    "environment: {HOST: 192.168.1.2}",
    "environment: {HOST: db, TZ: UTC}",
    "ports: ['8080:80']",
    "ports: ['53:53/udp', '8000-8010:8000-8010']",
    "ports: [{target: 443, published: 443}]",
    "expose: [9000]",
    "volumes: ['data:/data', /cache]",
    "volumes: ['./x:/x', '/mnt/a:/a', '/mnt/b:/b:ro']",
    "volumes: ['/srv/../etc:/x']",
    "volumes: ['~/conf:/conf']",
    "volumes: ['a b:/x']",
    "volumes: ['d:/../x']",
    "cap_add: [CAP_NET_ADMIN, CHOWN]",
    "cap_add: [NO_SUCH]",
    "devices: ['/dev/dri:/dev/dri']",
    "devices: [/dev/ttyUSB0]",
    "tmpfs: [/tmp, '/run:size=64m']",
    "read_only: true",
    "init: true",
    "shm_size: 1gb",
    "stop_grace_period: 1m30s",
    "mem_limit: 300m",
    "deploy: {resources: {limits: {cpus: '0.5', memory: 1G}}}",
    "healthcheck: {test: curl -f x, interval: 5s}",
    "healthcheck: {disable: true}",
    "healthcheck: {test: [CMD, a, '$$B'], start_period: 2m, retries: 3}",
    "depends_on: [db]",
    "command: run --flag '{{ x }}'",
    "command: [run, '$$HOME', '{# no #}']",
    "entrypoint: ['/bin/sh', -c, 'a && b']",
    "working_dir: /app",
    "ulimits: {nofile: {soft: 1024, hard: 2048}}",
    "sysctls: {net.core.somaxconn: 1024}",
    "secrets: [key_file]",
    "restart: always",
    "labels: {a: b}",
];

/// Whether a box with the service obeys its own rules.
fn breaches(project: &Path, made: &Imported) -> Result<(), String> {
    let folder = project.join("overlays/services").join(&made.name);
    for (path, bytes) in &made.files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let text = format!("{PROFILE}{}\n", made.line);
    let loaded = load::parse(Path::new("attic.toml"), text.into_bytes());
    let (document, mut findings) = (loaded.document.unwrap(), loaded.findings);
    let world = World::load(project, &document.profile, &mut findings).unwrap();
    let (checked, findings) = check::check(&document, world, findings);
    let checked = checked.ok_or_else(|| findings.render(false))?;
    let plan = Plan::new(&checked, checked.catalog()).map_err(|error| format!("{error:#}"))?;
    let inputs = Inputs { profile: &checked, plan: &plan, images: &[] };
    let tree = inputs.tree(&project.join("overlays")).map_err(|error| format!("{error:#}"))?;
    let found = audit(&tree, &plan, &checked);
    if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is written without an error is right for a box.
    #[test]
    fn what_is_written_keeps_the_rules(
        chosen in prop::collection::btree_set(0..LINES.len(), 0..9), more in prop::collection::btree_set(0..LINES.len(), 0..3)
    ) {
        let mut text = "name: app\nservices:\n".to_owned();
        for (name, image, lines) in [("app", "example/app:1.2", &chosen), ("db", "postgres:18-alpine", &more)] {
            text += &format!("  {name}:\n    image: {image}\n");
            let mut keys = std::collections::BTreeSet::new();
            for line in lines.iter().map(|line| LINES[*line]).filter(|line| !(name == "db" && line.contains("[db]"))) {
                if keys.insert(line.split(':').next().unwrap()) {
                    text += &format!("    {line}\n");
                }
            }
        }
        text += "secrets: {key_file: {file: ./key}}\n";
        let made = import(Path::new("compose.yaml"), text.as_bytes(), None);
        made.findings.render(false);
        prop_assert_eq!(made.files.is_empty(), made.findings.has_errors());
        if !made.files.is_empty() {
            let project = project();
            let found = breaches(project.path(), &made);
            prop_assert!(found.is_ok(), "{}\n{}", text, found.unwrap_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes, and real files with a piece replaced: never a panic, and nothing that the catalog would not read.
    #[test]
    fn any_file_is_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..60), at in 0_usize..3000, length in 0_usize..40,
        piece in "[ \\-\\[\\]{}:&*!|>'\"%@`#,?$\n\ta-dé0-9]{0,12}", which in 0_usize..3,
    ) {
        let file = ["paperless/docker-compose.yml", "vaultwarden/compose.yaml", "hostile/compose.yaml"][which];
        let file = root().join("tests/import").join(file);
        let good = fs::read_to_string(&file).unwrap();
        let start = (0..=at.min(good.len())).rev().find(|at| good.is_char_boundary(*at)).unwrap();
        let end = (start..=(start + length).min(good.len())).rev().find(|at| good.is_char_boundary(*at)).unwrap();
        let damaged = format!("{}{piece}{}", &good[..start], &good[end..]);
        for bytes in [bytes.as_slice(), piece.as_bytes(), damaged.as_bytes()] {
            let made = import(&file, bytes, None);
            made.findings.render(false);
            prop_assert_eq!(made.files.is_empty(), made.findings.has_errors());
            if let Some(text) = made.files.get("service.toml") {
                let text = std::str::from_utf8(text).unwrap();
                prop_assert!(catalog::parse(&made.name, Path::new("x"), text, &mut Findings::new()).is_some());
            }
        }
    }
}
