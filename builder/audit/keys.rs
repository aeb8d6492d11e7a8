//! The keys that a Compose file and its containers may have: what the box's own pieces render and what `import` writes.
//! Compose knows more, and every version some more; whatever is not in these lists nobody has looked at.

use serde_json::Value;

use super::compose::Report;
use super::values::with_variable;

const OF_FILE: [&str; 4] = ["name", "networks", "secrets", "services"];

/// Keys of a container that a rule looks at, or that change nothing outside of it.
const OF_CONTAINER: [&str; 45] = [
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "container_name",
    "cpus",
    "depends_on",
    "devices",
    "dns",
    "entrypoint",
    "environment",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "labels",
    "logging",
    "mac_address",
    "mem_limit",
    "network_mode",
    "networks",
    "pid",
    "pids_limit",
    "ports",
    "privileged",
    "pull_policy",
    "read_only",
    "restart",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "working_dir",
];

/// What the second file, for machines with a graphics processor, may say besides.
const OF_ADDITION: [&str; 2] = ["devices", "group_add"];

/// Keys that bring in what is not in the file: it could not be checked.
const FOREIGN: [&str; 9] = [
    "build",
    "configs",
    "develop",
    "env_file",
    "extends",
    "external_links",
    "include",
    "label_file",
    "volumes_from",
];

/// Keys that only make sense as lists: in any other form the rules would see nothing in them.
const LISTS: [&str; 7] = ["cap_add", "cap_drop", "devices", "ports", "secrets", "security_opt", "volumes"];

/// What is rendered for a machine's graphics processor, and filled in when the service starts.
pub(super) const GPU_GROUP: &str = "${BOXWRIGHT_GPU_GROUP}";

/// The file's own keys, and that it is read as it will be run.
pub(super) fn of_file(file: &Value, report: &mut Report<'_>) {
    let entries = file.as_object().into_iter().flatten();
    // Volumes of Docker's own have their own rule.
    unlisted(entries.map(|(key, _)| key.as_str()).filter(|key| *key != "volumes"), &OF_FILE, report);
    if let Some(text) = with_variable(file, GPU_GROUP) {
        let message =
            format!("into `{text}` Compose would put a variable, and nobody can check what that is");
        report.add("variable", &message, "write the value itself, or `$$` for a dollar sign");
    }
}

/// The keys of a container of the main file, or of the one that adds to it.
pub(super) fn of_container(container: &Value, main: bool, report: &mut Report<'_>) {
    let entries = || container.as_object().into_iter().flatten();
    let listed = if main { OF_CONTAINER.as_slice() } else { &OF_ADDITION };
    unlisted(entries().map(|(key, _)| key.as_str()), listed, report);
    for (key, value) in entries().filter(|(key, value)| LISTS.contains(&key.as_str()) && !value.is_array()) {
        report.add("wrong-type", &format!("`{key}: {value}` is no list"), "write it as a list");
    }
}

fn unlisted<'a>(keys: impl Iterator<Item = &'a str>, listed: &[&str], report: &mut Report<'_>) {
    for key in keys.filter(|key| !listed.contains(key) && !key.starts_with("x-")) {
        if FOREIGN.contains(&key) {
            let message = format!("`{key}` brings in what is not in the file");
            report.add("foreign-definition", &message, "write it out, or use a rendered file");
        } else {
            let message = format!("`{key}` is not among the keys that a box allows");
            report.add("unlisted-key", &message, "remove it; overlays/services/README.md has the list");
        }
    }
}
