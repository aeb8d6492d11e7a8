//! Container images: from a registry on this machine, through the real skopeo, into the files of the images layer.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use boxwright::context::Context;
use boxwright::digest::Sha256;
use boxwright::images::{Skopeo, Stored, fetch, resolve, write_layer};
use boxwright::lock::Image as Locked;
use boxwright::ui::Ui;

use support::registry::{Content, Fault, Registry, format_of};
use support::standin::{Image, Layer, Role};

const REFERENCES: [&str; 4] = [
    "docker.io/cloudflare/cloudflared:2026.8.2",
    "docker.io/library/nextcloud:34.0.4-apache",
    "ghcr.io/cloudflare/cloudflared:2026.8.2",
    "lscr.io/linuxserver/sonarr:4.0.19.2979-ls321",
];

fn images() -> BTreeMap<String, Image> {
    let base = Layer::without_busybox();
    let build = |(index, reference): (usize, &str)| {
        (reference.to_owned(), Role::default().image(reference, &base, format_of(index)))
    };
    REFERENCES.into_iter().enumerate().map(build).collect()
}

fn registry() -> Registry {
    let mut content = Content::default();
    for (reference, image) in images() {
        content.add(&reference, &image);
    }
    Registry::start(content)
}

fn references() -> BTreeSet<String> {
    REFERENCES.map(str::to_owned).into()
}

/// Where a skopeo is, unless this machine has none.
fn program() -> Option<PathBuf> {
    let found = ["/usr/bin/skopeo", "/usr/local/bin/skopeo"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: this machine has no skopeo");
    }
    found
}

fn context(cache: &Path, mirror: Option<String>) -> Context {
    Context {
        project: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        cache: cache.to_owned(),
        ui: Ui::silent(),
        jobs: 2,
        mirror: None,
        registry_mirror: mirror,
        offline: false,
        days_ahead: 0,
    }
}

fn layer(stored: &[Stored]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_layer(stored, &mut bytes, 1_763_683_962).unwrap();
    bytes
}

#[test]
fn tags_become_digests_of_the_image_for_the_box() {
    let Some(program) = program() else { return };
    let (registry, cache) = (registry(), tempfile::tempdir().unwrap());
    let context = context(cache.path(), Some(registry.mirror()));
    let skopeo = Skopeo::at(&program, &context).unwrap();
    let found = resolve(&references(), &skopeo, &context).unwrap();
    let expected: Vec<Locked> = images()
        .into_iter()
        .map(|(reference, image)| Locked {
            reference,
            digest: Some(image.digest()),
            config: Some(image.id()),
            size: Some(image.layers.iter().map(|layer| layer.len() as u64).sum()),
            platform: Some("linux/amd64".into()),
            resolved: None,
        })
        .collect();
    assert_eq!(found, expected);
    let asked = registry.requests();
    assert!(
        asked.iter().any(|line| line.contains("/v2/library/nextcloud/manifests/34.0.4-apache")),
        "{asked:?}"
    );
    assert!(
        asked.iter().any(|line| line.contains("/v2/ghcr.io/cloudflare/cloudflared/manifests/")),
        "{asked:?}"
    );
}

#[test]
fn the_layer_has_every_blob_once_and_the_same_bytes_each_time() {
    let Some(program) = program() else { return };
    let registry = registry();
    let mut layers = Vec::new();
    for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
        let cache = tempfile::tempdir().unwrap();
        let context = context(cache.path(), Some(registry.mirror()));
        let skopeo = Skopeo::at(&program, &context).unwrap();
        let locked = resolve(&references(), &skopeo, &context).unwrap();
        let locked: Vec<Locked> = order.map(|index: usize| locked[index].clone()).into();
        let stored = fetch(&locked, &skopeo, &context).unwrap();
        layers.push(layer(&stored));

        let before = registry.requests().len();
        let offline = Context { offline: true, ..context.clone() };
        assert_eq!(fetch(&locked, &skopeo, &offline).unwrap(), stored);
        assert_eq!(registry.requests().len(), before, "what is in the cache was fetched again");
    }
    assert_eq!(layers[0], layers[1]);

    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(layers[0].as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        assert!(files.insert(path, bytes).is_none());
    }
    let blobs = files.iter().filter_map(|(path, bytes)| Some((path.strip_prefix("blobs/sha256/")?, bytes)));
    let blobs: BTreeMap<&str, &Vec<u8>> = blobs.filter(|(name, _)| !name.is_empty()).collect();
    // A shared layer, and of each image its own layer, its configuration and its manifest.
    assert_eq!(blobs.len(), 1 + 3 * REFERENCES.len());
    for (name, bytes) in blobs {
        assert_eq!(Sha256::of_bytes(bytes).to_string(), name);
    }
    let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let names: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap())
        .collect();
    assert_eq!(names, REFERENCES);
}

#[test]
fn a_registry_out_of_reach_costs_little_and_the_build_goes_on() {
    let Some(program) = program() else { return };
    let registry = registry();
    registry.fault(Some(Fault::Silent));
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    for mirror in [registry.mirror(), closed] {
        let cache = tempfile::tempdir().unwrap();
        let context = context(cache.path(), Some(mirror));
        let skopeo = Skopeo::at(&program, &context).unwrap();
        let begin = Instant::now();
        let found = resolve(&references(), &skopeo, &context).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert_eq!(found.iter().map(|image| image.reference.as_str()).collect::<Vec<_>>(), REFERENCES);
        assert!(found.iter().all(|image| image.digest.is_none() && image.config.is_none()));
    }
    let cache = tempfile::tempdir().unwrap();
    let offline = Context { offline: true, ..context(cache.path(), Some(registry.mirror())) };
    let skopeo = Skopeo::at(&program, &offline).unwrap();
    let before = registry.requests().len();
    assert_eq!(resolve(&references(), &skopeo, &offline).unwrap().len(), REFERENCES.len());
    assert_eq!(registry.requests().len(), before);
}

#[test]
fn broken_answers_are_named() {
    let Some(program) = program() else { return };
    let registry = registry();
    let cache = tempfile::tempdir().unwrap();
    let context = context(cache.path(), Some(registry.mirror()));
    let skopeo = Skopeo::at(&program, &context).unwrap();
    let good = resolve(&references(), &skopeo, &context).unwrap();

    let unknown = BTreeSet::from(["docker.io/library/nextcloud:99".to_owned()]);
    let error = format!("{:#}", resolve(&unknown, &skopeo, &context).unwrap_err());
    assert!(error.contains("docker.io/library/nextcloud:99") && error.contains("unknown"), "{error}");

    let asked: [(Fault, &str); 3] = [
        (Fault::OtherManifest, "sha256:"),
        (Fault::Garbage, "reading the manifest"),
        (Fault::Status(401), "unauthorized"),
    ];
    for (fault, words) in asked {
        registry.fault(Some(fault.clone()));
        let error = format!("{:#}", resolve(&references(), &skopeo, &context).unwrap_err());
        assert!(error.contains("asking for the digest of "), "{fault:?}: {error}");
        assert!(error.contains(words), "{fault:?}: {error}");
        eprintln!("{fault:?}: {error}");
    }
    registry.fault(Some(Fault::Status(503)));
    assert!(resolve(&references(), &skopeo, &context).unwrap().iter().all(|image| image.digest.is_none()));

    for fault in [Fault::TruncatedBlob, Fault::ChangedBlob, Fault::Status(404), Fault::Status(503)] {
        registry.fault(Some(fault.clone()));
        let error = format!("{:#}", fetch(&good, &skopeo, &context).unwrap_err());
        assert!(error.contains("fetching the container image "), "{fault:?}: {error}");
        eprintln!("{fault:?}: {error}");
    }
    registry.fault(None);
    let stored = fetch(&good, &skopeo, &context).unwrap();
    assert_eq!(stored.len(), REFERENCES.len());

    // A cache that went bad is noticed where its bytes would reach the image, and heals.
    let folder = cache.path().join("containers");
    let name = &images()[REFERENCES[0]].layers[1];
    let path = folder.join(Sha256::of_bytes(name).to_string());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = format!("{:#}", write_layer(&stored, &mut std::io::sink(), 0).unwrap_err());
    assert!(error.contains("was damaged"), "{error}");
    let stored = fetch(&good, &skopeo, &context).unwrap();
    write_layer(&stored, &mut std::io::sink(), 0).unwrap();
    // Nothing but blobs is left behind.
    let left =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.len() != 64).collect::<Vec<_>>(), Vec::<String>::new());
}
