//! What is kept comes back, and nothing else.

use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::images::Skopeo;

fn put(path: PathBuf, bytes: &[u8]) -> Sha256 {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    Sha256::of_bytes(bytes)
}

/// A lock with one package and one tool, which the cache has.
fn lock(cache: &Path) -> Lock {
    let package = |name: &str| {
        let sha256 = Sha256::of_bytes(name.as_bytes());
        put(Cache::open(cache).unwrap().object(&sha256), name.as_bytes());
        Package {
            name: name.into(),
            version: "1".into(),
            architecture: "all".into(),
            sha256,
            size: name.len() as u64,
            path: format!("pool/main/{name}.deb"),
            archive: "trixie".into(),
        }
    };
    let (packages, tools) = (vec![package("box")], vec![package("tool"), package("box")]);
    let mut lock: Lock = toml::from_str(&format!(
        "schema = 1\nversion = 1\ntime = 0\ndistribution = \"debian-13\"\nplatform = \"uefi-x86_64\"\nrequest = \"{}\"\n\
         [[archives]]\nid = \"trixie\"\nrole = \"main\"\nsuite = \"trixie\"\ncomponents = []\nrelease_sha256 = \"{}\"",
        Sha256::of_bytes(b""),
        Sha256::of_bytes(b"")
    ))
    .unwrap();
    (lock.packages, lock.tools) = (packages, tools);
    lock
}

/// An image of one layer, which the cache has.
fn image(context: &Context, name: &str) -> Image {
    let blob = |text: &[u8]| {
        let digest = put(images::blob(context, Sha256::of_bytes(text)), text);
        json!({ "mediaType": "x", "digest": format!("sha256:{digest}"), "size": text.len() })
    };
    let (config, layer) = (blob(format!("{{\"for\": \"{name}\"}}").as_bytes()), blob(b"a layer"));
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] }).to_string();
    let digest = put(images::blob(context, Sha256::of_bytes(manifest.as_bytes())), manifest.as_bytes());
    let reference = format!("docker.io/library/{name}:1");
    Image { reference, digest: Some(format!("sha256:{digest}")), ..Image::default() }
}

#[test]
fn what_is_kept_comes_back_and_what_is_missing_or_another_is_named_at_once() {
    let [cache, kept] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let full = Context::of_cache(cache.path());
    let lock = lock(cache.path());
    let images: Vec<Image> = ["one", "two"].map(|name| image(&full, name)).into();
    let skopeo = Skopeo::at(Path::new("/nonexistent"), &full).unwrap();
    // One after the other, as by two profiles.
    for image in &images {
        let stored = images::fetch(std::slice::from_ref(image), &skopeo, &full).unwrap();
        assert_eq!(keep(&lock, &stored, kept.path(), &full).unwrap(), 2);
    }
    let index: Value =
        serde_json::from_slice(&fs::read(kept.path().join("containers/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    assert!(kept.path().join("pool/main/tool.deb").is_file());

    let other = tempfile::tempdir().unwrap();
    let empty = Context::of_cache(other.path());
    adopt(&lock, &images, kept.path(), &empty).unwrap();
    assert_eq!(lock::fetch(&packages(&lock), &lock, &empty).unwrap().len(), 2);
    assert_eq!(images::fetch(&images, &skopeo, &empty).unwrap().len(), 2);

    fs::write(kept.path().join("pool/main/box.deb"), "bad").unwrap();
    let layer = Sha256::of_bytes(b"a layer").to_string();
    fs::remove_file(kept.path().join("containers/blobs/sha256").join(&layer)).unwrap();
    let third = tempfile::tempdir().unwrap();
    let error = adopt(&lock, &images, kept.path(), &Context::of_cache(third.path())).unwrap_err();
    assert!(error.is::<InputError>());
    let text = error.to_string();
    assert!(
        text.contains("lacks 3 of") && text.contains("box 1: pool/main/box.deb") && text.contains(&layer),
        "{text}"
    );
    assert!(!text.contains("tool.deb"), "{text}");
    let object = Cache::open(third.path()).unwrap().object(&lock.packages[0].sha256);
    assert!(!object.exists(), "what has another digest is not taken");
    // What the cache has needs no folder.
    adopt(&lock, &images, kept.path(), &empty).unwrap();
}
