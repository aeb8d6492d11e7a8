//! The box's image loader against a real Docker: what is embedded is loaded, the rest is pulled, and what failed or was
//! interrupted is made good. Needs root, dockerd and python3; skipped where they are missing.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use boxwright::context::Context;
use boxwright::images::{Skopeo, fetch, resolve, write_layer};
use boxwright::tool::Tool;
use boxwright::ui::Ui;
use serde_json::{Value, json};

use support::docker::{Docker, PATH};
use support::registry::{Content, Fault, Registry, format_of};
use support::standin::{Image, Layer, Role};

const CLOUDFLARED: &str = "docker.io/cloudflare/cloudflared:2026.8.2";
const NEXTCLOUD: &str = "docker.io/library/nextcloud:34.0.4-apache";
const SONARR: &str = "lscr.io/linuxserver/sonarr:4.0.19.2979-ls321";
const PLEX: &str = "docker.io/plexinc/pms-docker:1.43.4";

struct Machine {
    folder: PathBuf,
}

impl Machine {
    fn loader(&self) -> Tool {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let program =
            concat!(env!("CARGO_MANIFEST_DIR"), "/overlays/system/images/root/usr/lib/boxwright/images");
        Tool::new("python3")
            .env("PATH", format!("{}:{PATH}", at("bin")))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args([program, "run", "--list", &at("images.json"), "--run", &at("run")])
            .args(["--state", &at("state"), "--socket", &at("docker/sock")])
            .args(["--store", &at("docker")])
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.folder.join("run/images.status")).unwrap()).unwrap()
    }

    fn wait_for(&self, what: &str, reached: impl Fn(&Value) -> bool) {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if reached(&status) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{what} is not reached: {status:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn has(&self, path: &str) -> bool {
        self.folder.join(path).exists()
    }

    fn told_systemd(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("systemctl.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Makes the images layer with `embedded` in `folder/layer`, through the registry, as a build does.
fn make_layer(folder: &Path, registry: &Registry, embedded: &[&str]) {
    let context = Context {
        project: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        cache: folder.join("cache"),
        ui: Ui::silent(),
        jobs: 2,
        mirror: None,
        registry_mirror: Some(registry.mirror()),
        offline: false,
        days_ahead: 0,
    };
    let skopeo = Skopeo::at(Path::new("/usr/bin/skopeo"), &context).unwrap();
    let references: BTreeSet<String> = embedded.iter().map(|name| (*name).to_owned()).collect();
    let locked = resolve(&references, &skopeo, &context).unwrap();
    let stored = fetch(&locked, &skopeo, &context).unwrap();
    let mut bytes = Vec::new();
    write_layer(&stored, &mut bytes, 0).unwrap();
    tar::Archive::new(bytes.as_slice()).unpack(folder.join("layer")).unwrap();
}

fn entry(reference: &str, image: &Image, services: &[&str], programs: &[&str]) -> Value {
    json!({
        "reference": reference, "digest": image.digest(), "config": image.id(), "services": services,
        "core": false, "embedded": false, "programs": programs,
    })
}

fn prepare(folder: &Path, registry: &Registry, images: &BTreeMap<String, Image>) -> Machine {
    make_layer(folder, registry, &[CLOUDFLARED, NEXTCLOUD]);
    let mut plex = entry(PLEX, &images[PLEX], &["plex"], &[]);
    (plex["digest"], plex["config"]) = (Value::Null, Value::Null);
    let list = json!({
        "layer": folder.join("layer"),
        "mirror": format!("http://{}", registry.mirror()),
        "images": [
            entry(CLOUDFLARED, &images[CLOUDFLARED], &["cloudflared"], &["/usr/local/bin/cloudflared"]),
            entry(NEXTCLOUD, &images[NEXTCLOUD], &["nextcloud"], &[]),
            entry(SONARR, &images[SONARR], &["sonarr", "nextcloud"], &[]),
            plex,
        ],
    });
    std::fs::write(folder.join("images.json"), list.to_string()).unwrap();
    std::fs::create_dir(folder.join("bin")).unwrap();
    let systemctl = folder.join("bin/systemctl");
    let log = folder.join("systemctl.log");
    std::fs::write(&systemctl, format!("#!/bin/sh\necho \"$*\" >>{}\n", log.display())).unwrap();
    std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
    Machine { folder: folder.to_owned() }
}

#[test]
fn images_are_loaded_pulled_and_made_good() {
    if !support::docker::able(&["dockerd", "docker", "python3", "skopeo"]) {
        return;
    }
    let base = support::standin::busybox().map_or_else(Layer::without_busybox, |path| Layer::busybox(&path));
    let build = |(index, name): (usize, &str)| {
        (name.to_owned(), Role::default().image(name, &base, format_of(index)))
    };
    let images: BTreeMap<String, Image> =
        [CLOUDFLARED, NEXTCLOUD, PLEX, SONARR].into_iter().enumerate().map(build).collect();
    let mut content = Content::default();
    images.iter().for_each(|(reference, image)| content.add(reference, image));
    let registry = Registry::start(content);
    let folder = tempfile::tempdir().unwrap();
    let machine = prepare(folder.path(), &registry, &images);
    std::fs::create_dir(folder.path().join("docker")).unwrap();

    // Docker comes later than the loader, and the registry later still: what is embedded is there before it.
    registry.fault(Some(Fault::Status(503)));
    let before = registry.requests().len();
    let running = machine.loader().spawn().unwrap();
    machine_waits(&machine);
    let docker = Docker::start(&folder.path().join("docker"), &registry.mirror());
    machine.wait_for("a failed pull", |status| status["images"][3]["state"] == "failed");
    let status = machine.status();
    assert_eq!(status["missing"], 2, "{status:#}");
    assert!(status["images"][2]["error"].as_str().unwrap().contains("pulling"), "{status:#}");
    for (name, there) in [("cloudflared", true), ("nextcloud", false), ("sonarr", false), ("plex", false)] {
        assert_eq!(machine.has(&format!("run/images/{name}")), there, "{name}");
    }
    for name in [CLOUDFLARED, NEXTCLOUD] {
        assert_eq!(docker.id(name), images[name].id(), "{name}: the id is not the configuration's digest");
    }
    assert!(registry.requests().len() > before);
    let problem = std::fs::read_to_string(folder.path().join("run/problems/images")).unwrap();
    assert!(problem.starts_with("container images that are not there yet: sonarr:"), "{problem}");

    registry.fault(None);
    running.wait().unwrap();
    assert_eq!(machine.status()["complete"], true);
    assert!(!machine.has("run/problems/images"));
    for name in [CLOUDFLARED, NEXTCLOUD, SONARR, PLEX] {
        assert_eq!(docker.id(name), images[name].id(), "{name}");
    }
    // The digest that a lock and a bill of materials name is the one that Docker says to have pulled. Of what came out of an
    // archive, or under a mirror's name, it keeps the configuration's alone.
    assert_eq!(docker.pulled(PLEX), [images[PLEX].digest()]);
    let program = std::fs::read_to_string(folder.path().join("state/bin/cloudflared")).unwrap();
    assert!(
        program.starts_with("#!/bin/sh")
            && machine.has("run/images/nextcloud")
            && machine.has("run/images/plex")
    );
    let told = machine.told_systemd();
    for line in ["start boxwright-images@sonarr.target", "restart boxwright-program@cloudflared.target"] {
        assert!(told.iter().any(|told| told.ends_with(line)), "{told:?}");
    }

    // The next boot: nothing is asked for, nothing is done again.
    let before = registry.requests().len();
    std::fs::remove_dir_all(folder.path().join("run")).unwrap();
    let output = String::from_utf8(machine.loader().output().unwrap()).unwrap();
    assert_eq!((registry.requests().len(), output.as_str()), (before, "all images are there\n"));
    assert!(machine.has("run/images/nextcloud"));

    // The power went while two images were on their way, one of them embedded: layers that Docker has are not believed.
    for name in [
        "docker.io%2Flibrary%2Fnextcloud%3A34.0.4-apache",
        "lscr.io%2Flinuxserver%2Fsonarr%3A4.0.19.2979-ls321",
    ] {
        std::fs::write(folder.path().join(format!("state/images/{name}.loading")), "").unwrap();
    }
    docker.command(&["image", "rm", "--force", SONARR]).run().unwrap();
    let output = String::from_utf8(machine.loader().output().unwrap()).unwrap();
    assert_eq!(output.matches("was interrupted").count(), 2, "{output}");
    assert_eq!(std::fs::read_dir(folder.path().join("state/images")).unwrap().count(), 0);
    let own = boxwright::digest::Sha256::of_bytes(&images[SONARR].layers[1]).to_string();
    let pulls =
        registry.requests().iter().filter(|line| line.contains("/blobs/") && line.contains(&own)).count();
    assert!(pulls >= 3, "a suspect layer was believed: {pulls} pulls of it");
    for name in [NEXTCLOUD, SONARR] {
        assert_eq!(docker.id(name), images[name].id());
    }

    // A name that has moved is set right without a registry.
    registry.fault(Some(Fault::Status(503)));
    docker.command(&["tag", CLOUDFLARED, NEXTCLOUD]).run().unwrap();
    machine.loader().run().unwrap();
    assert_eq!(docker.id(NEXTCLOUD), images[NEXTCLOUD].id());
}

fn machine_waits(machine: &Machine) {
    let begin = Instant::now();
    while !machine.has("run/images.status") {
        assert!(begin.elapsed() < Duration::from_secs(30), "the loader does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    machine.wait_for("waiting for Docker", |status| status["images"][0]["state"] == "waiting");
}
