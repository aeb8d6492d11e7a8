//! What a container of a `service.toml` must obey beyond its types: image, capabilities, devices, volumes, health, limits.
//!
//! In: one container. Out: what is wrong and the path of keys to it.

use super::container::{Container, Volume};
use super::device::device_fault;
use super::rules::{Report, is_label, nearest};
use super::service::Service;

/// Tags that name another program every few weeks.
const FLOATING_TAGS: [&str; 12] = [
    "latest",
    "stable",
    "edge",
    "main",
    "master",
    "nightly",
    "beta",
    "develop",
    "public",
    "plexpass",
    "production",
    "release",
];

/// Docker's names of the capabilities (capabilities(7) without `CAP_`).
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Reports what is wrong with the container `key` of `service`.
pub(super) fn check(report: &mut Report, service: &Service, key: &str, container: &Container) {
    let at = ["containers", key];
    if !is_label(key) {
        report.add(
            &at,
            "service-name",
            format!("`{key}` is no host name: lower-case letters, digits and `-` only"),
        );
    }
    if let Some((message, help)) = image_fault(&container.image) {
        report.help(&["containers", key, "image"], "service-image", message, help);
    }
    for (index, capability) in container.capabilities.iter().enumerate() {
        if !CAPABILITIES.contains(&capability.as_str()) {
            let nearest = nearest(capability, CAPABILITIES.into_iter());
            let help = nearest
                .map_or("see capabilities(7), without `CAP_`".to_owned(), |near| format!("write `{near}`"));
            let path = ["containers", key, "capabilities", &index.to_string()];
            report.help(&path, "service-capability", format!("unknown capability `{capability}`"), help);
        }
    }
    for (index, device) in container.devices.iter().enumerate() {
        if let Some(message) = device_fault(device) {
            let path = ["containers", key, "devices", &index.to_string()];
            report.add(&path, "service-device", message);
        }
    }
    for (index, volume) in container.volumes.iter().enumerate() {
        volumes(report, &["containers", key, "volumes", &index.to_string()], volume);
    }
    if container.health.none && container.health.test.is_some() {
        let message = "both `none` and `test`".to_owned();
        report.help(&["containers", key, "health"], "service-health", message, "write only one of them");
    }
    let health = &container.health;
    let times =
        [health.interval.as_ref(), health.timeout.as_ref(), health.start.as_ref(), Some(&container.stop)];
    for time in times.into_iter().flatten() {
        if !is_number_with_unit(time, &["s", "m", "h"]) {
            let message = format!("`{time}` is not a duration");
            report.help(&at, "service-duration", message, "write it like `30s` or `2m`");
        }
    }
    for size in [Some(&container.limits.memory), container.shm_size.as_ref()].into_iter().flatten() {
        if !is_number_with_unit(size, &["m", "g"]) {
            let message = format!("`{size}` is not a size");
            report.help(&at, "service-size", message, "write it like `512m` or `2g`");
        }
    }
    for other in &container.after {
        if other == key || !service.containers.contains_key(other) {
            let message = format!("`{other}` is no other container of this service");
            report.add(&["containers", key, "after"], "service-container", message);
        }
    }
}

/// What is wrong with an image's name, and what to do.
pub fn image_fault(image: &str) -> Option<(String, String)> {
    if image.contains('@') {
        let message = format!("`{image}` has a digest: that is the lock's part");
        return Some((message, "write the name and the tag; `boxwright lock` adds the digest".to_owned()));
    }
    let registry = image.split_once('/').map(|(registry, _)| registry);
    if !registry.is_some_and(|registry| registry.contains('.') || registry.contains(':')) {
        let message = format!("`{image}` does not name its registry");
        return Some((
            message,
            format!("write `docker.io/{image}`, with `library/` for Docker's own images"),
        ));
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    let Some((_, tag)) = last.split_once(':') else {
        return Some((format!("`{image}` has no tag"), "add the version: `:1.2.3`".to_owned()));
    };
    FLOATING_TAGS.contains(&tag).then(|| {
        let message = format!("the tag `{tag}` is another program every few weeks");
        (message, "write the tag of one version".to_owned())
    })
}

fn volumes(report: &mut Report, path: &[&str], volume: &Volume) {
    let kinds = [volume.state.is_some(), volume.disk.is_some(), volume.config.is_some()];
    if kinds.iter().filter(|&&kind| kind).count() != 1 {
        let message = "a volume has exactly one of `state`, `disk` and `config`".to_owned();
        report.add(path, "service-volume", message);
    }
    if !volume.at.starts_with('/') || volume.at.contains("..") {
        report.add(
            path,
            "service-volume",
            format!("`{}` is not an absolute path in the container", volume.at),
        );
    }
    let relative = [volume.state.as_deref(), volume.config.as_deref(), volume.folder()];
    for part in relative.into_iter().flatten() {
        if part.is_empty()
            || part.starts_with('/')
            || part.split('/').any(|part| part.is_empty() || part == "..")
        {
            report.add(path, "service-volume", format!("`{part}` is not a relative path without `..`"));
        }
    }
    if let Some(mode) = &volume.mode
        && u32::from_str_radix(mode, 8).map_or(true, |mode| mode > 0o1777)
    {
        report.help(path, "service-volume", format!("`{mode}` is no mode"), "write it in octal: `0700`");
    }
}

fn is_number_with_unit(text: &str, units: &[&str]) -> bool {
    units.iter().filter_map(|unit| text.strip_suffix(unit)).any(|number| number.parse::<u32>().is_ok())
}
