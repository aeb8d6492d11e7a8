//! Digests become blobs in the cache.
//!
//! In: images of the lock. Out: [`Stored`] ones: manifest, configuration and layers as the registry has them, each in
//! the cache under its digest and compared with it. What is there already is not fetched again; what is not may need
//! the network.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use rayon::prelude::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::manifest::{self, Blob, ImageManifest, Manifest};
use super::reference::Reference;
use super::skopeo::{Skopeo, Trouble};
use crate::atomic::Scratch;
use crate::context::Context;
use crate::digest::Sha256;
use crate::lock::Image;
use crate::ui::{Step, human_bytes};
use crate::{interrupt, usage};

/// The folder of the cache with the blobs.
const FOLDER: &str = "containers";

/// How many images are fetched at once.
const AT_ONCE: usize = 4;

/// An image all of whose blobs are in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub reference: String,
    /// Its manifest.
    pub(super) manifest: Blob,
    /// What the manifest says.
    pub(super) image: ImageManifest,
    /// The folder with the blobs.
    pub(super) folder: PathBuf,
}

impl Stored {
    /// The digest and the file of each of its blobs, its manifest among them.
    pub fn blobs(&self) -> Vec<(Sha256, PathBuf)> {
        self.files().into_iter().map(|(blob, path)| (blob.digest, path)).collect()
    }

    /// All its blobs with the manifest, each once, and the file of each.
    pub(super) fn files(&self) -> BTreeMap<&Blob, PathBuf> {
        let path = |blob: &Blob| self.folder.join(blob.digest.to_string());
        self.image.blobs().into_iter().chain([&self.manifest]).map(|blob| (blob, path(blob))).collect()
    }
}

/// Where the blob with this digest is in the cache, or will be.
pub fn blob(context: &Context, digest: Sha256) -> PathBuf {
    context.cache.join(FOLDER).join(digest.to_string())
}

/// Fetches what the cache lacks of `images`, all of which have a digest.
///
/// # Errors
/// A registry cannot be reached or does not have what the lock names, something does not have its digest, the cache cannot
/// be written, or the run is interrupted.
pub fn fetch(images: &[Image], skopeo: &Skopeo, context: &Context) -> Result<Vec<Stored>> {
    let folder = context.cache.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let step = context.ui.step("fetching container images");
    step.total_bytes(images.iter().filter_map(|image| image.size).sum());
    let fetching = Fetching { folder: &folder, skopeo, context, step: &step };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(AT_ONCE)
        .build()
        .context("starting threads that fetch container images")?;
    let one = |image: &Image| {
        interrupt::check()?;
        fetching.image(image).with_context(|| format!("fetching the container image {}", image.reference))
    };
    let stored: Vec<Stored> = pool.install(|| images.par_iter().map(one).collect::<Result<_>>())?;
    let bytes: u64 = stored.iter().map(|each| each.image.size()).sum();
    step.done(format!("{} images, {}", stored.len(), human_bytes(bytes)));
    Ok(stored)
}

struct Fetching<'a> {
    folder: &'a Path,
    skopeo: &'a Skopeo,
    context: &'a Context,
    step: &'a Step,
}

impl Fetching<'_> {
    fn image(&self, image: &Image) -> Result<Stored> {
        let text = image.digest.as_deref().context("the lock has no digest for it")?;
        let digest = manifest::parse_digest(text)?;
        if let Some(stored) = self.cached(image, digest)? {
            self.step.advance(stored.image.size());
            return Ok(stored);
        }
        if self.context.offline {
            bail!("it is not in the cache, and the build is offline");
        }
        self.step.detail(image.reference.clone());
        self.copy(image, text, digest)?;
        let stored = self.cached(image, digest)?.context("it is gone from the cache again")?;
        self.step.advance(stored.image.size());
        Ok(stored)
    }

    /// The image, if the cache has all of it.
    fn cached(&self, image: &Image, digest: Sha256) -> Result<Option<Stored>> {
        self.claim(digest)?;
        let path = self.folder.join(digest.to_string());
        let Ok(bytes) = fs::read(&path) else { return Ok(None) };
        if Sha256::of_bytes(&bytes) != digest {
            // The next copy replaces it.
            return Ok(None);
        }
        let Manifest::Image(parsed) = manifest::parse(&bytes)? else {
            bail!("{digest} is a list of images: `boxwright lock --update` chooses one");
        };
        if image.config.as_deref().is_some_and(|config| config != format!("sha256:{}", parsed.config.digest))
        {
            bail!(
                "its configuration is not the one in the lock, though its manifest is: the lock was edited"
            );
        }
        parsed.blobs().iter().try_for_each(|blob| self.claim(blob.digest))?;
        let there = |blob: &&Blob| {
            fs::metadata(self.folder.join(blob.digest.to_string())).is_ok_and(|file| file.len() == blob.size)
        };
        if !parsed.blobs().iter().all(there) {
            return Ok(None);
        }
        let manifest = Blob { digest, size: bytes.len() as u64 };
        Ok(Some(Stored {
            reference: image.reference.clone(),
            manifest,
            image: parsed,
            folder: self.folder.to_owned(),
        }))
    }

    /// Keeps the blob in the cache as long as this process runs.
    fn claim(&self, digest: Sha256) -> Result<()> {
        usage::claim(&self.context.cache, FOLDER, &digest.to_string())
    }

    /// Copies the image from its registry into the cache. The manifest comes last, so that a cache with it has had all.
    fn copy(&self, image: &Image, text: &str, digest: Sha256) -> Result<()> {
        let reference: Reference = image.reference.parse()?;
        let scratch = Scratch::create(self.folder)?;
        self.skopeo.copy(&reference, text, scratch.path()).map_err(|trouble| match trouble {
            Trouble::Refused(error) => error,
            Trouble::Unreachable(reason) => anyhow!(
                "its registry does not deliver it ({reason}); try again, with a network or another `--registry-mirror`, or \
                 write `embed = \"none\"` under `[images]` and let the box pull it"
            ),
        })?;
        let manifest_path = scratch.path().join("manifest.json");
        let bytes =
            fs::read(&manifest_path).with_context(|| format!("reading {}", manifest_path.display()))?;
        compare(&manifest_path, digest)?;
        let Manifest::Image(parsed) = manifest::parse(&bytes)? else { bail!("it is a list of images") };
        let config_path = scratch.path().join(parsed.config.digest.to_string());
        compare(&config_path, parsed.config.digest)?;
        let config = fs::read(&config_path).with_context(|| format!("reading {}", config_path.display()))?;
        manifest::check_config(&config)?;
        for blob in parsed.blobs() {
            interrupt::check()?;
            self.claim(blob.digest)?;
            let path = scratch.path().join(blob.digest.to_string());
            if blob.digest != parsed.config.digest {
                compare(&path, blob.digest)?;
            }
            publish(&path, &self.folder.join(blob.digest.to_string()))?;
        }
        publish(&manifest_path, &self.folder.join(digest.to_string()))
    }
}

/// Moves a complete file to its place.
fn publish(from: &Path, to: &Path) -> Result<()> {
    let moved = fs::File::open(from).and_then(|file| file.sync_all()).and_then(|()| fs::rename(from, to));
    moved.with_context(|| format!("moving {} to {}", from.display(), to.display()))
}

/// Whether the file at `path` has this digest.
fn compare(path: &Path, digest: Sha256) -> Result<()> {
    let found = Sha256::of_file(path)?;
    if found != digest {
        bail!("the registry sent other bytes than sha256:{digest} (their digest is sha256:{found})");
    }
    Ok(())
}
