//! The solver against apt: for what the shipped profiles can ask for, both choose the same packages in the same
//! versions from the same archive, starting from an empty system, without recommendations.
//!
//! Needs the host's apt and the archive; without them it says so and passes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use boxwright::context::Context;
use boxwright::lock::mirrors::{self, HostMirrors};
use boxwright::lock::{self, Package, PackageRequest, Wishes};
use boxwright::tool::Tool;
use boxwright::ui::{Mode, Ui};

/// Extra packages and features to ask for, besides what every box has.
const CASES: [(&str, &[&str], &[&str]); 3] = [
    ("every box", &[], &[]),
    ("all features", &[], &["btrfs", "exfat", "ntfs", "tpm", "wireguard"]),
    ("a mixed bag", &["nginx", "postfix", "samba", "default-jre-headless", "avahi-daemon"], &[]),
];

fn context(cache: &Path) -> Context {
    Context {
        project: Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(),
        cache: cache.to_owned(),
        ui: Ui::new(Mode::Lines, false),
        jobs: 2,
        mirror: None,
        registry_mirror: None,
        offline: false,
        days_ahead: 0,
    }
}

fn request(distribution: &str, packages: &[&str], features: &[&str]) -> PackageRequest {
    let owned = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    PackageRequest {
        distribution: distribution.into(),
        platform: "uefi-x86_64".into(),
        packages: owned(packages),
        features: owned(features),
    }
}

/// An apt with a state of its own, an empty system, and the suites of the distribution file.
struct Apt<'a> {
    folder: &'a Path,
}

impl<'a> Apt<'a> {
    fn new(folder: &'a Path, wishes: &Wishes) -> anyhow::Result<Self> {
        for part in
            ["lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d", "etc/parts"]
        {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(folder.join("status"), "")?;
        let host = HostMirrors::read(Path::new("/"));
        let distribution = &wishes.distribution;
        let mut sources = String::new();
        for archive in &distribution.archives {
            let mirror = mirrors::order(distribution, &archive.role, &[], &host).remove(0);
            let keys: Vec<String> = distribution
                .trust
                .keys
                .iter()
                .map(|key| distribution.folder.join(key).display().to_string())
                .collect();
            let suite = &archive.suite;
            sources += &format!(
                "deb [signed-by={}] {mirror} {suite} {}\n",
                keys.join(","),
                archive.components.join(" ")
            );
        }
        fs::write(folder.join("etc/sources.list"), sources)?;
        let root = folder.display();
        fs::write(
            folder.join("apt.conf"),
            format!(
                "Dir \"{root}/\";\nDir::State \"{root}/\";\nDir::State::status \"{root}/status\";\n\
                 Dir::State::lists \"{root}/lists\";\nDir::Cache \"{root}/cache\";\nDir::Etc \"{root}/etc\";\n\
                 Dir::Etc::sourceparts \"{root}/etc/parts\";\nDir::Etc::parts \"{root}/etc/apt.conf.d\";\n\
                 APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
                 APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n"
            ),
        )?;
        Ok(Self { folder })
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Tool::new("apt-get")
            .env("APT_CONFIG", self.folder.join("apt.conf").display().to_string())
            .env("LC_ALL", "C")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(arguments)
            .output()?;
        Ok(String::from_utf8(output)?)
    }

    /// What apt would install, by name.
    fn choose(&self, wanted: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
        let mut arguments = vec!["--simulate", "install", "?essential", "?priority(required)"];
        arguments.extend(wanted.iter().map(String::as_str));
        let text = self.run(&arguments)?;
        // Inst libc6 (2.41-12 Debian:13.2/stable [amd64])
        let line = |line: &str| {
            let mut words = line.strip_prefix("Inst ")?.split_whitespace();
            let (name, version) = (words.next()?, words.next()?);
            Some((name.to_owned(), version.trim_start_matches('(').to_owned()))
        };
        Ok(text.lines().filter_map(line).collect())
    }
}

fn versions(packages: &[Package]) -> BTreeMap<String, String> {
    packages.iter().map(|package| (package.name.clone(), package.version.clone())).collect()
}

fn now() -> i64 {
    // A test may look at the clock: it is an argument everywhere else.
    #[allow(clippy::disallowed_methods)]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// Compares both for each case: a title, extra packages, features.
fn compare(distribution: &str, cases: &[(&str, &[&str], &[&str])]) {
    let folder = tempfile::tempdir().unwrap();
    let (cache, state) = (folder.path().join("cache"), folder.path().join("apt"));
    let load = |request: &PackageRequest| request.load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let apt = Apt::new(&state, &load(&request(distribution, &[], &[]))).unwrap();
    if let Err(error) = apt.run(&["update", "--error-on=any"]) {
        println!("SKIPPED: no comparison with apt: {error:#}");
        return;
    }
    for (title, packages, features) in cases {
        let request = request(distribution, packages, features);
        let ours =
            versions(&lock::resolve_packages(&request, None, now(), &context(&cache)).unwrap().packages);
        let theirs = apt.choose(&load(&request).packages).unwrap();
        let both: BTreeSet<_> = ours.iter().chain(&theirs).collect();
        let differing: Vec<_> = both
            .into_iter()
            .filter(|(name, _)| ours.get(*name) != theirs.get(*name))
            .map(|(name, _)| format!("{name}: ours {:?}, apt's {:?}", ours.get(name), theirs.get(name)))
            .collect();
        assert!(differing.is_empty(), "{title}:\n{}", differing.join("\n"));
        println!("{title}: {} of {} packages equal", ours.len(), theirs.len());
    }
}

#[test]
fn choices_equal_those_of_apt() {
    compare("debian-13", &CASES);
}

#[test]
#[ignore = "reads 25 MB from Ubuntu's archive"]
fn choices_for_ubuntu_equal_those_of_apt() {
    compare("ubuntu-24.04", &[CASES[0], ("livepatch", &[], &["livepatch"])]);
}
