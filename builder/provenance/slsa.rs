//! Where an image comes from: a statement of in-toto (<https://in-toto.io/Statement/v1>) with SLSA's provenance v1
//! (<https://slsa.dev/spec/v1.0/provenance>).
//!
//! It says nothing of when and where: the clock is not read, and any machine makes the same bytes. The builder is the
//! program; who ran it is told by who signs.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::{Origin, Subject, purl, sha256};
use crate::lock::{Image, Package};

/// The statement about `subject`.
///
/// # Errors
/// If a name in the lock is none that a package can have.
pub fn statement(subject: &Subject<'_>) -> Result<Value> {
    let origin = subject.origin;
    let program = purl::program(&origin.program.version)?;
    Ok(json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": subject.file, "digest": { "sha256": subject.sha256 } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                // What the parameters mean is decided by the program's version.
                "buildType": format!("{program}#build"),
                "externalParameters": {
                    "profile": { "name": origin.name, "digest": { "sha256": origin.profile } },
                    "distribution": origin.lock.distribution,
                    "platform": origin.lock.platform,
                },
                "internalParameters": {
                    "content": subject.content,
                    "release": origin.release,
                    "version": origin.lock.version,
                    "time": origin.lock.time,
                    "request": origin.lock.request,
                    // Digests of folders: no file has them.
                    "overlays": origin.overlays,
                    "firmware": origin.firmware,
                },
                "resolvedDependencies": dependencies(origin)?,
            },
            "runDetails": {
                "builder": {
                    "id": program,
                    "version": { "boxwright": origin.program.version, "sources": origin.program.sources },
                },
            },
        },
    }))
}

/// Everything that went into the image or made it, by digest.
fn dependencies(origin: &Origin) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for archive in &origin.lock.archives {
        let name = format!("dists/{}/InRelease", archive.suite);
        found.push(dependency(&name, None, &archive.release_sha256.to_string(), "package list", []));
    }
    for package in &origin.lock.packages {
        found.push(deb(package, "package", origin)?);
    }
    for package in &origin.lock.tools {
        let kind = if origin.boot.contains(&package.name) { "boot program" } else { "tool" };
        found.push(deb(package, kind, origin)?);
    }
    for (on_box, known) in origin.box_images() {
        // One that is pulled by its tag is no input of the build.
        let Some((known, digest)) = known.and_then(|image| Some((image, sha256(image.digest.as_deref()?)?)))
        else {
            continue;
        };
        let purl = purl::image(&on_box.reference, Some(known), origin)?;
        let place = if on_box.embedded { "embedded image" } else { "pulled image" };
        let more = config(known);
        found.push(dependency(&on_box.reference, Some(&purl), &digest.to_string(), place, more));
    }
    Ok(found)
}

fn config(image: &Image) -> Option<(&'static str, Value)> {
    image.config.as_ref().map(|config| ("config", json!(config)))
}

fn deb(package: &Package, kind: &str, origin: &Origin) -> Result<Value> {
    let purl = purl::deb(package, origin)?;
    let more = [("archive", json!(package.archive)), ("path", json!(package.path))];
    Ok(dependency(&package.name, Some(&purl), &package.sha256.to_string(), kind, more))
}

/// A resource descriptor of in-toto.
fn dependency(
    name: &str,
    uri: Option<&str>,
    sha256: &str,
    kind: &str,
    more: impl IntoIterator<Item = (&'static str, Value)>,
) -> Value {
    let mut value = json!({ "name": name });
    if let Some(uri) = uri {
        value["uri"] = json!(uri);
    }
    value["digest"] = json!({ "sha256": sha256 });
    let mut annotations = Map::from_iter([("kind".to_owned(), json!(kind))]);
    annotations.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    value["annotations"] = Value::Object(annotations);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use crate::provenance::origin::tests::origin;

    #[test]
    fn every_input_is_named_with_its_digest() {
        let origin = origin();
        let digest = Sha256::of_bytes(b"image");
        let subject = Subject { origin: &origin, file: "attic.img", sha256: digest, content: digest };
        let statement = statement(&subject).unwrap();
        assert_eq!(statement["subject"][0]["digest"]["sha256"], json!(digest));
        let found = statement["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
        let names: Vec<(&str, &str)> = found
            .iter()
            .map(|one| (one["annotations"]["kind"].as_str().unwrap(), one["name"].as_str().unwrap()))
            .collect();
        let wanted = [
            ("package list", "dists/trixie/InRelease"),
            ("package", "libstdc++6"),
            ("package", "tzdata"),
            ("boot program", "shim-signed"),
            ("tool", "squashfs-tools"),
            ("embedded image", "docker.io/library/nextcloud:34.0.4-apache"),
        ];
        assert_eq!(names, wanted);
        assert!(found.iter().all(|one| one["digest"]["sha256"].as_str().is_some_and(|hex| hex.len() == 64)));
    }
}
