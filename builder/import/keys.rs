//! What becomes of each key of a container that is neither taken over nor translated.

/// A key that a box does not allow: its code, what is the matter, what to do.
pub(super) const FORBIDDEN: &[(&str, &str, &str, &str)] = &[
    (
        "build",
        "build",
        "it is built from sources here",
        "write the `image` that its makers publish: the lock names images by digest",
    ),
    (
        "env_file",
        "foreign-definition",
        "`env_file` brings in what is not in this file",
        "write what it holds under `environment`",
    ),
    ("extends", "foreign-definition", "`extends` brings in what is not in this file", "write it out here"),
    (
        "volumes_from",
        "foreign-definition",
        "`volumes_from` brings in what is not in this file",
        "write the volumes out here",
    ),
    ("label_file", "foreign-definition", "`label_file` brings in what is not in this file", "remove it"),
    (
        "external_links",
        "foreign-definition",
        "`external_links` reaches into another service",
        "remove it, and write `talks-to` in service.toml afterwards",
    ),
    (
        "links",
        "links",
        "`links` gives a container another name",
        "remove it, and use the container's own name",
    ),
    (
        "extra_hosts",
        "address-for-name",
        "`extra_hosts` puts an address where a name belongs",
        "remove it; machines at home are named in the profile's [network.hosts] and reached with `reach`",
    ),
    ("dns", "own-resolver", "names are looked up by the box", "remove it"),
    ("dns_search", "own-resolver", "names are looked up by the box", "remove it"),
    ("dns_opt", "own-resolver", "names are looked up by the box", "remove it"),
    ("pid", "host-namespace", "`pid` leaves its own namespace", "remove it"),
    ("uts", "host-namespace", "`uts` leaves its own namespace", "remove it"),
    ("userns_mode", "host-namespace", "`userns_mode` leaves its own namespace", "remove it"),
    ("cgroup_parent", "host-namespace", "`cgroup_parent` leaves its own namespace", "remove it"),
    (
        "device_cgroup_rules",
        "undeclared-device",
        "it would be given whole classes of devices",
        "list its `devices`",
    ),
    ("runtime", "runtime", "a box has one container runtime", "remove it"),
    ("credential_spec", "foreign-definition", "`credential_spec` is for Windows", "remove it"),
    (
        "configs",
        "foreign-definition",
        "`configs` is not taken over",
        "bind-mount the file instead: `./file:/path:ro`",
    ),
    (
        "profiles",
        "optional-container",
        "Compose starts it only when it is asked to",
        "remove this key, or the container",
    ),
    ("provider", "foreign-definition", "`provider` is run by Compose, not in a container", "remove it"),
    ("models", "foreign-definition", "`models` is run by Docker Desktop", "remove it"),
    ("use_api_socket", "docker-socket", "it would rule Docker, and with it the box", "remove it"),
];

/// A key that has no effect on a box, and why.
pub(super) const DROPPED: &[(&str, &str)] = &[
    ("container_name", "containers are called by the service's name"),
    ("hostname", "containers are called by the service's name"),
    ("domainname", "containers are called by the service's name"),
    ("restart", "the box starts containers, and starts them again"),
    ("logging", "the box rotates every log"),
    ("labels", "nothing on a box reads labels"),
    ("group_add", "the box gives the graphics processor's group, and no other"),
    ("annotations", "nothing on a box reads annotations"),
    ("pull_policy", "the lock says which bytes of an image run"),
    ("platform", "a box takes the images of its own processor"),
    ("attach", "the box starts containers in the background"),
    ("develop", "it is for developers of the image"),
    ("mac_address", "the box gives addresses"),
    ("cap_drop", "the box drops every capability that is not listed"),
];

/// Keys of Compose that limit or tune, for which a box has `limits` or nothing.
pub(super) const UNUSED: &[&str] = &[
    "blkio_config",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpuset",
    "isolation",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "oom_kill_disable",
    "oom_score_adj",
    "post_start",
    "pre_stop",
    "storage_opt",
];

/// Keys that stand in the template as they stand in the file.
pub(super) const KEPT: &[&str] =
    &["command", "entrypoint", "stdin_open", "stop_signal", "sysctls", "tty", "ulimits", "working_dir"];

/// Keys that are translated.
pub(super) const TAKEN: &[&str] = &[
    "cap_add",
    "cgroup",
    "cpus",
    "depends_on",
    "deploy",
    "devices",
    "environment",
    "expose",
    "gpus",
    "healthcheck",
    "image",
    "init",
    "ipc",
    "mem_limit",
    "network_mode",
    "networks",
    "pids_limit",
    "ports",
    "privileged",
    "read_only",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "tmpfs",
    "user",
    "volumes",
];

/// The known key that is most like `key`.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let forbidden = FORBIDDEN.iter().map(|row| row.0);
    let all = forbidden.chain(DROPPED.iter().map(|row| row.0)).chain(UNUSED.iter().copied());
    let all = all.chain(KEPT.iter().copied()).chain(TAKEN.iter().copied());
    let likeness =
        all.map(|known| (strsim::jaro_winkler(key, known), known)).filter(|(likeness, _)| *likeness > 0.8);
    likeness.max_by(|left, right| left.0.total_cmp(&right.0)).map(|(_, known)| known)
}
