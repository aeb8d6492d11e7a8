//! One planned container: the catalog's [`Container`] with everything filled in.

use serde::Serialize;

use crate::catalog::{Container, DiskFolder, Health, Limits, Service, User};
use crate::profile::{Protocol, ServiceUse};

use super::service::DiskPlan;

/// One container as it will run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContainerPlan {
    /// Its key in the service: the name of the Compose service.
    pub key: String,
    /// Its name on the box and its host name in every network that it is on.
    pub name: String,
    /// The image's registry, repository and tag.
    pub image: String,
    /// The user id that its process has in the end.
    pub uid: u32,
    /// The group id that its process has in the end.
    pub gid: u32,
    /// `uid:gid` where it is started as that, nothing where it starts as root and changes by itself.
    pub user: Option<String>,
    /// Whether it is the one with the service's name.
    pub main: bool,
    /// What it keeps of Docker's capabilities.
    pub capabilities: Vec<String>,
    /// Whether its root filesystem is read-only.
    pub read_only: bool,
    /// Whether its processes can never gain privileges.
    pub no_new_privileges: bool,
    /// Memory filesystems.
    pub tmpfs: Vec<String>,
    /// What it keeps or reads.
    pub volumes: Vec<VolumePlan>,
    /// Devices.
    pub devices: Vec<String>,
    /// Whether it gets the graphics processor where the machine has one.
    pub gpu: bool,
    /// Whether its way out is the service's.
    pub egress: bool,
    /// Whether it is only on the service's private network.
    pub private: bool,
    /// The container whose network namespace it lives in; then it has no networks and ports of its own.
    pub namespace: Option<String>,
    /// The networks that it is on.
    pub networks: Vec<NetworkUse>,
    /// The ports that the box publishes for it, and for whatever lives in its namespace.
    pub ports: Vec<PublishedPort>,
    /// How one sees that it works.
    pub health: Health,
    /// What it may use.
    pub limits: Limits,
    /// Whether a small init collects its dead processes.
    pub init: bool,
    /// Size of `/dev/shm`.
    pub shm_size: Option<String>,
    /// How long it may take to stop.
    pub stop: String,
    /// Other containers of the service that must be healthy first.
    pub after: Vec<String>,
    /// The names of the service's secrets that it gets, each as `/run/secrets/<name>`.
    pub secrets: Vec<String>,
    /// The files on the box that these are.
    pub secret_files: Vec<SecretFile>,
    /// Further environment variables that the profile gives it.
    pub environment: std::collections::BTreeMap<String, String>,
}

/// A secret's file on the box, as one container gets it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SecretFile {
    /// What the service's Compose file calls it.
    pub source: String,
    /// Where it is on the box.
    pub path: String,
    /// The secret's name, and the file's in the container.
    pub name: String,
}

/// A network that a container is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkUse {
    /// The network.
    pub name: String,
    /// Other names that it has there: those of what lives in its namespace.
    pub aliases: Vec<String>,
}

/// A port that the box opens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PublishedPort {
    /// The port on the box.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: Protocol,
    /// The port in the container.
    pub container_port: u16,
    /// Who may use it: `lan` or `edge`.
    pub source: &'static str,
    /// The service that it belongs to.
    pub service: String,
    /// The container whose network namespace listens.
    pub container: String,
}

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    /// A folder on the state partition, made by the box.
    State,
    /// A data disk or a folder on it.
    Disk,
    /// A rendered file.
    Config,
    /// Docker's socket.
    Socket,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumePlan {
    /// What it is.
    pub kind: VolumeKind,
    /// Its absolute path on the box.
    pub source: String,
    /// The folder above it that only root can replace. None for a whole disk, and for what is no folder.
    pub top: Option<String>,
    /// What Docker is told of it: the same path, or a mount that no container can lead elsewhere. Other containers can write in
    /// what is above a folder of a disk or of another folder, and could put a link in its place; the box mounts what it finds
    /// there without following any.
    pub given: String,
    /// Its absolute path in the container.
    pub target: String,
    /// Whether it can only be read.
    pub read_only: bool,
    /// Owner of the folder, where the box makes it.
    pub uid: u32,
    /// Group of the folder, where the box makes it.
    pub gid: u32,
    /// Mode of the folder in octal, where the box makes it.
    pub mode: String,
    /// Whether the box makes it if it is missing: never a disk itself.
    pub make: bool,
}

/// Docker's socket on the box.
pub const DOCKER_SOCKET: &str = "/run/docker.sock";

/// Where the box mounts folders that containers could replace.
const FOLDERS: &str = "/run/boxwright/folders";

/// What planning a container looks at.
pub(super) struct Around<'a> {
    /// Its service.
    pub service: &'a Service,
    /// The profile's line.
    pub usage: &'a ServiceUse,
    /// The disks that the service works on.
    pub disks: &'a [DiskPlan],
    /// The container whose namespace is the way out, if the service's egress is the VPN.
    pub namespace: Option<&'a str>,
    /// The names of the secrets that the service has on this box.
    pub secrets: &'a [String],
}

impl Around<'_> {
    /// The numeric ids of `user`.
    fn ids(&self, user: User) -> (u32, u32) {
        match user {
            User::Ids(uid, gid) => (uid, gid),
            User::DiskOwner => self.disks.first().map_or((1000, 1000), |disk| (disk.uid, disk.gid)),
        }
    }

    fn volumes(&self, key: &str, container: &Container) -> Vec<VolumePlan> {
        let mut planned = Vec::new();
        let name = &self.service.name;
        let mounted = |index: usize| format!("{FOLDERS}/{name}/{key}-{index}");
        for volume in container.volumes.iter().filter(|one| !one.without_disk || self.disks.is_empty()) {
            let (uid, gid) = self.ids(volume.owner.unwrap_or(container.user));
            let one = |kind, source: String, target: &str, make| VolumePlan {
                kind,
                top: None,
                given: source.clone(),
                source,
                target: target.to_owned(),
                read_only: volume.read_only || kind == VolumeKind::Config,
                uid,
                gid,
                mode: volume.mode.clone().unwrap_or_else(|| "0700".to_owned()),
                make,
            };
            if let Some(folder) = &volume.state {
                let top = format!("/srv/state/{name}");
                let mut volume = one(VolumeKind::State, format!("{top}/{folder}"), &volume.at, true);
                if folder.contains('/') {
                    volume.given = mounted(planned.len());
                }
                volume.top = Some(top);
                planned.push(volume);
            }
            if let Some(file) = &volume.config {
                let source = format!("/etc/boxwright/services/{name}/{file}");
                planned.push(one(VolumeKind::Config, source, &volume.at, false));
            }
            let Some(folder) = &volume.disk else { continue };
            for disk in self.disks {
                let target = match self.disks {
                    [_] => volume.at.clone(),
                    _ => format!("{}/{}", volume.at, disk.name),
                };
                let source = match folder {
                    DiskFolder::Folder(folder) => format!("{}/{folder}", disk.path),
                    DiskFolder::Whole(_) => disk.path.clone(),
                };
                let make = matches!(folder, DiskFolder::Folder(_)) && !disk.read_only;
                let mut volume = one(VolumeKind::Disk, source, &target, make);
                volume.read_only |= disk.read_only;
                if matches!(folder, DiskFolder::Folder(_)) {
                    volume.top = Some(disk.path.clone());
                    volume.given = mounted(planned.len());
                }
                planned.push(volume);
            }
        }
        if container.docker_socket {
            planned.push(VolumePlan {
                kind: VolumeKind::Socket,
                source: DOCKER_SOCKET.to_owned(),
                top: None,
                given: DOCKER_SOCKET.to_owned(),
                target: "/var/run/docker.sock".to_owned(),
                read_only: false,
                uid: 0,
                gid: 0,
                mode: "0660".to_owned(),
                make: false,
            });
        }
        planned
    }

    /// The container `key` of the service; its networks and ports come later.
    pub fn container(&self, key: &str, container: &Container) -> ContainerPlan {
        let (uid, gid) = self.ids(container.user);
        let main = key == self.service.name;
        let name = if main { key.to_owned() } else { format!("{}-{key}", self.service.name) };
        let mut limits = container.limits.clone();
        if let Some(memory) = self.usage.memory.as_ref().filter(|_| main) {
            limits.memory.clone_from(memory);
        }
        let with_ids =
            |one: &String| one.replace("{uid}", &uid.to_string()).replace("{gid}", &gid.to_string());
        let given = |secret: &&String| {
            let spec = self.service.secrets.get(*secret);
            spec.is_some_and(|spec| {
                !spec.host_only
                    && (spec.containers.is_empty() || spec.containers.iter().any(|one| one == key))
            })
        };
        ContainerPlan {
            key: key.to_owned(),
            name,
            image: container.image.clone(),
            uid,
            gid,
            user: (!container.starts_as_root).then(|| format!("{uid}:{gid}")),
            main,
            capabilities: container.capabilities.clone(),
            read_only: container.read_only,
            no_new_privileges: container.no_new_privileges,
            tmpfs: container.tmpfs.iter().map(with_ids).collect(),
            volumes: self.volumes(key, container),
            devices: container.devices.clone(),
            gpu: container.gpu && self.usage.gpu,
            egress: container.egress,
            private: container.networks == crate::catalog::Networks::Private,
            namespace: self.namespace.filter(|_| container.egress).map(str::to_owned),
            networks: Vec::new(),
            ports: Vec::new(),
            health: container.health.clone(),
            limits,
            init: container.init,
            shm_size: container.shm_size.clone(),
            stop: container.stop.clone(),
            after: container.after.clone(),
            secrets: self.secrets.iter().filter(given).cloned().collect(),
            secret_files: Vec::new(),
            environment: if main { self.usage.env.clone() } else { Default::default() },
        }
    }
}
