//! Stand-ins for the real container images: small ones from busybox, under the real names, which answer on the real
//! ports and pass the real health checks. What they are is written in a label and in their file `/STAND-IN`.
//!
//! In: the catalog and a static busybox. Out: images as a registry holds them: manifest, configuration, layers. Equal
//! input gives equal bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use boxwright::catalog::{Catalog, Container, Service, User};
use boxwright::digest::Sha256;
use boxwright::tool::Tool;
use boxwright::tree::{Directories, Entry, Tree};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// The programs that all stand-ins have: path and text.
const PROGRAMS: [(&str, &str); 14] = [
    ("stand-in/diun", include_str!("standin/diun")),
    ("stand-in/entrypoint", include_str!("standin/entrypoint")),
    ("stand-in/serve", include_str!("standin/serve")),
    ("stand-in/answer", include_str!("standin/answer")),
    ("stand-in/healthcheck", include_str!("standin/healthcheck")),
    ("stand-in/idle", include_str!("standin/idle")),
    ("stand-in/pg", include_str!("standin/pg")),
    ("stand-in/nothing", include_str!("standin/nothing")),
    ("stand-in/postgres", include_str!("standin/postgres")),
    ("stand-in/qbittorrent", include_str!("standin/qbittorrent")),
    ("stand-in/valkey", include_str!("standin/valkey")),
    ("stand-in/vpn", include_str!("standin/vpn")),
    ("gluetun-entrypoint", include_str!("standin/gluetun-entrypoint")),
    ("usr/local/bin/cloudflared", include_str!("standin/cloudflared")),
];
/// Programs in `/usr/local/bin` under the names of the real ones: name and text.
const COMMANDS: [(&str, &str); 3] = [
    ("curl", include_str!("standin/curl")),
    ("valkey-cli", include_str!("standin/valkey-cli")),
    ("redis-cli", include_str!("standin/valkey-cli")),
];
/// Other names: path and where it leads.
const LINKS: [(&str, &str); 16] = [
    ("usr/local/bin/diun", "/stand-in/diun"),
    ("usr/local/bin/pnpm", "/stand-in/entrypoint"),
    ("opt/entrypoint/main.sh", "/stand-in/entrypoint"),
    ("cron.sh", "stand-in/idle"),
    ("healthcheck.sh", "stand-in/healthcheck"),
    ("usr/local/bin/healthcheck.sh", "/stand-in/healthcheck"),
    ("usr/local/bin/immich-healthcheck", "/stand-in/healthcheck"),
    ("opt/app/healthcheck.sh", "/stand-in/healthcheck"),
    ("usr/local/bin/pg_isready", "/stand-in/pg"),
    ("usr/local/bin/pg_dump", "/stand-in/pg"),
    ("usr/local/bin/pg_dumpall", "/stand-in/pg"),
    ("usr/local/bin/pg_restore", "/stand-in/pg"),
    ("usr/local/bin/psql", "/stand-in/pg"),
    ("usr/local/bin/php", "/stand-in/nothing"),
    ("usr/local/bin/occ", "/stand-in/nothing"),
    ("var/www/html/occ", "/stand-in/nothing"),
];
/// Ports of images whose `service.toml` does not name them, by the last part of their repository.
const PORTS: [(&str, u16); 5] = [
    ("postgres", 5432),
    ("valkey", 6379),
    ("redis", 6379),
    ("mariadb", 3306),
    ("immich-machine-learning", 3003),
];

/// How a registry describes an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An OCI index of several architectures.
    OciIndex,
    /// Docker's list of several architectures.
    DockerList,
    /// Docker's manifest of one image.
    DockerSingle,
}

/// One image.
#[derive(Clone, Debug)]
pub struct Image {
    pub format: Format,
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
}

/// A layer: its digest unpacked, and its packed bytes.
#[derive(Clone)]
pub struct Layer {
    diff_id: String,
    gzip: Vec<u8>,
}

/// What an image is to do.
#[derive(Clone, Debug, Default)]
pub struct Role {
    name: String,
    user: String,
    starts_as_root: bool,
    ports: BTreeSet<u16>,
    state: BTreeSet<String>,
    data: BTreeSet<String>,
    config: BTreeSet<String>,
}

/// Real programs that an image has all the same.
pub struct Real {
    /// The image.
    pub reference: String,
    /// Their files. Images that have the same ones share them.
    pub layer: Layer,
    /// What the entrypoint starts instead of the stand-in, as the user that the real image becomes.
    pub program: Option<&'static str>,
    /// How Docker is to end it, if not with SIGTERM.
    pub stop_signal: Option<&'static str>,
}

/// A stand-in for every image that a service of the catalog names, by reference.
pub fn all(catalog: &Catalog, base: &Layer, real: &[Real]) -> BTreeMap<String, Image> {
    let mut roles: BTreeMap<String, Role> = BTreeMap::new();
    for service in catalog.iter() {
        for (key, container) in &service.containers {
            let role = roles.entry(container.image.clone()).or_default();
            role.add(service, key, container);
        }
    }
    let build = |(index, (reference, role)): (usize, (String, Role))| {
        let programs: Vec<&Real> = real.iter().filter(|one| one.reference == reference).collect();
        let image = role.image_with(&reference, base, &programs, super::registry::format_of(index));
        (reference, image)
    };
    roles.into_iter().enumerate().map(build).collect()
}

/// The programs that a health check may call in a stand-in, by name, besides busybox' own.
pub fn commands() -> BTreeSet<&'static str> {
    let last = |path: &'static str| path.rsplit('/').next().unwrap_or(path);
    let programs = PROGRAMS.iter().map(|(path, _)| last(path));
    programs
        .chain(COMMANDS.iter().map(|(name, _)| *name))
        .chain(LINKS.iter().map(|(path, _)| last(path)))
        .collect()
}

impl Role {
    fn add(&mut self, service: &Service, key: &str, container: &Container) {
        if self.name.is_empty() {
            self.name = key.to_owned();
            self.user = match container.user {
                User::Ids(uid, gid) => format!("{uid}:{gid}"),
                User::DiskOwner => "disk".to_owned(),
            };
            self.starts_as_root = container.starts_as_root;
        }
        if let Some(exposure) = &service.exposure
            && exposure.container.as_deref().unwrap_or(&service.name) == key
        {
            self.ports.insert(exposure.port);
        }
        let repository = container.image.rsplit_once(':').map_or("", |(name, _)| name);
        let known = PORTS.iter().find(|(name, _)| repository.ends_with(&format!("/{name}")));
        self.ports.extend(known.map(|(_, port)| *port));
        for volume in &container.volumes {
            let set = if volume.state.is_some() && !volume.read_only {
                &mut self.state
            } else if volume.config.is_some() {
                &mut self.config
            } else {
                &mut self.data
            };
            set.insert(volume.at.clone());
        }
    }

    /// The image that plays this role under the name `reference`.
    pub fn image(&self, reference: &str, base: &Layer, format: Format) -> Image {
        self.image_with(reference, base, &[], format)
    }

    fn image_with(&self, reference: &str, base: &Layer, real: &[&Real], format: Format) -> Image {
        let program = real.iter().find_map(|one| one.program);
        let made = if program.is_some() { "Debian's packages, started by busybox" } else { "busybox" };
        let about = format!("This is no {reference}.\nIt is a stand-in for tests, made from {made}.\n");
        let mut tree = Tree::new();
        tree.insert_file("STAND-IN", 0o444, about).unwrap();
        let own = Layer::of(tree);
        let layers: Vec<&Layer> =
            std::iter::once(base).chain(real.iter().map(|one| &one.layer)).chain([&own]).collect();
        let entrypoint = match self.name.as_str() {
            "gluetun" => json!(["/gluetun-entrypoint"]),
            "cloudflared" => json!(["cloudflared", "--no-autoupdate"]),
            _ => json!(["/stand-in/entrypoint"]),
        };
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        let user = if self.starts_as_root || self.user == "disk" { "" } else { &self.user };
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "User": user,
                "Env": [
                    "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin",
                    format!("STAND_IN={}", self.name),
                    format!("STAND_IN_USER={}", self.user),
                    format!("STAND_IN_PROGRAM={}", program.unwrap_or("/stand-in/serve")),
                    format!("STAND_IN_PORTS={}", ports.join(" ")),
                    format!("STAND_IN_STATE={}", list(&self.state)),
                    format!("STAND_IN_DATA={}", list(&self.data)),
                    format!("STAND_IN_CONFIG={}", list(&self.config)),
                ],
                "Entrypoint": entrypoint,
                "Healthcheck": self.health(),
                "StopSignal": real.iter().find_map(|one| one.stop_signal),
                "Labels": { "boxwright.stand-in": "true", "org.opencontainers.image.title": format!("stand-in for {reference}") },
            },
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>() },
            "history": layers.iter().map(|_| json!({ "created_by": "stand-in" })).collect::<Vec<_>>(),
        });
        let config = config.to_string().into_bytes();
        let layers: Vec<Vec<u8>> = layers.iter().map(|layer| layer.gzip.clone()).collect();
        let manifest = manifest(format, &config, &layers);
        Image { format, manifest, config, layers }
    }

    fn health(&self) -> Value {
        let test = match self.name.as_str() {
            "gluetun" => json!(["CMD", "/gluetun-entrypoint", "healthcheck"]),
            "cloudflared" => return Value::Null,
            _ => json!(["CMD", "/stand-in/healthcheck"]),
        };
        // Nanoseconds, as Docker writes them. While a container starts, Docker would ask each 5 s, which twenty containers under
        // emulation cannot bear; engines before 25 know no such interval.
        let (interval, start, timeout) = (10_000_000_000_u64, 20_000_000_000_u64, 20_000_000_000_u64);
        json!({ "Test": test, "Interval": interval, "StartInterval": start, "Timeout": timeout, "Retries": 6 })
    }
}

fn blob(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", Sha256::of_bytes(bytes)), "size": bytes.len() })
}

fn manifest(format: Format, config: &[u8], layers: &[Vec<u8>]) -> Vec<u8> {
    let (own, config_type, layer_type) = match format {
        Format::OciIndex => (
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        ),
        Format::DockerList | Format::DockerSingle => (
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ),
    };
    let layers: Vec<Value> = layers.iter().map(|layer| blob(layer_type, layer)).collect();
    let value = json!({ "schemaVersion": 2, "mediaType": own, "config": blob(config_type, config), "layers": layers });
    format!("{value:#}").into_bytes()
}

impl Image {
    /// The digest of its manifest, `sha256:…`.
    pub fn digest(&self) -> String {
        format!("sha256:{}", Sha256::of_bytes(&self.manifest))
    }

    /// The image's id, `sha256:…`.
    pub fn id(&self) -> String {
        format!("sha256:{}", Sha256::of_bytes(&self.config))
    }

    pub fn media_type(&self) -> &'static str {
        match self.format {
            Format::OciIndex => "application/vnd.oci.image.manifest.v1+json",
            _ => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    /// The list that its tag leads to, where it has one: other architectures come first in it, as in real ones.
    pub fn list(&self) -> Option<(&'static str, Vec<u8>)> {
        let media_type = match self.format {
            Format::OciIndex => "application/vnd.oci.image.index.v1+json",
            Format::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
            Format::DockerSingle => return None,
        };
        let entry = |bytes: &[u8], architecture: &str, os: &str| {
            let mut entry = blob(self.media_type(), bytes);
            entry["platform"] = json!({ "architecture": architecture, "os": os });
            entry
        };
        let manifests = [
            entry(b"another architecture", "arm64", "linux"),
            entry(b"an attestation", "unknown", "unknown"),
            entry(&self.manifest, "amd64", "linux"),
        ];
        let value = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        Some((media_type, format!("{value:#}").into_bytes()))
    }

    /// What `docker save` would write of it.
    pub fn archive(&self, reference: &str) -> Vec<u8> {
        let name = |bytes: &[u8]| Sha256::of_bytes(bytes).to_string();
        let layers: Vec<String> = self.layers.iter().map(|layer| name(layer)).collect();
        let listing = json!([{ "Config": name(&self.config), "RepoTags": [reference], "Layers": layers }]);
        let mut tree = Tree::new();
        tree.insert_file("manifest.json", 0o644, listing.to_string()).unwrap();
        for blob in self.blobs() {
            tree.insert_file(&name(blob), 0o644, blob).unwrap();
        }
        let mut bytes = Vec::new();
        tree.write_tar(&mut bytes, 0).unwrap();
        bytes
    }

    /// Configuration and layers.
    pub fn blobs(&self) -> impl Iterator<Item = &[u8]> {
        self.layers.iter().chain([&self.config]).map(Vec::as_slice)
    }
}

impl Layer {
    /// A layer of these files.
    pub fn of(mut tree: Tree) -> Self {
        tree.fill_directories(&Directories::new());
        let mut tar = Vec::new();
        tree.write_tar(&mut tar, 0).unwrap();
        let diff_id = format!("sha256:{}", Sha256::of_bytes(&tar));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        std::io::Write::write_all(&mut encoder, &tar).unwrap();
        Self { diff_id, gzip: encoder.finish().unwrap() }
    }

    /// The layer that all stand-ins share, with this static busybox.
    pub fn busybox(path: &Path) -> Self {
        let mut tree = programs();
        tree.insert_file("bin/busybox", 0o755, std::fs::read(path).unwrap()).unwrap();
        let applets = String::from_utf8(Tool::new(path).arg("--list").output().unwrap()).unwrap();
        for applet in applets.lines().filter(|applet| *applet != "busybox") {
            tree.insert_symlink(&format!("bin/{applet}"), "busybox").unwrap();
        }
        Self::of(tree)
    }

    /// A layer in place of it for tests that start no container.
    pub fn without_busybox() -> Self {
        Self::of(programs())
    }
}

/// The files of the shared layer, without busybox.
fn programs() -> Tree {
    let mut tree = Tree::new();
    for (path, text) in PROGRAMS {
        tree.insert_file(path, 0o755, text).unwrap();
    }
    for (name, text) in COMMANDS {
        tree.insert_file(&format!("usr/local/bin/{name}"), 0o755, text).unwrap();
    }
    for (path, target) in LINKS {
        tree.insert_symlink(path, target).unwrap();
    }
    for folder in ["dev", "etc", "proc", "sys", "usr/bin", "var/lib"] {
        tree.insert_dir(folder, 0o755).unwrap();
    }
    for folder in ["tmp", "run", "run/postgresql", "var/tmp"] {
        tree.insert(folder, Entry::dir(0o1777)).unwrap();
    }
    // busybox becomes only users that have a name, and a profile may choose any number.
    let (mut users, mut groups) = (String::from("root:x:0:0::/:/bin/sh\n"), String::from("root:x:0:\n"));
    for id in (1..=2000).chain([65532, 65534]) {
        users.push_str(&format!("u{id}:x:{id}:{id}::/:/bin/sh\n"));
        groups.push_str(&format!("g{id}:x:{id}:\n"));
    }
    tree.insert_file("etc/passwd", 0o644, users).unwrap();
    tree.insert_file("etc/group", 0o644, groups).unwrap();
    tree
}

/// The host's static busybox (Debian's package busybox-static), if it has one.
pub fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static", "/usr/bin/busybox.static"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| std::fs::read(path).is_ok_and(|bytes| is_static(&bytes)))
}

/// Whether an ELF program for x86-64 asks for no loader: no program header of the type `PT_INTERP` (3).
fn is_static(elf: &[u8]) -> bool {
    let number = |at: usize, size: usize| {
        let bytes = elf.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | *byte as usize))
    };
    let headers = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let Some((start, size, count)) = headers() else { return false };
    elf.starts_with(b"\x7fELF\x02")
        && (0..count).all(|index| number(start + index * size, 4).is_some_and(|kind| kind != 3))
}
