//! Volumes: state folders, folders of a data disk, and files that are copied into the service's folder.

use super::Import;
use super::container::Subject;
use super::names::label;
use super::yaml::{Node, Value};
use crate::catalog::{DiskFolder, Use, Volume};

/// Paths of a machine that no container of a box sees.
const FORBIDDEN: [&str; 14] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/run",
    "/var/lib/docker",
];
/// Paths under which machines mount their data disks.
const OF_DISKS: [&str; 9] =
    ["/data", "/export", "/media", "/mnt", "/pool", "/srv", "/storage", "/tank", "/volume"];
/// One entry of `volumes`.
pub(super) struct Mount {
    kind: String,
    source: Option<String>,
    pub(super) target: String,
    pub(super) read_only: bool,
}

impl Import<'_> {
    pub(super) fn mounts(&mut self, subject: &Subject<'_>) {
        for item in subject.node.get("volumes").map(|node| self.report.items(node)).unwrap_or_default() {
            let Some(mount) = self.mount(item) else { continue };
            let target = mount.target.clone();
            if !target.starts_with('/') || target.contains("..") {
                let message = format!("`{target}` is no absolute path in the container");
                self.report.error(&item.span, "bad-volume", message, "write `source:/path`");
                continue;
            }
            match (mount.kind.as_str(), mount.source.clone()) {
                ("tmpfs", _) => self.with(&subject.key, |container| container.tmpfs.push(target)),
                ("bind" | "volume", Some(source)) if is_path(&source) => {
                    self.bind(subject, item, &source, &mount)
                }
                ("bind" | "volume", source) => {
                    let name = source.unwrap_or_else(|| label(target.rsplit('/').next().unwrap_or_default()));
                    self.state(subject, item, &name, &mount);
                }
                (kind, _) => {
                    let message = format!("a volume of the type `{kind}` is nothing that a box has");
                    self.report.error(
                        &item.span,
                        "bad-volume",
                        message,
                        "write `name:/path` or `./folder:/path`",
                    );
                }
            }
        }
    }

    /// Either form of an entry.
    fn mount(&mut self, item: &Node) -> Option<Mount> {
        if let Value::Map(entries) = &item.value {
            for (key, _) in entries {
                match key.text.as_str() {
                    "type" | "source" | "target" | "read_only" => {}
                    "bind" | "volume" | "tmpfs" | "consistency" => {
                        self.report.once(
                            &key.span,
                            "dropped-key",
                            format!("`{}` of a volume is left out: the box mounts it its own way", key.text),
                        );
                    }
                    other => self.report.error(
                        &key.span,
                        "unknown-key",
                        format!("unknown key `{other}`"),
                        "remove it",
                    ),
                }
            }
            let read_only = item.get("read_only").is_some_and(|node| self.report.flag(node));
            let mut of = |key: &str| item.get(key).and_then(|node| self.report.text(node));
            let (kind, source) = (of("type").unwrap_or("volume".to_owned()), of("source"));
            let Some(target) = of("target") else {
                self.report.error(
                    &item.span,
                    "bad-volume",
                    "it does not say where it is in the container",
                    "add `target`",
                );
                return None;
            };
            return Some(Mount { kind, source, target, read_only });
        }
        let text = self.report.text(item)?;
        let mut parts = text.split(':');
        let (first, second, options) =
            (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
        let read_only = options.split(',').any(|option| option == "ro");
        for option in options.split(',').filter(|option| !["", "ro", "rw"].contains(option)) {
            if ["shared", "rshared", "slave", "rslave"].contains(&option) {
                let message = format!("`{option}` would let mounts pass between the box and the container");
                self.report.error(&item.span, "bad-volume", message, "remove it");
            } else {
                self.report.once(
                    &item.span,
                    "dropped-key",
                    format!("the option `{option}` of a volume is left out: the box mounts it its own way"),
                );
            }
        }
        let (source, target) = match second {
            Some(target) => (Some(first.to_owned()), target),
            None => (None, first),
        };
        Some(Mount { kind: "volume".to_owned(), source, target: target.to_owned(), read_only })
    }

    /// A folder under /srv/state.
    pub(super) fn state(&mut self, subject: &Subject<'_>, item: &Node, name: &str, mount: &Mount) {
        let fit = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(fit) {
            self.report.error(
                &item.span,
                "bad-volume",
                format!("`{name}` is no name of a volume"),
                "write `name:/path`",
            );
            return;
        }
        let folder = name.to_owned();
        let volume = Volume { read_only: mount.read_only, ..blank(Some(folder), None, None, &mount.target) };
        self.add(subject, volume);
    }

    /// A path of the machine that the file was written for.
    fn bind(&mut self, subject: &Subject<'_>, item: &Node, source: &str, mount: &Mount) {
        let path = source.trim_end_matches('/');
        let below = |folder: &str| {
            path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if path.is_empty() || path.ends_with(".sock") {
            let (code, message) = match path {
                "" => ("foreign-path", "the whole machine would be in the container".to_owned()),
                _ if path.contains("docker") || path.contains("containerd") || path.contains("podman") => {
                    ("docker-socket", format!("{source} would give it Docker, and with it the box"))
                }
                _ => ("foreign-path", format!("{source} is a program's socket outside the container")),
            };
            self.report.error(
                &item.span,
                code,
                message,
                "remove it, or the container that cannot do without",
            );
        } else if ["/etc/localtime", "/etc/timezone"].contains(&path) {
            self.report.once(
                &item.span,
                "dropped-key",
                "the machine's time zone is left out: the box sets TZ in every container",
            );
        } else if FORBIDDEN.iter().any(|folder| below(folder)) {
            let message = format!("{source} is the system's own, and another one on a box");
            self.report.error(&item.span, "foreign-path", message, "remove it");
        } else if path.starts_with('/')
            && OF_DISKS.iter().any(|folder| below(folder) || path.starts_with("/volume"))
        {
            self.disks.push((subject.key.clone(), path.to_owned(), mount.target.clone(), mount.read_only));
            self.disk = Use::Required;
            let message =
                format!("{source} becomes a folder on the data disk that the profile names for the service");
            self.report.once(&item.span, "data-disk", message);
        } else if path.starts_with('/') || path.starts_with('~') {
            let name = label(path.rsplit('/').next().unwrap_or_default());
            self.moves(item, source, &name);
            self.state(subject, item, &name, mount);
        } else {
            self.beside(subject, item, path, mount);
        }
    }

    pub(super) fn moves(&mut self, item: &Node, source: &str, folder: &str) {
        let message = format!(
            "{source} becomes the folder /srv/state/{}/{folder}, which is empty at first",
            self.names.service
        );
        self.report.once(&item.span, "data-stays", message);
    }

    pub(super) fn add(&mut self, subject: &Subject<'_>, volume: Volume) {
        self.with(&subject.key, |container| container.volumes.push(volume));
    }

    /// The folders of the data disk: what their paths on the old machine have in common is the disk.
    pub(super) fn disk_folders(&mut self) {
        let paths: Vec<Vec<String>> =
            self.disks.iter().map(|(_, path, ..)| path.split('/').map(str::to_owned).collect()).collect();
        let Some(first) = paths.first() else { return };
        let alike = |at: usize| paths.iter().all(|path| path.get(at) == first.get(at));
        let common = (0..first.len()).take_while(|at| alike(*at)).count();
        for ((key, _, target, read_only), path) in std::mem::take(&mut self.disks).into_iter().zip(&paths) {
            let rest = path.get(common..).unwrap_or_default().join("/");
            let folder = if rest.is_empty() { DiskFolder::Whole(true) } else { DiskFolder::Folder(rest) };
            let volume = Volume { read_only, ..blank(None, Some(folder), None, &target) };
            self.with(&key, |container| container.volumes.push(volume));
        }
    }
}

/// Whether the source of a volume is a path, not a name.
fn is_path(source: &str) -> bool {
    source.starts_with(['/', '.', '~'])
}

pub(super) fn blank(
    state: Option<String>,
    disk: Option<DiskFolder>,
    config: Option<String>,
    at: &str,
) -> Volume {
    Volume {
        state,
        disk,
        config,
        at: at.to_owned(),
        without_disk: false,
        read_only: false,
        owner: None,
        mode: None,
    }
}
