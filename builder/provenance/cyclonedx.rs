//! A bill of materials in CycloneDX 1.6, as JSON (<https://cyclonedx.org/docs/1.6/json/>, ECMA-424).
//!
//! The image is the component that the bill is about. Its components are the packages of the box, the container images, and
//! the component `boot` with the packages whose files are on the ESP. What is not known is left out.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Subject, purl, sha256, source};
use crate::debian::date;
use crate::lock::{Image, Package};
use crate::provenance::OnBox;

/// The name of the component with what is on the ESP.
const BOOT: &str = "boot";

/// The bill of `subject`.
///
/// # Errors
/// If a name in the lock is none that a package can have.
pub fn document(subject: &Subject<'_>) -> Result<Value> {
    let origin = subject.origin;
    let mut components =
        origin.lock.packages.iter().map(|package| deb(package, "", subject)).collect::<Result<Vec<_>>>()?;
    let boot = boot(subject)?;
    let containers =
        origin.box_images().map(|image| container(image, subject)).collect::<Result<Vec<_>>>()?;
    let (root, parts) = (image(subject)?, references(&boot["components"]));
    components.extend(parts.first().map(|_| boot));
    let unknown: Vec<String> = containers.iter().filter_map(reference).collect();
    components.extend(containers);
    let all = json!(components);
    let mut dependencies = vec![json!({ "ref": root["bom-ref"], "dependsOn": references(&all) })];
    if !parts.is_empty() {
        dependencies.push(json!({ "ref": BOOT, "dependsOn": parts }));
    }
    let mut compositions = vec![json!({ "aggregate": "complete", "assemblies": [root["bom-ref"]] })];
    if !unknown.is_empty() {
        // What is inside of a container image, nobody has looked at.
        compositions.push(json!({ "aggregate": "unknown", "assemblies": unknown }));
    }
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": subject.urn("cyclonedx")?,
        "version": 1,
        "metadata": {
            "timestamp": date::timestamp(origin.lock.time),
            "lifecycles": [{ "phase": "build" }],
            "tools": { "components": [program(subject)?] },
            "component": root,
        },
        "components": components,
        "dependencies": dependencies,
        "compositions": compositions,
    }))
}

fn reference(component: &Value) -> Option<String> {
    component["bom-ref"].as_str().map(str::to_owned)
}

fn references(components: &Value) -> Vec<String> {
    components.as_array().into_iter().flatten().filter_map(reference).collect()
}

fn hashes(digest: &impl ToString) -> Value {
    json!([{ "alg": "SHA-256", "content": digest.to_string() }])
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": format!("boxwright:{name}"), "value": value })
}

fn program(subject: &Subject<'_>) -> Result<Value> {
    let program = &subject.origin.program;
    Ok(json!({
        "type": "application",
        "name": "boxwright",
        "version": program.version,
        "purl": purl::program(&program.version)?,
        "properties": [property("sources", &program.sources)],
    }))
}

fn image(subject: &Subject<'_>) -> Result<Value> {
    let origin = subject.origin;
    Ok(json!({
        "type": "operating-system",
        "bom-ref": "image",
        "name": origin.name,
        "version": origin.lock.version.to_string(),
        "hashes": hashes(&subject.sha256),
        "purl": purl::disk_image(subject)?,
        "properties": [
            property("content", &subject.content.to_string()),
            property("distribution", &origin.lock.distribution),
            property("file", subject.file),
            property("platform", &origin.lock.platform),
            property("release", &origin.release.to_string()),
        ],
    }))
}

fn boot(subject: &Subject<'_>) -> Result<Value> {
    let packages = subject.origin.boot_packages();
    let components = packages.map(|package| deb(package, "boot/", subject)).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "type": "firmware",
        "bom-ref": BOOT,
        "name": BOOT,
        "version": subject.origin.lock.version.to_string(),
        "description":
            "Boot programs and microcode on the EFI system partition; their packages are not installed on the box",
        "components": components,
    }))
}

/// A package; `prefix` tells the same package in another place apart.
fn deb(package: &Package, prefix: &str, subject: &Subject<'_>) -> Result<Value> {
    let origin = subject.origin;
    let purl = purl::deb(package, origin)?;
    let mut value = json!({ "type": "library", "bom-ref": format!("{prefix}{purl}") });
    if let Some(supplier) = origin.supplier(package) {
        value["supplier"] = json!({ "name": supplier });
    }
    value["name"] = json!(package.name);
    value["version"] = json!(package.version);
    value["hashes"] = hashes(&package.sha256);
    value["purl"] = json!(purl);
    let mut properties = vec![property("archive", &package.archive), property("path", &package.path)];
    properties.extend(source(package).map(|source| property("source", source)));
    value["properties"] = json!(properties);
    Ok(value)
}

fn container((on_box, known): (&OnBox, Option<&Image>), subject: &Subject<'_>) -> Result<Value> {
    let (repository, tag) = purl::parts(&on_box.reference);
    let purl = purl::image(&on_box.reference, known, subject.origin)?;
    let mut value = json!({
        "type": "container",
        "bom-ref": on_box.reference,
        "name": repository,
        "version": tag,
    });
    if let Some(digest) = known.and_then(|image| image.digest.as_deref()).and_then(sha256) {
        value["hashes"] = hashes(&digest);
    }
    value["purl"] = json!(purl);
    let mut properties = vec![property("place", if on_box.embedded { "embedded" } else { "pulled" })];
    if let Some(config) = known.and_then(|image| image.config.as_deref()) {
        properties.insert(0, property("image-id", config));
    }
    value["properties"] = json!(properties);
    Ok(value)
}
