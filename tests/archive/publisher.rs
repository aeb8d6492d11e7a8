//! Makes a package archive as a distribution publishes it: .deb files, indexes, Release files signed with rPGP; and the
//! `firmware/` folder that describes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use boxwright::digest::Sha256;
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
    SubkeyParamsBuilder,
};
use pgp::types::{KeyDetails as _, Password};

/// The moment at which the tests run: 2026-11-21 00:00:00 UTC; the archive is made the day before.
pub const NOW: i64 = 1_795_219_200;
/// When the archive was made, in its Release files.
pub const DATE: &str = "Fri, 20 Nov 2026 00:00:00 UTC";
/// Until when it is valid.
pub const VALID_UNTIL: &str = "Fri, 27 Nov 2026 00:00:00 UTC";

/// A key with a subkey that signs, as distributions have.
pub struct Key(SignedSecretKey);

impl Key {
    pub fn make() -> Self {
        let subkey =
            SubkeyParamsBuilder::default().key_type(KeyType::Ed25519Legacy).can_sign(true).build().unwrap();
        let parameters = SecretKeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .primary_user_id("Test Archive <test@example.org>".into())
            .subkey(subkey)
            .build()
            .unwrap();
        Self(parameters.generate(rand::thread_rng()).unwrap())
    }

    pub fn armored(&self) -> String {
        self.0.to_public_key().to_armored_string(ArmorOptions::default()).unwrap()
    }

    pub fn fingerprint(&self) -> String {
        hex::encode_upper(self.0.primary_key.fingerprint().as_bytes())
    }

    pub fn sign(&self, text: &str) -> Vec<u8> {
        let key = &self.0.secret_subkeys[0].key;
        let message =
            CleartextSignedMessage::sign(rand::thread_rng(), text, key, &Password::empty()).unwrap();
        message.to_armored_bytes(ArmorOptions::default()).unwrap()
    }
}

/// A package to publish.
pub struct Deb {
    pub name: &'static str,
    pub version: &'static str,
    /// Further lines of the control file.
    pub fields: &'static str,
    /// The size of its only file, which makes the package large enough to be cut.
    pub weight: usize,
    /// What it runs when it is configured, if anything.
    pub postinst: &'static str,
}

pub const fn deb(name: &'static str, version: &'static str, fields: &'static str) -> Deb {
    Deb { name, version, fields, weight: 100, postinst: "" }
}

impl Deb {
    pub fn path(&self) -> String {
        format!("pool/main/{}_{}_amd64.deb", self.name, self.version.replace(':', "%3a"))
    }

    fn control(&self) -> String {
        let separator = if self.fields.is_empty() { "" } else { "\n" };
        format!(
            "Package: {}\nVersion: {}\nArchitecture: amd64\nMaintainer: Test <test@example.org>\n\
             Description: test\n more{separator}{}\n",
            self.name, self.version, self.fields
        )
    }

    /// How the index lists it; its file is added to `files`.
    pub fn listed(&self, files: &mut BTreeMap<String, Vec<u8>>) -> Listed {
        let (path, bytes) = (self.path(), self.bytes());
        let listed = Listed {
            control: self.control(),
            path: path.clone(),
            size: bytes.len() as u64,
            sha256: Sha256::of_bytes(&bytes),
        };
        files.insert(format!("/{path}"), bytes);
        listed
    }

    fn bytes(&self) -> Vec<u8> {
        let text = self.control();
        let mut members = vec![("./control", text.as_bytes())];
        if !self.postinst.is_empty() {
            members.push(("./postinst", self.postinst.as_bytes()));
        }
        let control = tar(&members);
        // Not compressible, so that the weight stays.
        let content: Vec<u8> = (0..self.weight).map(|n| ((n * 7919) ^ (n >> 3)) as u8).collect();
        let data = tar(&[(&format!("./usr/share/test-{}", self.name), &content)]);
        let mut bytes = b"!<arch>\n".to_vec();
        for (name, content) in
            [("debian-binary", &b"2.0\n"[..]), ("control.tar", &control), ("data.tar", &data)]
        {
            writeln!(bytes, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, content.len())
                .unwrap();
            bytes.extend(content);
            if content.len() % 2 == 1 {
                bytes.push(b'\n');
            }
        }
        bytes
    }
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// One suite to publish.
pub struct Suite<'a> {
    /// `stable`, in `dists/`.
    pub name: &'a str,
    pub codename: &'a str,
    pub by_hash: bool,
    pub components: &'a [(&'a str, &'a [Deb])],
}

/// A package as an index lists it, wherever its file is.
pub struct Listed {
    /// Its control file, which ends in a line break.
    pub control: String,
    /// Its path below the archive's base address.
    pub path: String,
    pub size: u64,
    pub sha256: Sha256,
}

/// All files of a suite below the archive's base address. `edit` may change the Release file before it is signed.
pub fn publish(suite: &Suite<'_>, key: &Key, edit: impl Fn(String) -> String) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let components: Vec<(&str, Vec<Listed>)> = suite
        .components
        .iter()
        .map(|(component, debs)| (*component, debs.iter().map(|deb| deb.listed(&mut files)).collect()))
        .collect();
    files.extend(publish_listed(suite, &components, key, edit));
    files
}

/// The indexes of a suite with these `components`, and its Release file; [`Suite::components`] are not looked at.
pub fn publish_listed(
    suite: &Suite<'_>,
    components: &[(&str, Vec<Listed>)],
    key: &Key,
    edit: impl Fn(String) -> String,
) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let folder = format!("/dists/{}", suite.name);
    let mut digests = String::new();
    for (component, packages) in components {
        let index = index(packages);
        let digest = Sha256::of_bytes(&index);
        writeln!(digests, " {digest} {} {component}/binary-amd64/Packages.xz", index.len()).unwrap();
        if suite.by_hash {
            files.insert(format!("{folder}/{component}/binary-amd64/by-hash/SHA256/{digest}"), index.clone());
        }
        files.insert(format!("{folder}/{component}/binary-amd64/Packages.xz"), index);
    }
    let release = format!(
        "Origin: Test\nLabel: Test\nSuite: {}\nCodename: {}\nDate: {DATE}\nValid-Until: {VALID_UNTIL}\n\
         Acquire-By-Hash: {}\nArchitectures: amd64\nComponents: main\nSHA256:\n{digests}",
        suite.name,
        suite.codename,
        if suite.by_hash { "yes" } else { "no" }
    );
    files.insert(format!("{folder}/InRelease"), key.sign(&edit(release)));
    files
}

/// The compressed index of `packages`.
fn index(packages: &[Listed]) -> Vec<u8> {
    let mut text = String::new();
    for Listed { control, path, size, sha256 } in packages {
        writeln!(text, "{control}Filename: {path}\nSize: {size}\nSHA256: {sha256}\n").unwrap();
    }
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The text of a shipped file, with some of its tables replaced.
fn derive(shipped: &str, replaced: &str) -> String {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware").join(shipped)).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    table.extend(replaced.parse::<toml::Table>().unwrap());
    toml::to_string(&table).unwrap()
}

/// The suites of the archive that [`describe`] names, signed with `key`; `stable` and `security` change their Release files
/// before. The security suite lacks the tree of files by digest, as mirrors may.
pub fn publish_both(
    (stable, of_stable): (&[Deb], impl Fn(String) -> String),
    (security, of_security): (&[Deb], impl Fn(String) -> String),
    key: &Key,
) -> BTreeMap<String, Vec<u8>> {
    let components = [("main", stable)];
    let suite = Suite { name: "stable", codename: "one", by_hash: true, components: &components };
    let mut files = publish(&suite, key, of_stable);
    let components = [("main", security)];
    let suite =
        Suite { name: "stable-security", codename: "one-security", by_hash: false, components: &components };
    files.extend(publish(&suite, key, of_security));
    files
}

/// Writes `firmware/` for a distribution `test-1` with the suites `stable` and `stable-security`, from `mirrors`.
pub fn describe(project: &Path, key: &Key, mirrors: &[&str], snapshot: Option<&str>) {
    let snapshot =
        snapshot.map_or(String::new(), |url| format!("main = \"{url}/archive/{{time}}/{{path}}\"\n"));
    let suite = |name: &str, codename: &str| {
        format!(
            "[[archive]]\nid = \"{name}\"\nrole = \"main\"\nsuite = \"{name}\"\ncomponents = [\"main\"]\n\
             origin = \"Test\"\ncodename = \"{codename}\"\n"
        )
    };
    let archives = suite("stable", "one") + &suite("stable-security", "one-security");
    let replaced = format!(
        "title = \"Test 1\"\nid = \"test\"\ncodename = \"one\"\n{archives}\
         [mirrors]\nmain = {mirrors:?}\n[snapshot]\n{snapshot}{}",
        small_sets(key)
    );
    write(project, "test-1", &derive("debian-13/distribution.toml", &replaced), key);
}

/// Writes `firmware/` with the shipped file for Ubuntu, but another key, another mirror and small package sets.
pub fn describe_ubuntu(project: &Path, key: &Key, mirror: &str) {
    let replaced = format!("[mirrors]\nmain = [{mirror:?}]\nsecurity = [{mirror:?}]\n{}", small_sets(key));
    write(project, "ubuntu-24.04", &derive("ubuntu-24.04/distribution.toml", &replaced), key);
}

fn small_sets(key: &Key) -> String {
    let paths: String = ["shim", "mok_manager", "systemd_boot", "ovmf_code", "ovmf_vars"]
        .into_iter()
        .chain(["ovmf_secure_code", "ovmf_secure_vars"])
        .map(|name| format!("{name} = \"x\"\n"))
        .collect();
    format!(
        "[trust]\nkeys = [\"key.asc\"]\nfingerprints = [\"{}\"]\n\
         [box]\nkernel = \"kernel\"\nbase = [\"server\"]\n[box.excluded]\nbad = \"it is bad\"\n\
         [tools]\nbuild = [\"packer\"]\nmachine = [\"emulator\"]\nassumed = [\"scripts\"]\n[tools.paths]\n{paths}",
        key.fingerprint()
    )
}

fn write(project: &Path, name: &str, distribution: &str, key: &Key) {
    let (folder, platform) = (project.join("firmware").join(name), project.join("firmware/pc"));
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(&platform).unwrap();
    fs::write(folder.join("key.asc"), key.armored()).unwrap();
    fs::write(folder.join("distribution.toml"), distribution).unwrap();
    let packages = format!("[packages]\n{name:?} = [\"microcode\"]\n[tools]\n{name:?} = [\"packer\"]\n");
    fs::write(platform.join("platform.toml"), derive("uefi-x86_64/platform.toml", &packages)).unwrap();
}
