//! Manifests, as registries send them: bytes in, the digests in them out.
//!
//! The formats are the OCI image specification 1.1 (`image-index.md`, `manifest.md`) and Docker's own "Image Manifest
//! Version 2, Schema 2", which differ in media types only. Nothing is fetched here.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::digest::Sha256;

/// No registry takes a longer manifest (OCI distribution specification 1.1, "Pushing Manifests"), in bytes.
pub const LONGEST: u64 = 4 << 20;

/// The system and architecture of boxes, as OCI's tools write it.
pub const PLATFORM: &str = "linux/amd64";

/// A blob by digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blob {
    /// Its digest.
    pub digest: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// What a manifest describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// Several images; this is the one for the box's architecture.
    List(Blob),
    /// One image.
    Image(ImageManifest),
}

/// The blobs of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// Its media type, as others refer to it.
    pub media_type: String,
    /// The configuration; its digest is the image's id.
    pub config: Blob,
    /// The compressed layers, the lowest first.
    pub layers: Vec<Blob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<RawBlob>,
    #[serde(default)]
    layers: Vec<RawBlob>,
    manifests: Option<Vec<RawBlob>>,
}

#[derive(Deserialize)]
struct RawBlob {
    digest: String,
    size: u64,
    platform: Option<Platform>,
    #[serde(default)]
    urls: Vec<String>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

impl RawBlob {
    fn read(&self) -> Result<Blob> {
        Ok(Blob { digest: parse_digest(&self.digest)?, size: self.size })
    }
}

/// Reads `sha256:…`.
///
/// # Errors
/// If it is another kind of digest or none.
pub fn parse_digest(text: &str) -> Result<Sha256> {
    let hex = text.strip_prefix("sha256:").with_context(|| format!("`{text}` is no sha256 digest"))?;
    hex.parse().with_context(|| format!("`{text}` is no sha256 digest"))
}

/// The digests of everything that the manifest of one image names.
///
/// # Errors
/// If it is no such manifest.
pub fn blobs_of(bytes: &[u8]) -> Result<Vec<Sha256>> {
    match parse(bytes)? {
        Manifest::Image(image) => Ok(image.blobs().into_iter().map(|blob| blob.digest).collect()),
        Manifest::List(_) => bail!("it is a list of images: `boxwright lock --update` chooses one"),
    }
}

/// Reads a manifest; of a list, the entry for linux on amd64.
///
/// # Errors
/// If it is no manifest of schema 2, or a list without that architecture.
pub fn parse(bytes: &[u8]) -> Result<Manifest> {
    let raw: Raw = serde_json::from_slice(bytes).context("reading the manifest")?;
    if raw.schema_version != 2 {
        bail!("the manifest has schema {}, and only 2 is known", raw.schema_version);
    }
    if let Some(list) = raw.manifests {
        let for_box = |entry: &&RawBlob| {
            entry
                .platform
                .as_ref()
                .is_some_and(|platform| platform.os == "linux" && platform.architecture == "amd64")
        };
        let entry =
            list.iter().find(for_box).context("the registry has no image for linux on amd64 of it")?;
        return entry.read().map(Manifest::List);
    }
    let Some(config) = raw.config else { bail!("the manifest describes no image") };
    if raw.layers.iter().any(|layer| !layer.urls.is_empty()) {
        bail!("the image has layers that no registry holds");
    }
    let media_type =
        raw.media_type.unwrap_or_else(|| "application/vnd.oci.image.manifest.v1+json".to_owned());
    let layers = raw.layers.iter().map(RawBlob::read).collect::<Result<_>>()?;
    Ok(Manifest::Image(ImageManifest { media_type, config: config.read()?, layers }))
}

impl ImageManifest {
    /// All blobs, each once, in a fixed order.
    pub fn blobs(&self) -> std::collections::BTreeSet<&Blob> {
        self.layers.iter().chain([&self.config]).collect()
    }

    /// The size of all layers in bytes, as they are transferred.
    pub fn size(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
    }
}

/// Whether the configuration `bytes` is one for the box's architecture.
///
/// # Errors
/// If it is not, or no configuration.
pub fn check_config(bytes: &[u8]) -> Result<()> {
    let platform: Platform = serde_json::from_slice(bytes).context("reading the image's configuration")?;
    if platform.os != "linux" || platform.architecture != "amd64" {
        bail!("the image is for {} on {}, not for linux on amd64", platform.os, platform.architecture);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn the_entry_for_the_box_is_taken_from_a_list() {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[
              {{"digest":"{A}","size":1,"platform":{{"architecture":"arm64","os":"linux"}}}},
              {{"digest":"{A}","size":1,"platform":{{"architecture":"unknown","os":"unknown"}}}},
              {{"digest":"{B}","size":2,"platform":{{"architecture":"amd64","os":"linux"}}}}]}}"#
        );
        let expected = Blob { digest: parse_digest(B).unwrap(), size: 2 };
        assert_eq!(parse(text.as_bytes()).unwrap(), Manifest::List(expected));
        let error = parse(text.replace("amd64", "s390x").as_bytes()).unwrap_err().to_string();
        assert!(error.contains("no image for linux on amd64"), "{error}");
    }

    #[test]
    fn an_image_has_a_config_and_layers() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{A}","size":10}},
              "layers":[{{"digest":"{B}","size":5}},{{"digest":"{B}","size":5}}]}}"#
        );
        let Manifest::Image(image) = parse(text.as_bytes()).unwrap() else { panic!("no image") };
        assert_eq!((image.size(), image.blobs().len()), (10, 2));
        for (from, to, reason) in [
            ("\"schemaVersion\":2", "\"schemaVersion\":1", "schema 1"),
            ("sha256:b", "sha512:b", "no sha256 digest"),
            ("sha256:b", "sha256:../b", "no sha256 digest"),
            ("\"config\"", "\"other\"", "describes no image"),
            ("\"size\":5}]", "\"size\":5,\"urls\":[\"x\"]}]", "layers that no registry holds"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = parse(text.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
