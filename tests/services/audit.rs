//! The rules over what is rendered: every shipped service keeps them, and each way of breaking one is found.

use boxwright::audit::audit;
use boxwright::plan::{DiskPlan, Plan};

use super::{checked, every, file, rendered};

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

/// What somebody adds to the container of Seerr, and the rule that is broken.
const ADDED: &[(&str, &str)] = &[
    ("cap_add: !override [SYS_ADMIN]", "unreadable-file"),
    ("devices: !override [/dev/sda]", "unreadable-file"),
    ("ports: !reset [\"5055:5055\"]", "unreadable-file"),
    ("cap_add: SYS_ADMIN", "wrong-type"),
    ("device_cgroup_rules: [\"a *:* rwm\"]", "unlisted-key"),
    ("runtime: other", "unlisted-key"),
    ("use_api_socket: true", "unlisted-key"),
    ("post_start: [{ command: [id], privileged: true }]", "unlisted-key"),
    ("pre_stop: [{ command: [id], privileged: true }]", "unlisted-key"),
    ("deploy: { resources: { reservations: { devices: [{ capabilities: [gpu] }] } } }", "unlisted-key"),
    ("links: [\"nextcloud-db\"]", "unlisted-key"),
    ("extra_hosts: [\"box:host-gateway\"]", "unlisted-key"),
    ("extra_hosts: [\"nas:fd00::20\"]", "address-for-name"),
    ("group_add: [\"0\"]", "unlisted-key"),
    ("group_add: [\"0\"]", "foreign-group"),
    ("configs: [c]", "foreign-definition"),
    ("label_file: ../plex/labels", "foreign-definition"),
    ("secrets: [s]", "foreign-secret"),
    ("secrets: [{ source: s, target: s }]", "foreign-secret"),
    ("dns: [1.1.1.1]", "own-resolver"),
    ("dns: \"fd00::1\"", "own-resolver"),
    ("cgroup_parent: /", "host-namespace"),
    ("command: [\"${A:-sh}\"]", "variable"),
    ("command: \"$A\"", "variable"),
];

/// As in [`TABLE`], for what stands in a file besides.
const LISTED: &[(&str, &str, &str, &str)] = &[
    ("seerr/compose.yaml", "    volumes:\n", "    volumes: !override\n", "unreadable-file"),
    (
        "seerr/compose.yaml",
        "name: seerr\n",
        "name: seerr\nsecrets: { s: { file: /run/docker.sock } }\n",
        "foreign-secret",
    ),
    ("nextcloud/compose.yaml", "/run/boxwright/secrets/nextcloud/db-password", "/", "foreign-secret"),
    (
        "seerr/compose.yaml",
        "name: seerr\n",
        "name: seerr\nconfigs: { c: { file: / } }\n",
        "foreign-definition",
    ),
    ("seerr/compose.yaml", "name: seerr\n", "name: seerr\nmodels: {}\n", "unlisted-key"),
    ("seerr/compose.yaml", "name: seerr\n", "name: plex\n", "unwatched-container"),
    ("seerr/compose.yaml", "/srv/state/seerr/config", "/srv/state/seerr/${A:-..}/${A:-..}", "variable"),
    ("seerr/compose.yaml", "/srv/state/seerr/config", "/srv/state/seerr", "foreign-path"),
    ("jellyfin/compose.yaml", "read_only: true\n", "read_only: false\n", "foreign-path"),
    (
        "seerr/compose.yaml",
        "{ create_host_path: false }",
        "{ create_host_path: false, propagation: rshared }",
        "path-made",
    ),
    ("seerr/compose.yaml", "type: bind", "type: volume", "foreign-path"),
    ("seerr/compose.yaml", "type: bind", "type: bind\n        volume: { nocopy: true }", "unlisted-key"),
    ("seerr/compose.yaml", "no-new-privileges:true", "no-new-privileges:false", "security-option"),
    ("seerr/compose.yaml", "    security_opt: [\"no-new-privileges:true\"]\n", "", "security-option"),
    ("seerr/compose.yaml", "user: \"1000:1000\"", "user: \"0:0\"", "foreign-user"),
    ("seerr/compose.yaml", "    user: \"1000:1000\"\n", "", "foreign-user"),
    ("seerr/compose.yaml", "driver: local", "driver: syslog", "box-setting"),
    ("seerr/compose.yaml", "pull_policy: never", "pull_policy: always", "box-setting"),
    ("seerr/compose.yaml", "restart: unless-stopped", "restart: always", "box-setting"),
    ("seerr/compose.yaml", "hostname: \"seerr\"", "hostname: \"plex\"", "foreign-name"),
    ("seerr/compose.yaml", "aliases: []", "aliases: [\"plex\"]", "foreign-name"),
    ("seerr/compose.yaml", "aliases: []", "ipv4_address: 203.0.113.9", "foreign-name"),
    ("seerr/compose.yaml", "{ external: true }", "{ external: true, driver: host }", "foreign-network"),
    ("immich/gpu.yaml", "group_add:", "privileged: true\n    group_add:", "unlisted-key"),
    ("immich/gpu.yaml", "${BOXWRIGHT_GPU_GROUP}", "${DOCKER_GROUP}", "variable"),
    ("immich/gpu.yaml", "/dev/dri:/dev/dri", "/dev/dri/../sda", "undeclared-device"),
];

#[test]
fn each_way_of_breaking_a_rule_is_found() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let tree = rendered(&profile, &plan);
    let (after, added) = ("    init: true", |line: &&str| format!("    init: true\n    {line}"));
    let lines: Vec<(String, &str)> = ADDED.iter().map(|(line, code)| (added(line), *code)).collect();
    let lines = lines.iter().map(|(to, code)| ("seerr/compose.yaml", after, to.as_str(), *code));
    for (path, from, to, code) in TABLE.iter().chain(LISTED).copied().chain(lines) {
        let path = format!("etc/boxwright/services/{path}");
        let text = file(&tree, &path);
        assert!(text.contains(from), "{path} has no {from}");
        let mut tampered = tree.clone();
        tampered.remove(&path);
        tampered.insert_file(&path, 0o644, text.replacen(from, to, 1)).unwrap();
        let found = audit(&tampered, &plan, &profile);
        assert!(found.iter().any(|breach| breach.code == code), "{path}: {to}: {found:?}");
    }
}

/// A link of a service's own would lead a volume to anything on the box, and hide its files from these rules.
#[test]
fn a_link_in_the_folder_of_a_service_is_found() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    for (path, target) in
        [("host", "/"), ("deep/host", "../../../.."), ("compose.yaml", "other.yaml"), (".env", "/etc/passwd")]
    {
        let mut tree = rendered(&profile, &plan);
        let path = format!("etc/boxwright/services/seerr/{path}");
        tree.remove(&path);
        tree.insert_symlink(&path, target).unwrap();
        let found = audit(&tree, &plan, &profile);
        assert!(found.len() == 1 && found[0].code == "foreign-path", "{path}: {found:?}");
    }
}

/// A database is private because of its image, not because its service.toml says so.
#[test]
fn databases_are_known_by_their_images() {
    let profile = every();
    let mut plan = Plan::new(&profile, profile.catalog()).unwrap();
    let tree = rendered(&profile, &plan);
    let codes =
        |plan: &Plan| audit(&tree, plan, &profile).into_iter().map(|one| one.code).collect::<Vec<_>>();
    let service = plan.services.iter_mut().find(|service| service.name == "nextcloud").unwrap();
    service.containers.iter_mut().find(|container| container.key == "db").unwrap().private = false;
    assert_eq!(codes(&plan), ["database-in-reach"]);
    // As if its folder were on a disk in the network.
    let path = format!("{}/db", plan.service("nextcloud").unwrap().state);
    let disk = DiskPlan { name: "media".to_owned(), path, uid: 999, gid: 999, read_only: false };
    plan.services.iter_mut().find(|service| service.name == "nextcloud").unwrap().disks.push(disk);
    let text = include_str!("every.toml")
        .replace("media = { label = \"media\", filesystem = \"ext4\"", "media = { nfs = \"nas:/media\"");
    let profile = checked(&text);
    let found = audit(&tree, &plan, &profile);
    assert!(found.iter().any(|breach| breach.code == "database-on-a-share"), "{found:?}");
}

/// What is open at home and at the edge is one port of the box.
#[test]
fn a_port_for_two_sources_is_published_once() {
    let profile = every();
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let sources: Vec<&str> =
        plan.ports.iter().filter(|port| port.port == 25565).map(|port| port.source).collect();
    assert_eq!(sources, ["edge", "lan"]);
    let tree = rendered(&profile, &plan);
    let text = file(&tree, "etc/boxwright/services/amp/compose.yaml");
    let ports: Vec<&str> =
        text.lines().map(str::trim).filter(|line| line.starts_with("- \"0.0.0.0:")).collect();
    assert_eq!(ports, ["- \"0.0.0.0:25565:25565/tcp\"", "- \"0.0.0.0:27015:27015/udp\""]);
}
