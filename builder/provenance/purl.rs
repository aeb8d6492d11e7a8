//! Package URLs (<https://github.com/package-url/purl-spec>): one name for a thing in every document.

use anyhow::{Context as _, Result};
use packageurl::PackageUrl;

use super::{Origin, Subject, source};
use crate::lock::{Image, Package};

/// Of a Debian package: `pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc`. `upstream` names the source
/// package where it has another name, as programs that look for known flaws expect it.
pub(super) fn deb(package: &Package, origin: &Origin) -> Result<String> {
    let make = || -> packageurl::Result<String> {
        let mut purl = PackageUrl::new("deb", package.name.as_str())?;
        purl.with_namespace(origin.vendor.id.as_str())?
            .with_version(package.version.as_str())?
            .add_qualifier("arch", package.architecture.as_str())?
            .add_qualifier("distro", origin.lock.distribution.as_str())?;
        if let Some(source) = source(package).filter(|source| *source != package.name) {
            purl.add_qualifier("upstream", source)?;
        }
        Ok(purl.to_string())
    };
    make().with_context(|| format!("naming the package {}", package.name))
}

/// Of a container image, which `reference` names: with a digest
/// `pkg:oci/nextcloud@sha256:…?arch=amd64&repository_url=docker.io%2Flibrary%2Fnextcloud&tag=34.0.4-apache`; without one
/// `pkg:docker/library/nextcloud@34.0.4-apache?repository_url=docker.io`, which says no more than what will be pulled.
pub(super) fn image(reference: &str, image: Option<&Image>, origin: &Origin) -> Result<String> {
    let (repository, tag) = parts(reference);
    let (registry, path) = repository.split_once('/').unwrap_or(("", repository));
    let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
    let make = || -> packageurl::Result<String> {
        let mut purl;
        if let Some(digest) = image.and_then(|image| image.digest.as_deref()) {
            purl = PackageUrl::new("oci", name)?;
            purl.with_version(digest)?
                .add_qualifier("arch", origin.vendor.architecture.as_str())?
                .add_qualifier("repository_url", repository)?
                .add_qualifier("tag", tag)?;
        } else {
            purl = PackageUrl::new("docker", name)?;
            if !namespace.is_empty() {
                purl.with_namespace(namespace)?;
            }
            purl.with_version(tag)?.add_qualifier("repository_url", registry)?;
        }
        Ok(purl.to_string())
    };
    make().with_context(|| format!("naming the container image {reference}"))
}

/// Registry with repository, and tag.
pub(super) fn parts(reference: &str) -> (&str, &str) {
    reference.rsplit_once(':').unwrap_or((reference, "latest"))
}

/// Of the disk image itself.
pub(super) fn disk_image(subject: &Subject<'_>) -> Result<String> {
    let make = || -> packageurl::Result<String> {
        let mut purl = PackageUrl::new("generic", subject.origin.name.as_str())?;
        purl.with_version(subject.origin.lock.version.to_string())?
            .add_qualifier("checksum", format!("sha256:{}", subject.sha256))?;
        Ok(purl.to_string())
    };
    make().with_context(|| format!("naming the image {}", subject.file))
}

/// Of this program at `version`.
pub(super) fn program(version: &str) -> Result<String> {
    let make = || -> packageurl::Result<String> {
        let mut purl = PackageUrl::new("generic", "boxwright")?;
        purl.with_version(version)?;
        Ok(purl.to_string())
    };
    make().context("naming this program")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::origin::tests::origin;

    #[test]
    fn images_are_named_by_digest_or_by_tag() {
        let origin = origin();
        let names: Vec<String> = origin
            .box_images()
            .map(|(on_box, known)| image(&on_box.reference, known, &origin).unwrap())
            .collect();
        let digest = crate::digest::Sha256::of_bytes(b"nextcloud");
        assert_eq!(
            names,
            [
                format!(
                    "pkg:oci/nextcloud@sha256:{digest}?arch=amd64&repository_url=docker.io%2Flibrary%2Fnextcloud&tag=34.0.4-apache"
                ),
                "pkg:docker/immich-app/immich-server@v2.1.0?repository_url=ghcr.io".to_owned(),
            ]
        );
        assert_eq!(program("0.1.0").unwrap(), "pkg:generic/boxwright@0.1.0");
    }
}
