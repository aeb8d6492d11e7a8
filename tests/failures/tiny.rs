//! Real packages, few enough for a box that is built again and again, from an archive of our own.
//!
//! The packages are those of the shipped profile `minimal`, as the tests' cache holds them; the base layer of the small
//! box is made once and linked into the cache of each test, so that only what a test takes away is made again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use boxwright::build::lock_of;
use boxwright::debian::deb::Deb;
use boxwright::digest::Sha256;
use boxwright::firmware::Distribution;
use boxwright::lock::{self, Lock, Package};
use rustix::fs::{FlockOperation, flock};

use crate::bench::{Project, Run, names};
use crate::built;
use crate::publisher::{self, DATE, Key, Listed, Suite, VALID_UNTIL, publish_listed};
use crate::server::Server;

/// What the initrd needs, and nothing else.
const BASE: [&str; 9] = [
    "initramfs-tools",
    "busybox",
    "zstd",
    "kmod",
    "cryptsetup-bin",
    "dmsetup",
    "e2fsprogs",
    "xfsprogs",
    "fdisk",
];

/// A package that is in the archive only. Its script changes what other packages brought, and says in no way which file. The first
/// of them is packed as soon as anything is, however slowly the rest follows.
const MEDDLER: publisher::Deb = publisher::Deb {
    name: "meddler",
    version: "1",
    fields: "Depends: libkmod2, dash",
    weight: 100,
    postinst: "#!/bin/sh\nset -e\ntouch -c /usr/bin/*\nfor file in /usr/share/doc/libkmod2/*; do echo changed >\"$file\"; done\n",
};

/// A package whose script writes down what [`CANARY`] is, packed.
const LEAKING: publisher::Deb = publisher::Deb {
    name: "leaking",
    version: "1",
    fields: "Depends: gzip, dash",
    weight: 100,
    postinst: "#!/bin/sh\nset -e\nprintf 'token o.canary7Q2wE5rT8yU1iO4pA' | gzip >/usr/share/doc/canary.gz\n",
};

/// A package whose script writes down what differs from build to build.
const PLANTING: publisher::Deb = publisher::Deb {
    name: "planting",
    version: "1",
    fields: "Depends: dash",
    weight: 100,
    postinst: include_str!("planting.sh"),
};

/// What nobody is to find anywhere.
pub const CANARY: &str = "o.canary7Q2wE5rT8yU1iO4pA";

/// A small box, and the archive that it comes from.
pub struct Tiny {
    pub server: Server,
    pub project: Project,
    all: Lock,
}

impl Tiny {
    /// A project with a cache in which everything is made. None, with a printed reason, where there are no packages.
    pub fn new() -> Option<Self> {
        static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let made = MADE.get_or_init(prepare).as_ref()?;
        let tiny = Self::described()?;
        link(made, &tiny.project.path("cache"));
        Some(tiny)
    }

    /// As [`Tiny::new`], with what fetches container images among the tools.
    pub fn with_containers() -> Option<Self> {
        let tiny = Self::described_with(&[])?;
        // Other tools, by other packages: nothing that is made for the usual box fits.
        link(&built::folder().join("cache/objects"), &tiny.project.path("cache/objects"));
        Some(tiny)
    }

    /// As [`Tiny::new`], with an empty cache. Most tests have no container images, and need no skopeo.
    fn described() -> Option<Self> {
        Self::described_with(&["skopeo"])
    }

    /// As [`Tiny::described`], without these tools.
    fn described_with(unneeded: &[&str]) -> Option<Self> {
        let all = lock::load(&lock_of(&built::locked("minimal")?)).unwrap().unwrap();
        let tiny = Self { server: Server::start(), project: Project::new(), all };
        // The index is made of what the packages say of themselves.
        for packages in [&tiny.all.packages, &tiny.all.tools] {
            lock::fetch(packages, &tiny.all, &built::context()).unwrap();
        }
        let key = Key::make();
        describe(&tiny.project, &key, &tiny.server.url, unneeded);
        let packages = tiny.all.packages.iter().chain(&tiny.all.tools);
        let mut listed: Vec<&Package> = packages.collect();
        listed.sort();
        listed.dedup();
        let mut files = BTreeMap::new();
        let own = [MEDDLER, LEAKING, PLANTING].map(|deb| deb.listed(&mut files));
        let stubs = stubs(&listed).into_iter().chain(own);
        let components = [("main", listed.into_iter().map(listing).chain(stubs).collect())];
        tiny.server.put_all(&files);
        let suite = Suite { name: "stable", codename: "one", by_hash: true, components: &[] };
        tiny.server.put_all(&publish_listed(&suite, &components, &key, |release| {
            release
                .replace(DATE, "Thu, 01 Jan 2026 00:00:00 UTC")
                .replace(VALID_UNTIL, "Fri, 01 Jan 2100 00:00:00 UTC")
        }));
        Some(tiny)
    }

    /// Puts the package `name`, `meddler`, `leaking` or `planting`, into the box.
    pub fn add_package(&self, name: &str) {
        let path = self.project.path("firmware/test-1/distribution.toml");
        let text = fs::read_to_string(&path).unwrap();
        let changed = text.replace("\"fdisk\"", &format!("\"fdisk\", {name:?}"));
        assert_ne!(changed, text);
        fs::write(path, changed).unwrap();
    }

    pub fn build(&self) -> Run {
        self.project.run(&["build", "box"])
    }

    /// Builds, and returns the digest of the image; the image is taken away again.
    pub fn image(&self) -> Sha256 {
        let image = self.project.path(self.build().fine());
        let digest = Sha256::of_file(&image).unwrap();
        for name in names(&self.project.path("out")) {
            fs::remove_file(self.project.path("out").join(name)).unwrap();
        }
        digest
    }

    /// Whatever is neither finished nor meant to be continued in the cache and in `out`.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for folder in ["out", "cache", "cache/base", "cache/tools", "cache/profile", "profiles"] {
            let names = self.project.names(folder);
            let bad = names.into_iter().filter(|name| name.starts_with('.'));
            found.extend(bad.map(|name| format!("{folder}/{name}")));
        }
        found
    }

    /// The package of that name.
    pub fn package(&self, name: &str) -> &Package {
        let mut packages = self.all.packages.iter().chain(&self.all.tools);
        packages.find(|package| package.name == name).unwrap()
    }

    /// Takes a package out of the cache; the server has it then.
    pub fn forget(&self, name: &str) -> &Package {
        let package = self.package(name);
        let digest = package.sha256.to_string();
        let place = self.project.path("cache/objects").join(&digest[..2]).join(digest);
        self.server.put(&format!("/{}", package.path), fs::read(&place).unwrap());
        fs::remove_file(place).unwrap();
        package
    }

    /// Takes the results of a stage (`base`, `tools`, `profile`) out of the cache.
    pub fn undo(&self, stage: &str) {
        let folder = self.project.path("cache").join(stage);
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
}

/// The cache with everything that the small box needs, made once for all runs of the tests.
fn prepare() -> Option<PathBuf> {
    let tiny = Tiny::described()?;
    let folder = built::folder();
    let guard = fs::File::create(folder.join("tiny.guard")).unwrap();
    flock(&guard, FlockOperation::LockExclusive).unwrap();
    let made = folder.join("tiny");
    link(&folder.join("cache/objects"), &made.join("objects"));
    // Those of former versions of the program and of the archive.
    if names(&made.join("base")).len() > 4 {
        fs::remove_dir_all(made.join("base")).unwrap();
    }
    symlink(&made, tiny.project.path("cache")).unwrap();
    tiny.build().fine();
    Some(made)
}

/// How an index lists the package, whose file the tests' cache has.
fn listing(package: &Package) -> Listed {
    let digest = package.sha256.to_string();
    let path = built::folder().join("cache/objects").join(&digest[..2]).join(digest);
    let control = Deb::open(&path).unwrap().control().unwrap().remove("control").unwrap();
    let mut control = String::from_utf8(control.content).unwrap().trim_end().to_owned();
    control.push('\n');
    Listed { control, path: package.path.clone(), size: package.size, sha256: package.sha256 }
}

/// Entries for what the tools need by name only, and that no file is fetched of.
fn stubs(listed: &[&Package]) -> Vec<Listed> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let distribution = Distribution::load(project, "debian-13").unwrap();
    let assumed = distribution.tools.assumed.into_iter();
    assumed
        .filter(|name| listed.iter().all(|package| package.name != *name))
        .map(|name| Listed {
            control: format!(
                "Package: {name}\nVersion: 9:9\nArchitecture: all\nDescription: none\n{}",
                // It is this that skopeo's packages ask for.
                if name == "containernetworking-plugins" {
                    "Provides: container-network-stack\n"
                } else {
                    ""
                }
            ),
            path: format!("pool/{name}"),
            size: 1,
            sha256: Sha256::of_bytes(name.as_bytes()),
        })
        .collect()
}

/// Writes a distribution that takes its packages from `url` alone and lacks the tools `unneeded`, and a platform without firmware.
fn describe(project: &Project, key: &Key, url: &str, unneeded: &[&str]) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware");
    let read =
        |path: &str| -> toml::Table { fs::read_to_string(shipped.join(path)).unwrap().parse().unwrap() };
    let mut distribution = read("debian-13/distribution.toml");
    let tools = distribution["tools"]["build"].as_array().unwrap();
    let tools: Vec<String> = tools.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let tools: Vec<String> = tools.into_iter().filter(|name| !unneeded.contains(&name.as_str())).collect();
    let mut set = |path: &[&str], value: &str| {
        let value: toml::Table = format!("value = {value}").parse().unwrap();
        let (last, folders) = path.split_last().unwrap();
        let table =
            folders.iter().fold(&mut distribution, |table, name| table[*name].as_table_mut().unwrap());
        table.insert((*last).to_owned(), value["value"].clone());
    };
    set(&["title"], "\"Test 1\"");
    set(&["id"], "\"test\"");
    set(&["codename"], "\"one\"");
    let archive = r#"[{ id = "stable", role = "main", suite = "stable", components = ["main"], origin = "Test", codename = "one" }]"#;
    set(&["archive"], archive);
    set(&["mirrors"], &format!("{{ main = [{url:?}] }}"));
    set(&["snapshot"], "{}");
    set(&["trust"], &format!("{{ keys = [\"key.asc\"], fingerprints = [{:?}] }}", key.fingerprint()));
    set(&["box", "base"], &format!("{BASE:?}"));
    set(&["tools", "build"], &format!("{tools:?}"));
    set(&["tools", "machine"], "[]");
    let mut platform = read("uefi-x86_64/platform.toml");
    for part in ["packages", "tools"] {
        platform.insert(part.into(), "test-1 = []".parse::<toml::Table>().unwrap().into());
    }
    platform.remove("microcode");
    for (name, file, text) in
        [("test-1", "distribution.toml", distribution), ("pc", "platform.toml", platform)]
    {
        let folder = project.path("firmware").join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(file), toml::to_string(&text).unwrap()).unwrap();
    }
    fs::write(project.path("firmware/test-1/key.asc"), key.armored()).unwrap();
}

/// Links every file below `from` into `to`, as far as it is not there.
pub fn link(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, target) = {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            (entry, target)
        };
        if entry.file_type().unwrap().is_dir() {
            link(&entry.path(), &target);
        } else if fs::symlink_metadata(&target).is_err() {
            fs::hard_link(entry.path(), &target).unwrap();
        }
    }
}
