//! The files of the images layer.
//!
//! In: stored images. Out: a tar stream of an OCI image layout (image specification 1.1, `image-layout.md`): `oci-layout`,
//! `index.json` with the name of each image, and `blobs/sha256/`, in which layers that several images share lie once.
//! Layers stay compressed as their registry has them: they keep their digests, nothing is packed twice, and they take the
//! least room. Docker 26 loads no OCI layout, so the box makes the stream of a `docker save` from these files on the fly.
//! Equal images give equal bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::fetch::Stored;
use super::manifest::Blob;
use crate::digest::Hasher;
use crate::interrupt;

/// The file `oci-layout` of a layout.
pub const LAYOUT: &str = "{\n  \"imageLayoutVersion\": \"1.0.0\"\n}\n";

/// Where blobs lie in a layout.
const BLOBS: &str = "blobs/sha256";

/// Writes the tar stream of the layer with `images` to `writer`; every time in it is `time`, seconds since 1970.
///
/// # Errors
/// A blob cannot be read or is not what its name says (it is then removed from the cache), `writer` fails, or the run is
/// interrupted.
pub fn write_layer(images: &[Stored], writer: &mut dyn Write, time: i64) -> Result<()> {
    let time = time.try_into().unwrap_or(0);
    let mut archive = Builder::new(writer);
    for folder in ["./", "blobs/", "blobs/sha256/"] {
        let mut header = header(EntryType::Directory, 0, time);
        archive.append_data(&mut header, folder, io::empty()).context("writing the images layer")?;
    }
    let mut blobs: BTreeMap<&Blob, PathBuf> = BTreeMap::new();
    for image in images {
        blobs.extend(image.files());
    }
    for (blob, path) in blobs {
        interrupt::check()?;
        append(&mut archive, blob, &path, time)?;
    }
    let files = [("index.json", format!("{:#}\n", index(images))), ("oci-layout", LAYOUT.to_owned())];
    for (name, text) in files {
        let mut header = header(EntryType::Regular, text.len() as u64, time);
        archive.append_data(&mut header, name, text.as_bytes()).context("writing the images layer")?;
    }
    archive.finish().context("writing the images layer")
}

/// Which images a layout holds, in the order of their names: its `index.json`.
pub fn index(images: &[Stored]) -> serde_json::Value {
    let sorted: BTreeMap<&str, &Stored> =
        images.iter().map(|image| (image.reference.as_str(), image)).collect();
    let manifests: Vec<_> = sorted
        .iter()
        .map(|(name, image)| {
            json!({
                "mediaType": image.image.media_type,
                "digest": format!("sha256:{}", image.manifest.digest),
                "size": image.manifest.size,
                "annotations": { "org.opencontainers.image.ref.name": name },
            })
        })
        .collect();
    json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests })
}

fn append(archive: &mut Builder<&mut dyn Write>, blob: &Blob, path: &PathBuf, time: u64) -> Result<()> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut reader = Compared { inner: file.take(blob.size), hasher: Hasher::new() };
    let mut header = header(EntryType::Regular, blob.size, time);
    let name = format!("{BLOBS}/{}", blob.digest);
    archive
        .append_data(&mut header, name, &mut reader)
        .with_context(|| format!("copying {} into the images layer", path.display()))?;
    if reader.hasher.finish() != blob.digest {
        std::fs::remove_file(path).with_context(|| format!("removing the damaged {}", path.display()))?;
        bail!("{} in the cache was damaged; it is removed: run the build again", path.display());
    }
    Ok(())
}

/// A reader that hashes what goes through it.
struct Compared<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Compared<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.write_all(buffer.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

fn header(kind: EntryType, size: u64, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o444 });
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    header
}
