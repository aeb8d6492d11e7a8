//! What differs in two images: small ones, with the real profile layers of two shipped profiles.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use boxwright::boot::{Content, EspFile};
use boxwright::build::locking;
use boxwright::build::manifest::{self, Manifest};
use boxwright::digest::Sha256;
use boxwright::disk::{self, Parts, Role};
use boxwright::layers::{self, Layer, Sealing};
use boxwright::lock::{self, Lock};
use boxwright::provenance::Origin;
use boxwright::provenance::origin::{self, Program, Vendor};
use boxwright::tools::Tools;
use boxwright::tree::{Directories, Tree};
use serde_json::Value;
use tempfile::TempDir;

use super::{built, profiles, run};

const TIME: i64 = 1_790_000_000;

/// The lock that says which tools there are, and these. None, with a printed reason, where no archive can be reached.
fn surroundings() -> Option<&'static (Lock, Tools)> {
    static FOUND: OnceLock<Option<(Lock, Tools)>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let lock = lock::load(&built::locked("minimal")?.with_extension("lock")).unwrap().unwrap();
        let tools = locking::tools(&lock, &built::context()).unwrap();
        Some((lock, tools))
    });
    found.as_ref()
}

/// What says on the ESP what an image was made from.
fn origin(lock: &Lock) -> EspFile {
    let digest = Sha256::of_bytes(b"release");
    let origin = Origin {
        schema: origin::SCHEMA,
        name: "attic".into(),
        release: digest,
        program: Program { version: "0".into(), sources: "0".into() },
        profile: digest,
        overlays: digest,
        firmware: digest,
        vendor: Vendor { id: "debian".into(), architecture: "amd64".into(), suppliers: Default::default() },
        boot: vec![],
        images: vec![],
        lock: lock.clone(),
    };
    EspFile { path: origin.path(), content: Content::Bytes(origin.text().unwrap().into_bytes()) }
}

/// An image in `folder` whose profile layer has the files of `tree`, with its manifest and its lock beside it.
fn image(folder: &Path, name: &str, mut tree: Tree) -> PathBuf {
    let (lock, tools) = surroundings().unwrap();
    let context = built::context();
    tree.fill_directories(&Directories::new());
    let seal = |tree: &Tree, kind: &str| -> Layer {
        let target = folder.join(format!("{name}.{kind}"));
        let sealing = Sealing { target: &target, time: TIME, tools, context: &context };
        layers::seal(|mut stream| Ok(tree.write_tar(&mut stream, TIME)?), sealing).unwrap()
    };
    let mut base = Tree::new();
    base.insert_file("usr/lib/os-release", 0o644, name).unwrap();
    base.fill_directories(&Directories::new());
    let (base, profile) = (seal(&base, "base"), seal(&tree, "profile"));
    let (seed, esp) = (Sha256::of_bytes(name.as_bytes()), [origin(lock)]);
    let layers = [(Role::Base, &base), (Role::Profile, &profile)];
    let parts = Parts { seed: &seed, version: 7, time: TIME, layers: &layers, esp: &esp, secrets: None };
    let image = folder.join(name).with_extension("img");
    let made = disk::assemble(&parts, tools, &image).unwrap().commit().unwrap();
    lock::save(lock, &image.with_extension("lock")).unwrap();
    Manifest {
        schema: manifest::SCHEMA,
        name: name.to_owned(),
        release: seed,
        version: 7,
        time: TIME,
        distribution: lock.distribution.clone(),
        platform: lock.platform.clone(),
        encrypt: None,
        inputs: seed,
        parts: vec![],
        size: made.layout.total_bytes,
        written: made.written_bytes,
        fingerprint: manifest::fingerprint(&image).unwrap(),
        content: None,
        sha256: None,
        embedded: vec![],
        unresolved: vec![],
    }
    .save(&image)
    .unwrap();
    image
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("diff-").tempdir_in(built::folder()).unwrap()
}

/// Both paths, compared in the tests' cache.
fn compare(old: &Path, new: &Path) -> (Option<i32>, String, String) {
    let cache = built::folder().join("cache");
    let [old, new, cache] = [old, new, &cache].map(|path| path.to_str().unwrap());
    run(&["diff", old, new, "--json", "--cache", cache])
}

fn report(old: &Path, new: &Path) -> Value {
    let (code, stdout, stderr) = compare(old, new);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&stdout).unwrap()
}

/// The only sentence of what was not compared.
fn not_compared(report: &Value) -> &str {
    let sentences = report["not_compared"].as_array().unwrap();
    assert_eq!(sentences.len(), 1, "{sentences:?}");
    sentences[0].as_str().unwrap()
}

/// The report about the images is that about the profiles, as far as profiles and locks say something.
#[test]
fn images_differ_in_what_their_profiles_differ_in() {
    if surroundings().is_none() {
        return;
    }
    let folder = folder();
    let [minimal, servarr] =
        ["minimal", "servarr"].map(|name| image(folder.path(), name, profiles::rendered(name)));
    // The lock of one is in it alone.
    fs::remove_file(servarr.with_extension("lock")).unwrap();
    let found = report(&minimal, &servarr);
    assert_eq!(found["kind"], "image");
    assert_eq!((&found["not_compared"], &found["packages"]), (&Value::Array(vec![]), &Value::Array(vec![])));

    let (_profiles, minimal_toml, servarr_toml) = super::profiles_without_locks();
    let expected = report(Path::new(&minimal_toml), Path::new(&servarr_toml));
    for list in ["services", "hostnames", "ports", "networks", "units", "files"] {
        assert!(!found[list].as_array().unwrap().is_empty(), "{list}");
        assert_eq!(found[list], expected[list], "{list}");
    }
    let same = report(&servarr, &servarr);
    assert_eq!((&same["differs"], &same["not_compared"]), (&false.into(), &Value::Array(vec![])));
}

/// What cannot be read of an image is said, with the reason; the rest is compared.
#[test]
fn what_cannot_be_compared_of_images_is_said() {
    if surroundings().is_none() {
        return;
    }
    let folder = folder();
    let mut tree = profiles::rendered("minimal");
    let old = image(folder.path(), "old", tree.clone());
    tree.remove("etc/boxwright/services.json").unwrap();
    tree.insert_file("etc/boxwright/services.json", 0o644, r#"[{"name":"a"}]"#).unwrap();
    tree.insert_file("etc/more", 0o600, "more\n").unwrap();
    let new = image(folder.path(), "new", tree);
    let found = report(&old, &new);
    let said = not_compared(&found);
    assert!(said.starts_with("services, host names, ports and networks: in "), "{said}");
    assert!(said.contains("new.img, /etc/boxwright/services.json is of another Boxwright"), "{said}");
    let files = super::names(&found, "files", "path");
    assert_eq!(files, ["etc/boxwright/services.json", "etc/more"]);
    assert_eq!(found["files"][1]["diff"], "--- /dev/null\n+++ b/etc/more\n@@ -0,0 +1 @@\n+more\n");

    let cache = folder.path().join("cache");
    let paths = [&old, &new, &cache].map(|path| path.to_str().unwrap());
    let (code, stdout, stderr) = run(&["diff", paths[0], paths[1], "--offline", "--cache", paths[2]]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.contains("units and files: what reads them could not be had: fetching the tools"),
        "{stdout}"
    );
    assert!(stdout.ends_with("(--offline)\n") && !stdout.contains("etc/more"), "{stdout}");

    let packed = new.with_extension("img.zst");
    let found = report(&old, &packed);
    assert!(not_compared(&found).contains("new.img.zst is packed; `zstd -d "), "{found}");
    assert_eq!(found["files"], Value::Array(vec![]));
    fs::remove_file(&new).unwrap();
    let found = report(&old, &new);
    assert!(not_compared(&found).ends_with("new.img, but what lies beside it"), "{found}");
}

/// The lock in an image is the one that it was made from; the one beside it is for images that have none, or none that can be
/// read.
#[test]
fn the_lock_in_an_image_comes_first() {
    let Some((lock, _)) = surroundings() else { return };
    let folder = folder();
    let [old, new] = ["old", "new"].map(|name| image(folder.path(), name, profiles::rendered("minimal")));
    let fewer = Lock { packages: lock.packages[1..].to_vec(), ..lock.clone() };
    lock::save(&fewer, &new.with_extension("lock")).unwrap();
    let found = report(&old, &new);
    assert_eq!((&found["not_compared"], &found["packages"]), (&Value::Array(vec![]), &Value::Array(vec![])));

    let esp = disk::read(&new).unwrap().layout.find(Role::Esp).unwrap().start;
    let file = File::options().read(true).write(true).open(&new).unwrap();
    let mut bytes = vec![0; 32 << 20];
    file.read_exact_at(&mut bytes, esp).unwrap();
    let schema = b"{\"schema\":1,";
    let at = bytes.windows(schema.len()).position(|part| part == schema).unwrap() as u64;
    file.write_all_at(b"{\"schema\":7,", esp + at).unwrap();
    let found = report(&old, &new);
    let said = not_compared(&found);
    assert!(said.starts_with("the lock in ") && said.contains("schema 7"), "{said}");
    assert!(said.ends_with("the lock beside it was compared"), "{said}");
    assert_eq!(found["packages"].as_array().unwrap().len(), 1);
    fs::remove_file(new.with_extension("lock")).unwrap();
    let found = report(&old, &new);
    let said = found["not_compared"].to_string();
    assert!(said.contains("neither packages nor container images were"), "{said}");
}

/// One bit that neither the manifest's fingerprint nor unsquashfs may notice is enough.
#[test]
fn a_damaged_image_is_told_by_name() {
    if surroundings().is_none() {
        return;
    }
    let folder = folder();
    let old = image(folder.path(), "old", profiles::rendered("minimal"));
    let new = image(folder.path(), "new", profiles::rendered("minimal"));
    let place = disk::read(&new).unwrap().layout.find(Role::Profile).unwrap().start + 200;
    let file = File::options().read(true).write(true).open(&new).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 1], place).unwrap();
    let (code, stdout, stderr) = compare(&old, &new);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("new.img") && !stderr.contains("old.img"), "{stderr}");
    assert!(stderr.contains("it is damaged") && stderr.contains("build the image again"), "{stderr}");
}

/// An image may be anybody's: a layer that is larger than its partition, or is none, is an error like any other.
#[test]
fn what_is_no_layer_is_an_error() {
    if surroundings().is_none() {
        return;
    }
    let folder = folder();
    let old = image(folder.path(), "old", profiles::rendered("minimal"));
    let start = disk::read(&old).unwrap().layout.find(Role::Profile).unwrap().start;
    let file = File::options().write(true).open(&old).unwrap();
    for (at, bytes) in [(40, [0xff; 8]), (40, [0; 8]), (0, [0; 8])] {
        file.write_all_at(&bytes, start + at).unwrap();
        let (code, _, stderr) = compare(&old, &old);
        assert!(code == Some(1) && stderr.contains("old.img") && stderr.contains("damaged"), "{stderr}");
    }
}
