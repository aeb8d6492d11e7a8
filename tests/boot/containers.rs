//! Services on a booted box, with containers of the tests under the real names, and no internet.

use boxwright::vm::MachineOptions;

use crate::harness::{Bench, When, checks, probe, with_units};
use crate::{backup, disks, full, secrets};

/// The containers of services.toml, as `docker ps` names them and their health.
const HEALTHY: [&str; 6] = [
    "cloudflared healthy",
    "gluetun healthy",
    "jellyfin healthy",
    "plex healthy",
    "qbittorrent healthy",
    "sonarr healthy",
];

/// The published names, and where cloudflared has to reach them: not Plex, which answers 503 while nobody owns it.
const REACHABLE: [&str; 3] = [
    "films.example.com http://jellyfin:8096 reachable",
    "torrents.example.com http://qbittorrent:8080 reachable",
    "sonarr.example.com http://sonarr:8989 reachable",
];

/// What has to be true of a box on which everything runs, and what it prints for [`assert_up`].
pub fn up() -> (String, usize) {
    let list = [
        ("ufw", "ufw status | grep -qx \"Status: active\" || ufw status"),
        (
            "input",
            "for t in iptables ip6tables; do $t -S INPUT | grep -x -- \"-P INPUT DROP\" || exit 1; done",
        ),
        (
            "forward",
            "for t in iptables ip6tables; do $t -S FORWARD | grep -x -- \"-P FORWARD DROP\" || exit 1; done",
        ),
        (
            "forwarded",
            "for t in iptables ip6tables; do $t -t mangle -S bw-forward | tail -n 1 | grep -x -- \"-A bw-forward -j DROP\" && \
             $t -t mangle -S FORWARD | sed -n 2p | grep -x -- \"-A FORWARD -j bw-forward\" || exit 1; done",
        ),
        ("lan", "iptables -t mangle -S bw-forward | grep -- \"--ctorigdstport 32400 -j bw-onlink\""),
        ("firewall", "/usr/lib/boxwright/firewall-check"),
        (
            "no-unit-failed",
            "test -z \"$(systemctl list-units --failed --plain --no-legend | tee /dev/stderr)\"",
        ),
        ("no-internet", "! timeout 20 getent ahosts deb.example.com"),
        ("ssh-tunnel", "systemctl is-active boxwright-ssh-tunnel.service"),
        (
            "status-on-esp",
            "systemctl start boxwright-status && box status | sed \"s/$/\\r/\" | diff - /efi/boxwright/status.txt",
        ),
    ];
    let script = format!(
        "{}docker inspect -f '{{{{.Name}}}} {{{{if .State.Health}}}}{{{{.State.Health.Status}}}}{{{{else}}}}{{{{.State.Status}}}}{{{{end}}}}' \
         $(docker ps --all --quiet) | sed 's#^/#container #' | sort\n\
         docker exec cloudflared cloudflared reachable --config /etc/cloudflared/config.yml | sed 's/^/rule /'\n\
         box status | sed 's/^/status /'\n",
        checks(&list)
    );
    (script, list.len())
}

/// Holds what [`up`] printed against what services.toml asks for.
pub fn assert_up(printed: &[String]) {
    let with = |prefix: &str| -> Vec<&str> {
        printed.iter().filter_map(|line| line.strip_prefix(prefix)?.strip_prefix(' ')).collect()
    };
    assert_eq!(with("container"), HEALTHY);
    assert_eq!(with("rule"), REACHABLE);
    let status = with("status").join("\n");
    for text in ["services: 10.0.2.15", "release ", "https://plex.example.com", "ready: everything runs"] {
        assert!(status.contains(text), "no {text:?} in\n{status}");
    }
    for container in HEALTHY {
        let name = container.split(' ').next().unwrap();
        assert!(
            status.lines().map(str::trim).any(|line| line.starts_with(name) && line.ends_with("  runs")),
            "{name} does not run:\n{status}"
        );
    }
    // The internet is down, Plex belongs to nobody, and a stand-in does not have the interface that Sonarr is set up through: that
    // is all.
    let wrong = status.split_once("missing or wrong:").unwrap_or_else(|| panic!("{status}")).1;
    let expected = [
        "the internet",
        "Plex: plex.example.com answers 503 until its owner's account exists",
        "Sonarr: its setup has not succeeded yet",
    ];
    let wrong: Vec<&str> = wrong.trim().lines().collect();
    assert!(
        wrong.len() == expected.len() && wrong.iter().zip(expected).all(|(line, text)| line.contains(text)),
        "{status}"
    );
}

#[test]
#[ignore = "a quarter of an hour under emulation: `cargo test --test boot -- --include-ignored a_box_lives`"]
fn a_box_lives_through_a_missing_disk_and_a_full_one() {
    let Some(bench) = Bench::with_containers("tests/boot/services.toml") else { return };
    let disk = bench.disk("life");
    let media = disks::media(&bench);
    secrets::hand_over(&disk);
    let (script, count) = up();
    let script = format!("{script}{}{}{}{}", secrets::look(), secrets::leaks(), backup::SCRIPT, full::FILL);

    // Without the disk at first; at the end the state partition is filled to the last block.
    let options = with_units(&MachineOptions::default(), [probe("up", When::Ready, &script)]);
    let mut run = bench.start(&disk, &options);
    disks::until_only_the_disk_is_missing(&mut run);
    disks::plug(&mut run, &media);
    let printed = run.checks("up", count);
    assert_up(&printed);
    secrets::assert_placed(&printed);
    secrets::assert_nowhere_else(&printed);
    backup::assert_restored(&printed);
    // Nothing that ends makes room again.
    run.cut_power();
    secrets::assert_overwritten(&disk);

    full::starts_and_says_so(&bench, &disk);
}
