//! What lies beside an image is what the standards say, in the eyes of those who publish them, and says what is on the box.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests start programs and ask the environment")]

#[path = "support/built.rs"]
mod built;
#[path = "support/python.rs"]
mod python;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use boxwright::build::lock_of;
use boxwright::digest::Sha256;
use boxwright::lock::{Archive, Image, Lock, Package, SCHEMA};
use boxwright::provenance::{Document, OnBox, Origin, Program, Subject, Vendor, origin};
use serde_json::{Value, json};

/// Those who publish the formats publish these.
const TOOLS: [&str; 4] = [
    "spdx-tools==0.8.5",
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "in-toto-attestation==0.9.3",
    "packageurl-python==0.17.6",
];

fn package(name: &str, version: &str, architecture: &str, source: &str) -> Package {
    Package {
        name: name.into(),
        version: version.into(),
        architecture: architecture.into(),
        sha256: Sha256::of_bytes(name.as_bytes()),
        size: 7,
        path: format!("pool/main/{}/{source}/{name}_{architecture}.deb", &source[..1]),
        archive: "trixie".into(),
    }
}

/// A release with names and versions of every shape, and container images of every kind.
fn release() -> Origin {
    let digest = |text: &str| Sha256::of_bytes(text.as_bytes());
    let image = |reference: &str, known: bool| Image {
        reference: reference.into(),
        digest: known.then(|| format!("sha256:{}", digest(reference))),
        config: known.then(|| format!("sha256:{}", digest("config"))),
        ..Image::default()
    };
    let references = [
        "docker.io/library/nextcloud:34.0.4-apache",
        "ghcr.io/immich-app/immich-server:v2.1.0",
        "[::1]:5000/a/b:1",
    ];
    let lock = Lock {
        schema: SCHEMA,
        program: None,
        version: 2_026_112_101,
        time: 1_795_219_962,
        distribution: "debian-13".into(),
        platform: "uefi-x86_64".into(),
        request: digest("request"),
        archives: vec![Archive {
            id: "trixie".into(),
            role: "main".into(),
            suite: "trixie".into(),
            components: vec!["main".into()],
            release_sha256: digest("release"),
            date: None,
        }],
        keys: vec![],
        sources: vec![],
        packages: vec![
            package("base-files", "13.8+deb13u2", "amd64", "base-files"),
            package("g++", "4:14.2.0-1", "amd64", "gcc-defaults"),
            package("libstdc++6", "14.2.0-19~bpo1", "amd64", "gcc-14"),
            package("tzdata", "2025b-4+deb13u1", "all", "tzdata"),
        ],
        tools: vec![
            package("mtools", "4.0.48-1", "amd64", "mtools"),
            package("shim-signed", "1.47", "amd64", "shim-signed"),
        ],
        machine: vec![package("seabios", "1.16.3-2", "all", "seabios")],
        images: vec![image(references[0], true), image(references[1], false), image(references[2], true)],
    };
    Origin {
        schema: origin::SCHEMA,
        name: "attic".into(),
        release: digest("release"),
        program: Program { version: "0.1.0".into(), sources: "0123456789abcdef".into() },
        profile: digest("profile"),
        overlays: digest("overlays"),
        firmware: digest("firmware"),
        vendor: Vendor {
            id: "debian".into(),
            architecture: "amd64".into(),
            suppliers: [("trixie".to_owned(), "Debian".to_owned())].into(),
        },
        boot: vec!["shim-signed".into()],
        images: references
            .iter()
            .enumerate()
            .map(|(index, reference)| OnBox { reference: (*reference).to_owned(), embedded: index == 0 })
            .collect(),
        lock,
    }
}

/// Writes the documents of [`release`]; their paths in the order of [`Document::ALL`].
fn written(folder: &Path) -> Vec<PathBuf> {
    let origin = release();
    let digest = Sha256::of_bytes(b"image");
    let subject = Subject { origin: &origin, file: "attic.img", sha256: digest, content: digest };
    let write = |document: Document| {
        let path = document.path(&folder.join("attic.img"));
        fs::write(&path, document.text(&subject).unwrap()).unwrap();
        path
    };
    Document::ALL.map(write).into()
}

/// What the tools find wrong with the documents at `paths`.
fn wrong(python: &Path, paths: &[PathBuf]) -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provenance/validate.py");
    let output = Command::new(python).arg(script).args(paths).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout);
    assert!(!said.trim().is_empty() || output.status.success(), "{}", text(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn the_tools_of_the_standards_accept_the_documents_and_no_broken_ones() {
    let Some(python) = python::with("standards", &TOOLS) else { return };
    let folder = tempfile::tempdir().unwrap();
    let paths = written(folder.path());
    if let Err(said) = wrong(&python, &paths) {
        panic!("{said}");
    }
    let broken: [(usize, &str, Value); 9] = [
        (0, "/creationInfo/created", json!("yesterday")),
        (0, "/packages/1/SPDXID", json!("SPDXRef-g++")),
        (0, "/relationships/1/relatedSpdxElement", json!("SPDXRef-Nobody")),
        (0, "/packages/1/checksums/0/checksumValue", json!("12")),
        (1, "/serialNumber", json!("1")),
        (1, "/components/0/hashes/0/alg", json!("SHA256")),
        (1, "/dependencies/0/dependsOn/0", json!("nobody")),
        (2, "/subject/0/digest", json!({})),
        (2, "/predicate/runDetails/builder", json!({ "name": "boxwright" })),
    ];
    for (number, pointer, value) in broken {
        let mut document: Value = serde_json::from_slice(&fs::read(&paths[number]).unwrap()).unwrap();
        *document.pointer_mut(pointer).unwrap() = value;
        let path =
            folder.path().join("broken.json").with_extension(["spdx.json", "cdx.json", "json"][number]);
        fs::write(&path, document.to_string()).unwrap();
        let mut only = vec![PathBuf::from("-"); 3];
        only[number] = path;
        assert!(wrong(&python, &only).is_err(), "nobody minds {pointer}");
    }
}

/// The names, versions and architectures of the packages that the bill at `path` has directly in the image.
fn installed(bill: &Value) -> BTreeSet<String> {
    let contained: BTreeSet<&str> = bill["relationships"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["spdxElementId"] == "SPDXRef-Image" && one["relationshipType"] == "CONTAINS")
        .map(|one| one["relatedSpdxElement"].as_str().unwrap())
        .collect();
    let packages = bill["packages"].as_array().unwrap().iter();
    let inside = packages.filter(|one| contained.contains(one["SPDXID"].as_str().unwrap()));
    inside
        .filter_map(|one| {
            let purl = one["externalRefs"][0]["referenceLocator"].as_str()?;
            let (_, architecture) = purl.split_once("?arch=")?;
            purl.starts_with("pkg:deb/").then(|| {
                let architecture = architecture.split('&').next().unwrap();
                format!(
                    "{} {} {architecture}",
                    one["name"].as_str().unwrap(),
                    one["versionInfo"].as_str().unwrap()
                )
            })
        })
        .collect()
}

/// What dpkg's database says is installed in the root filesystem at `root`.
fn status(root: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap();
    let field = |paragraph: &str, name: &str| {
        let line = paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    };
    text.split("\n\n")
        .filter(|paragraph| field(paragraph, "Status") == "install ok installed")
        .map(|one| {
            format!("{} {} {}", field(one, "Package"), field(one, "Version"), field(one, "Architecture"))
        })
        .collect()
}

#[test]
fn what_lies_beside_an_image_is_about_that_image() {
    let Some(image) = built::minimal() else { return };
    let folder = image.parent().unwrap();
    // The sums are those of coreutils.
    let sums = image.with_extension("SHA256SUMS");
    let checked =
        Command::new("sha256sum").args(["--check", "--strict"]).arg(&sums).current_dir(folder).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let listed = fs::read_to_string(&sums).unwrap();
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name).collect();
    for name in
        ["minimal.cdx.json", "minimal.img", "minimal.lock", "minimal.manifest.json", "minimal.spdx.json"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    // The image says the same where it lies alone.
    let alone = tempfile::tempdir_in(built::folder()).unwrap();
    let copy = alone.path().join("minimal.img");
    let copied = Command::new("cp").arg("--sparse=always").arg(image).arg(&copy).status().unwrap();
    assert!(copied.success());
    for (document, flags) in
        Document::ALL.into_iter().zip([&["--sbom", "spdx"][..], &["--sbom", "cyclonedx"], &["--provenance"]])
    {
        let beside = fs::read_to_string(document.path(image)).unwrap();
        for image in [image, &copy] {
            let printed = built::call("inspect").arg(image).args(flags).output().unwrap();
            assert!(String::from_utf8(printed).unwrap() == beside, "{flags:?} of {}", image.display());
        }
    }
    let lock = boxwright::lock::load(&lock_of(image)).unwrap().unwrap();
    let report: Value =
        serde_json::from_slice(&built::call("inspect").arg(&copy).arg("--json").output().unwrap()).unwrap();
    assert_eq!(report["packages"].as_array().unwrap().len(), lock.packages.len());
    let bill: Value = serde_json::from_slice(&fs::read(Document::Spdx.path(image)).unwrap()).unwrap();
    let locked: BTreeSet<String> = lock
        .packages
        .iter()
        .map(|one| format!("{} {} {}", one.name, one.version, one.architecture))
        .collect();
    assert_eq!(installed(&bill), locked);
    if rustix::process::geteuid().is_root() {
        let root = built::root().unwrap();
        assert_eq!(installed(&bill), status(&root), "the bill and dpkg's own list");
    }
    if let Some(python) = python::with("standards", &TOOLS) {
        let paths = Document::ALL.map(|document| document.path(image));
        if let Err(said) = wrong(&python, &paths) {
            panic!("{said}");
        }
    }
}
