//! A bill of materials in SPDX 2.3, as JSON (<https://spdx.github.io/spdx-spec/v2.3/>).
//!
//! The image is a package that contains the packages of the box, the container images, and the package `boot`, which
//! contains the packages whose files are on the ESP. What is not known, licences above all, is `NOASSERTION`.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Subject, purl, sha256, source};
use crate::debian::date;
use crate::lock::{Image, Package};
use crate::provenance::OnBox;

const NOTHING: &str = "NOASSERTION";
const IMAGE: &str = "SPDXRef-Image";
const BOOT: &str = "SPDXRef-Boot";

/// The bill of `subject`.
///
/// # Errors
/// If a name in the lock is none that a package can have.
pub fn document(subject: &Subject<'_>) -> Result<Value> {
    let origin = subject.origin;
    let mut packages = vec![image(subject)?];
    let mut relations = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE)];
    for package in &origin.lock.packages {
        let value = deb(package, "Deb", subject)?;
        relations.push(relation(IMAGE, "CONTAINS", &id(&value)));
        packages.push(value);
    }
    if origin.boot_packages().next().is_some() {
        packages.push(boot(subject));
        relations.push(relation(IMAGE, "CONTAINS", BOOT));
    }
    for package in origin.boot_packages() {
        let value = deb(package, "BootDeb", subject)?;
        relations.push(relation(BOOT, "CONTAINS", &id(&value)));
        packages.push(value);
    }
    for (on_box, known) in origin.box_images() {
        let value = container((on_box, known), subject)?;
        let verb = if on_box.embedded { "CONTAINS" } else { "DEPENDS_ON" };
        relations.push(relation(IMAGE, verb, &id(&value)));
        packages.push(value);
    }
    Ok(json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.file,
        "documentNamespace": subject.urn("spdx")?,
        "creationInfo": {
            "created": date::timestamp(origin.lock.time),
            "creators": [format!("Tool: boxwright-{}", origin.program.version)],
            "comment": "The time is that of the newest package list of the lock, as everywhere in the image.",
        },
        "documentDescribes": [IMAGE],
        "packages": packages,
        "relationships": relations,
    }))
}

fn relation(from: &str, verb: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": verb, "relatedSpdxElement": to })
}

fn id(package: &Value) -> String {
    package["SPDXID"].as_str().unwrap_or_default().to_owned()
}

/// An id of letters, digits, dots and hyphens (SPDX 2.3, 7.2): what it names, and in case that lost a letter, a digest.
fn made_id(kind: &str, name: &str, digest: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    format!("SPDXRef-{kind}-{name}-{}", digest.get(..12).unwrap_or(digest))
}

/// What every package has, with nothing that is not known.
fn package(id: &str, name: &str, version: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "supplier": NOTHING,
        "downloadLocation": NOTHING,
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
    })
}

fn checksum(digest: &impl ToString) -> Value {
    json!([{ "algorithm": "SHA256", "checksumValue": digest.to_string() }])
}

fn locator(purl: &str) -> Value {
    json!([{ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl }])
}

fn image(subject: &Subject<'_>) -> Result<Value> {
    let origin = subject.origin;
    let mut value = package(IMAGE, &origin.name, &origin.lock.version.to_string());
    value["packageFileName"] = json!(subject.file);
    value["checksums"] = checksum(&subject.sha256);
    value["primaryPackagePurpose"] = json!("OPERATING_SYSTEM");
    value["externalRefs"] = locator(&purl::disk_image(subject)?);
    value["comment"] = json!(format!(
        "The disk image of a home server, release {}. Digest of its content, as in the manifest: {}",
        origin.release, subject.content
    ));
    Ok(value)
}

/// The files on the ESP that are from no package of the box.
fn boot(subject: &Subject<'_>) -> Value {
    let mut value = package(BOOT, "boot", &subject.origin.lock.version.to_string());
    value["comment"] = json!(
        "Boot programs and microcode on the EFI system partition. Their packages are not installed on the box."
    );
    value
}

fn deb(deb: &Package, kind: &str, subject: &Subject<'_>) -> Result<Value> {
    let origin = subject.origin;
    let id = made_id(kind, &deb.name, &deb.sha256.to_string());
    let mut value = package(&id, &deb.name, &deb.version);
    if let Some(supplier) = origin.supplier(deb) {
        value["supplier"] = json!(format!("Organization: {supplier}"));
    }
    value["packageFileName"] = json!(deb.path.rsplit('/').next());
    value["checksums"] = checksum(&deb.sha256);
    if let Some(source) = source(deb) {
        value["sourceInfo"] = json!(format!("built from the source package {source}"));
    }
    value["externalRefs"] = locator(&purl::deb(deb, origin)?);
    value["comment"] = json!(format!("From the archive {}: {}", deb.archive, deb.path));
    Ok(value)
}

fn container((on_box, known): (&OnBox, Option<&Image>), subject: &Subject<'_>) -> Result<Value> {
    let (repository, tag) = purl::parts(&on_box.reference);
    let digest = known.and_then(|image| image.digest.as_deref()).and_then(sha256);
    let seed = crate::digest::Sha256::of_bytes(on_box.reference.as_bytes());
    let id = made_id("Container", repository, &seed.to_string());
    let mut value = package(&id, repository, tag);
    value["primaryPackagePurpose"] = json!("CONTAINER");
    if let Some(digest) = digest {
        value["checksums"] = checksum(&digest);
    }
    value["externalRefs"] = locator(&purl::image(&on_box.reference, known, subject.origin)?);
    let place = if on_box.embedded { "It is in the image" } else { "The box pulls it on its first start" };
    let sure = if digest.is_some() { "" } else { ", by its tag, since no digest is known" };
    value["comment"] = json!(format!("{place}{sure}. What it holds is not listed."));
    Ok(value)
}
