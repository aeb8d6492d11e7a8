//! The stand-in containers run as the catalog says: user, capabilities, read-only root, health check.
//!
//! The first test needs nothing. The second needs root, dockerd and a static busybox; it is skipped without.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use boxwright::catalog::{Catalog, Container, User};
use boxwright::diag::Findings;

use support::docker::Docker;
use support::registry::{Content, Registry};
use support::standin::{self, Layer};

/// What Debian's busybox-static has of the programs that health checks call.
const APPLETS: [&str; 6] = ["cat", "nc", "pgrep", "sh", "test", "wget"];

fn catalog() -> Catalog {
    let mut findings = Findings::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("overlays/services");
    let catalog = Catalog::load(&folder, &mut findings).unwrap();
    assert!(findings.list.is_empty(), "{:?}", findings.list);
    catalog
}

fn containers(catalog: &Catalog) -> impl Iterator<Item = (&str, &Container)> {
    catalog
        .iter()
        .flat_map(|service| service.containers.iter().map(|(name, container)| (name.as_str(), container)))
}

#[test]
fn every_health_check_finds_its_program_in_the_stand_in() {
    let commands = standin::commands();
    let catalog = catalog();
    let missing: Vec<String> = containers(&catalog)
        .filter_map(|(name, container)| {
            let test = container.health.test.as_ref()?;
            let program = if test[0] == "CMD" { test[1].rsplit('/').next()? } else { "sh" };
            let known = commands.contains(program) || APPLETS.contains(&program);
            (!known).then(|| format!("{name}: {program}"))
        })
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "add them to tests/support/standin.rs");
}

#[test]
fn equal_input_gives_equal_images() {
    let catalog = catalog();
    let once = standin::all(&catalog, &Layer::without_busybox(), &[]);
    let again = standin::all(&catalog, &Layer::without_busybox(), &[]);
    let ids = |images: &BTreeMap<String, standin::Image>| {
        images.values().map(standin::Image::digest).collect::<Vec<_>>()
    };
    assert_eq!(ids(&once), ids(&again));
    let names: BTreeSet<&str> = containers(&catalog).map(|(_, container)| container.image.as_str()).collect();
    assert_eq!(once.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
}

#[test]
fn stand_ins_run_as_the_catalog_says() {
    let (Some(busybox), true) = (standin::busybox(), support::docker::able(&["dockerd", "docker"])) else {
        eprintln!("SKIPPED: this needs a static busybox as well");
        return;
    };
    let catalog = catalog();
    let folder = tempfile::tempdir().unwrap();
    let docker = Docker::start(folder.path(), "127.0.0.1:9");
    let images = standin::all(&catalog, &Layer::busybox(&busybox), &[]);
    for (reference, image) in &images {
        docker.command(&["load", "--quiet"]).stdin_bytes(image.archive(reference)).run().unwrap();
        assert_eq!(docker.id(reference), image.id());
    }
    let mut wrong = Vec::new();
    for (name, container) in containers(&catalog) {
        if let Err(reason) = try_one(&docker, folder.path(), name, container) {
            wrong.push(format!("{name}: {reason}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Starts the container alone, without a network, and asks its health check until it is content.
fn try_one(docker: &Docker, folder: &Path, name: &str, container: &Container) -> Result<(), String> {
    let (uid, gid) = match container.user {
        User::Ids(uid, gid) => (uid, gid),
        User::DiskOwner => (1000, 1000),
    };
    // Containers of two services may have one name.
    let folder = tempfile::tempdir_in(folder).unwrap();
    let folder = folder.path();
    let mut options: Vec<String> =
        ["run", "--detach", "--network", "none", "--cap-drop", "ALL", "--name", name]
            .map(str::to_owned)
            .into();
    let mut option = |flag: &str, value: &str| options.extend([flag.to_owned(), value.to_owned()]);
    container.capabilities.iter().for_each(|capability| option("--cap-add", capability));
    let ids = |text: &str| text.replace("{uid}", &uid.to_string()).replace("{gid}", &gid.to_string());
    container.tmpfs.iter().for_each(|tmpfs| option("--tmpfs", &ids(tmpfs)));
    container.devices.iter().for_each(|device| option("--device", device));
    // As on a box without a data disk.
    for (index, volume) in container.volumes.iter().enumerate().filter(|(_, volume)| volume.disk.is_none()) {
        let source = folder.join(format!("{name}-{index}"));
        match &volume.config {
            Some(_) => std::fs::write(&source, "").unwrap(),
            None => std::fs::create_dir(&source).unwrap(),
        }
        if name == "cloudflared" {
            // As its `seed` writes it.
            let rules = "tunnel: x\ncredentials-file: /etc/credentials.json\ningress:\n  - service: http_status:404\n";
            std::fs::write(source.join("config.yml"), rules).unwrap();
        }
        let owner = match volume.owner {
            Some(User::Ids(uid, gid)) => (uid, gid),
            _ => (uid, gid),
        };
        std::os::unix::fs::chown(&source, Some(owner.0), Some(owner.1)).unwrap();
        option("--volume", &format!("{}:{}", source.display(), volume.at));
    }
    let secret = folder.join("secret");
    std::fs::write(&secret, r#"{"AccountTag":"a","TunnelSecret":"b","TunnelID":"c"}"#).unwrap();
    option("--volume", &format!("{}:/etc/credentials.json:ro", secret.display()));
    option("--env", "VPN_SERVICE_PROVIDER=mullvad");
    option("--env", "VPN_TYPE=wireguard");
    option("--env", "WIREGUARD_PRIVATE_KEY_SECRETFILE=/etc/credentials.json");
    if !container.starts_as_root {
        option("--user", &format!("{uid}:{gid}"));
    }
    if container.read_only {
        options.push("--read-only".to_owned());
    }
    options.push(container.image.clone());
    if name == "cloudflared" {
        options.extend(["tunnel", "--config", "/etc/cloudflared/config.yml", "run"].map(str::to_owned));
    }
    let words: Vec<&str> = options.iter().map(String::as_str).collect();
    docker.command(&words).run().map_err(|error| error.to_string())?;
    let verdict = healthy(docker, name, container, uid);
    let logs = docker.command(&["logs", name]).output().unwrap_or_default();
    let _ = docker.command(&["rm", "--force", name]).run();
    verdict.map_err(|reason| format!("{reason}\n{}", String::from_utf8_lossy(&logs)))
}

fn healthy(docker: &Docker, name: &str, container: &Container, uid: u32) -> Result<(), String> {
    let mut check = vec!["exec", name];
    match &container.health.test {
        Some(test) if test[0] == "CMD" => check.extend(test[1..].iter().map(String::as_str)),
        Some(test) => check.extend(["sh", "-c", test[1].as_str()]),
        None if name == "gluetun" => check.extend(["/gluetun-entrypoint", "healthcheck"]),
        None => check.push("/stand-in/healthcheck"),
    }
    let mut last = String::new();
    for _ in 0..50 {
        match docker.command(&check).output() {
            Ok(_) => {
                // The stand-in's listeners belong to the user that the catalog names.
                let text = docker
                    .command(&["top", name, "-o", "pid,uid,args"])
                    .output()
                    .map_err(|error| error.to_string())?;
                let text = String::from_utf8_lossy(&text).into_owned();
                let own = |line: &str| line.split_whitespace().nth(1) == Some(uid.to_string().as_str());
                return if text.lines().any(own) {
                    Ok(())
                } else {
                    Err(format!("nothing runs as {uid}:\n{text}"))
                };
            }
            Err(error) => last = error.to_string(),
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    Err(last)
}

/// `cargo test --test standins -- --ignored --nocapture serve` serves all stand-ins for two hours, for trials by hand:
/// `boxwright build PROFILE --registry-mirror 127.0.0.1:PORT` with `embed = "all"` makes a box that needs no internet.
#[test]
#[ignore = "serves until it is ended"]
fn serve() {
    let busybox = standin::busybox().expect("a static busybox: the package busybox-static");
    let mut content = Content::default();
    for (reference, image) in standin::all(&catalog(), &Layer::busybox(&busybox), &[]) {
        content.add(&reference, &image);
    }
    let registry = Registry::start(content);
    eprintln!("--registry-mirror {}", registry.mirror());
    std::thread::sleep(std::time::Duration::from_secs(2 * 60 * 60));
}
