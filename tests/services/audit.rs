//! The rules over what is rendered: every shipped service keeps them, and each way of breaking one is found.

use boxwright::audit::audit;
use boxwright::plan::Plan;

use super::{every, file, rendered};

#[test]
fn every_shipped_service_keeps_the_rules() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    assert_eq!(audit(&rendered(&profile, &plan), &plan, &profile), []);
}

/// One line of a service's rendered file, what somebody makes of it, and the rule that is broken.
const TABLE: &[(&str, &str, &str, &str)] = &[
    (
        "sonarr/compose.yaml",
        "    network_mode: \"container:gluetun\"",
        "    network_mode: host",
        "host-network",
    ),
    (
        "sonarr/compose.yaml",
        "    network_mode: \"container:gluetun\"",
        "    networks: [bw-sonarr_out]",
        "outside-the-vpn",
    ),
    (
        "radarr/compose.yaml",
        "    network_mode: \"container:gluetun\"",
        "    network_mode: bridge",
        "foreign-network",
    ),
    ("seerr/compose.yaml", "    init: true", "    init: true\n    privileged: true", "privileged"),
    ("seerr/compose.yaml", "    init: true", "    init: true\n    privileged: ${ROOT}", "privileged"),
    ("seerr/compose.yaml", "    init: true", "    init: true\n    pid: host", "host-namespace"),
    ("seerr/compose.yaml", "    init: true", "    init: true\n    ipc: \"container:plex\"", "host-namespace"),
    ("seerr/compose.yaml", "    init: true", "    init: true\n    ports: [\"5055:5055\"]", "unnamed-port"),
    (
        "seerr/compose.yaml",
        "    init: true",
        "    init: true\n    ports: [{ target: 5055, published: \"5055\" }]",
        "unnamed-port",
    ),
    ("plex/compose.yaml", "\"0.0.0.0:32400:32400/tcp\"", "\"32400:32400\"", "unnamed-port"),
    ("seerr/compose.yaml", "    init: true", "    init: true\n    env_file: ../plex/x", "foreign-definition"),
    ("seerr/compose.yaml", "    init: true", "    init: true\n    devices: [/dev/sda]", "undeclared-device"),
    (
        "seerr/compose.yaml",
        "    init: true",
        "    init: true\n    cap_add: [SYS_ADMIN]",
        "undeclared-capability",
    ),
    ("seerr/compose.yaml", "    cap_drop: [\"ALL\"]", "", "capabilities-kept"),
    ("seerr/compose.yaml", "[\"no-new-privileges:true\"]", "[\"seccomp:unconfined\"]", "security-option"),
    ("seerr/compose.yaml", "seerr:v3.1.0", "seerr:v3.1.1", "unlocked-image"),
    ("seerr/compose.yaml", "container_name: \"seerr\"", "container_name: \"other\"", "unwatched-container"),
    (
        "seerr/compose.yaml",
        "source: \"/srv/state/seerr/config\"",
        "source: \"/srv/state/plex/config\"",
        "foreign-path",
    ),
    (
        "seerr/compose.yaml",
        "source: \"/srv/state/seerr/config\"",
        "source: \"/srv/state/seerr/../plex\"",
        "foreign-path",
    ),
    (
        "immich/compose.yaml",
        "source: \"/run/boxwright/folders/immich/immich-0\"",
        "source: \"/srv/media/immich\"",
        "foreign-path",
    ),
    (
        "immich/compose.yaml",
        "source: \"/run/boxwright/folders/immich/immich-0\"",
        "source: \"/run/boxwright/folders/nextcloud/nextcloud-1\"",
        "foreign-path",
    ),
    (
        "seerr/compose.yaml",
        "source: \"/srv/state/seerr/config\"",
        "source: \"/var/run/docker.sock\"",
        "docker-socket",
    ),
    ("seerr/compose.yaml", "source: \"/srv/state/seerr/config\"", "source: \"/run\"", "docker-socket"),
    ("seerr/compose.yaml", "create_host_path: false", "create_host_path: true", "path-made"),
    ("seerr/compose.yaml", "name: seerr\n", "name: seerr\nvolumes: { config: {} }\n", "named-volume"),
    (
        "seerr/compose.yaml",
        "name: seerr\n",
        "name: seerr\ninclude: [../plex/compose.yaml]\n",
        "foreign-definition",
    ),
    ("seerr/compose.yaml", "  bw-seerr: { external: true }", "  bw-seerr: {}", "foreign-network"),
    (
        "seerr/compose.yaml",
        "      bw-seerr:\n",
        "      bw-nextcloud_db:\n        aliases: []\n      bw-seerr:\n",
        "foreign-network",
    ),
    ("seerr/compose.yaml", "LOG_LEVEL: info", "SONARR: http://10.213.4.2:8989", "address-for-name"),
    ("seerr/compose.yaml", "LOG_LEVEL: info", "NAS: 192.168.1.20", "address-for-name"),
    (
        "seerr/compose.yaml",
        "    init: true",
        "    init: true\n    extra_hosts: [\"nas:192.168.1.20\"]",
        "address-for-name",
    ),
    ("seerr/compose.yaml", "services:\n", "services:\n  spy: { image: x }\n", "unknown-container"),
    ("seerr/compose.yaml", "services:", "services: [", "unreadable-file"),
    ("cloudflared/config.yml", "http://seerr:5055", "http://10.213.4.2:5055", "unreachable-target"),
    ("cloudflared/config.yml", "http://seerr:5055", "http://nextcloud-db:5432", "unreachable-target"),
    (
        "cloudflared/config.yml",
        "hostname: \"requests.example.com\"",
        "hostname: \"db.example.com\"",
        "unnamed-host",
    ),
    ("cloudflared/config.yml", "        required: true", "        required: false", "access-missing"),
    (
        "cloudflared/config.yml",
        "  - service: http_status:404",
        "  - service: http://plex:32400",
        "open-tunnel",
    ),
];

#[test]
fn each_way_of_breaking_a_rule_is_found() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let tree = rendered(&profile, &plan);
    for (path, from, to, code) in TABLE {
        let path = format!("etc/boxwright/services/{path}");
        let text = file(&tree, &path);
        assert!(text.contains(from), "{path} has no {from}");
        let mut tampered = tree.clone();
        tampered.remove(&path);
        tampered.insert_file(&path, 0o644, text.replacen(from, to, 1)).unwrap();
        let found = audit(&tampered, &plan, &profile);
        assert!(found.iter().any(|breach| breach.code == *code), "{path}: {to}: {found:?}");
    }
}
