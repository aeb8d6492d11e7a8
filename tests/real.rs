//! PostgreSQL, Valkey and qBittorrent themselves, out of Debian's packages, in containers made by the rendered definitions and
//! started by the box's own programs: first and second start, passwords, health checks, dumps that are loaded again.
//!
//! Needs root, dockerd, python3, a static busybox, and apt that can fetch Debian 13's packages; skipped without.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};

use boxwright::catalog::Catalog;
use boxwright::diag::Findings;
use boxwright::tool::Tool;

use support::standin::{self, Layer};
use support::{built, docker, real, trixie};

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The images of the profile's services as archives in `folder`.
fn images(folder: &Path, busybox: &Path) -> Option<()> {
    let mut findings = Findings::new();
    let catalog = Catalog::load(&project().join("overlays/services"), &mut findings).unwrap();
    let real = real::applications(&catalog)?;
    let images = standin::all(&catalog, &Layer::busybox(busybox), &real);
    for name in ["gluetun", "immich", "nextcloud", "qbittorrent", "umami"] {
        for (key, container) in &catalog.get(name).unwrap().containers {
            let (image, reference) = (&images[&container.image], &container.image);
            let sizes: Vec<String> =
                image.layers.iter().map(|layer| format!("{:.1}", layer.len() as f64 / 1e6)).collect();
            eprintln!("{name}/{key}: layers of {} MB", sizes.join(" + "));
            std::fs::write(folder.join(format!("{name}-{key}.tar")), image.archive(reference)).unwrap();
        }
    }
    Some(())
}

#[test]
fn databases_and_torrents_are_run_dumped_and_brought_back() {
    let programs = ["dockerd", "docker", "unshare", "nsenter", "ip", "iptables", "python3"];
    let (true, Some(busybox)) = (docker::able(&programs), standin::busybox()) else {
        eprintln!("SKIPPED: this needs a static busybox as well");
        return;
    };
    let Some(compose) = trixie::unpacked("docker-compose") else {
        eprintln!("SKIPPED: apt cannot fetch Debian 13's docker-compose here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("images")).unwrap();
    let Some(()) = images(&at("images"), &busybox) else { return };
    let profile = project().join("tests/real/real.toml");
    Tool::new(built::PROGRAM)
        .env("HOME", folder.path())
        .args([
            Path::new("--project"),
            &project(),
            Path::new("render"),
            &profile,
            Path::new("--to"),
            &at("tree"),
        ])
        .run()
        .unwrap();
    let said = Tool::new("unshare")
        .args([
            "--mount",
            "--net",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "python3",
            "-B",
        ])
        .args([&project().join("tests/real/real.py"), folder.path()])
        .arg(compose.join("usr/libexec/docker/cli-plugins/docker-compose"))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{error:#}"));
    let said = String::from_utf8(said).unwrap();
    eprintln!("{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 19, "{said}");
}
