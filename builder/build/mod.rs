//! The build: a checked profile and its lock → a disk image, its manifest, and what to say about them.
//!
//! 1. [`locking`]: the lock, made where there is none;
//! 2. `base`: packages → base layer, kernel, initrd;
//! 3. the rendered files → profile layer;
//! 4. container images → images layer, where some are embedded;
//! 5. the release's identity, boot entries, ESP;
//! 6. the image file, its [`manifest`], and what else lies [`beside`] it.
//!
//! Each result is kept under the digest of its inputs ([`crate::stage`]), so that what has to be made again is a comparison of
//! digests, never of dates. Where nothing has changed since the image was made, nothing is done at all.

mod base;
pub mod beside;
mod embedded;
mod inputs;
mod layer;
pub mod locking;
pub mod manifest;
mod moving;
mod record;
mod scan;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::atomic::AtomicFile;
use crate::boot::{self, Release};
use crate::check::CheckedProfile;
use crate::context::Context;
use crate::digest::{Hasher, Sha256, guid_text};
use crate::disk::{self, Assembled, DiskImage, Parts, Role};
use crate::layers::Layer;
use crate::lock::{self, Lock};
use crate::overlay;
use crate::plan::Plan;
use crate::profile::Encrypt;
use crate::provenance::Origin;
use crate::secrets::{Handover, Secrets};
use crate::tools::Tools;
use crate::tree::Tree;
use base::Base;
use beside::Digests;
use embedded::Embedded;
use manifest::{Manifest, Part};

/// What is to be built.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The profile.
    pub checked: &'a CheckedProfile,
    /// Its services.
    pub plan: &'a Plan,
    /// The bytes that it is made from.
    pub lock: &'a Lock,
    /// Secrets to put into the image, which is not to be published then.
    pub secrets: Option<&'a Secrets>,
    /// What goes along with them.
    pub handover: &'a Handover,
    /// The folder for the image.
    pub out: &'a Path,
}

/// What came out.
#[derive(Debug)]
pub struct Built {
    /// The image.
    pub image: PathBuf,
    /// What it is.
    pub manifest: Manifest,
    /// Whether the image was there already, made from the same inputs.
    pub unchanged: bool,
}

impl Order<'_> {
    /// Makes the image, or finds that it is made.
    ///
    /// # Errors
    /// If anything that it is made from is wrong or cannot be had, or the disk is full. A former image is untouched then.
    pub fn build(&self, context: &Context) -> Result<Built> {
        fs::create_dir_all(self.out).with_context(|| format!("creating {}", self.out.display()))?;
        let image = self.out.join(format!("{}.img", self.checked.name()));
        let inputs = self.inputs(context)?;
        if let Some(manifest) = Manifest::load(&image).filter(|manifest| manifest.describes(&image, &inputs))
        {
            self.complete(&image, &manifest, context)?;
            return Ok(Built { image, manifest, unchanged: true });
        }
        // What cannot be written is better known now than after minutes.
        drop(AtomicFile::create(&image).with_context(|| {
            format!("putting the image into {}; name another folder with --out", self.out.display())
        })?);
        let tools = locking::tools(self.lock, context)?;
        let base = self.base(&tools, context)?;
        let embedded = embedded::embed(self, &tools, context)?;
        let profile = self.profile_layer(&base, &tools, context)?;
        let release = self.release(&base, &profile, embedded.layer.as_ref());
        let layers = layers(&base, &profile, &embedded);
        self.look_into(&layers, &tools, context)?;
        let step = context.ui.step("assembling the image");
        let origin = self.origin(release.digest, &embedded.references, context)?;
        let assembled = self.assemble((&release, &origin), (&base, &layers), &tools, &image)?;
        let manifest = self.manifest(inputs, &release, (&assembled.image, &layers), &embedded)?;
        self.look_over((&assembled.image, &image), &manifest)?;
        let documents = self.documents(&image, &manifest, &origin)?;
        let made = assembled.commit()?;
        self.write_beside(&image, &manifest, &documents)?;
        step.done(crate::ui::human_bytes(made.written_bytes));
        Ok(Built { image, manifest, unchanged: false })
    }

    /// The files that the profile puts onto the box, without the folders that the base layer has.
    ///
    /// # Errors
    /// If an overlay is wrong; the message names the file and the line.
    pub fn render(&self, context: &Context) -> Result<Tree> {
        render(self.checked, self.plan, self.lock.images.as_slice(), context)
    }

    /// The digest of everything that can change a byte of the image.
    fn inputs(&self, context: &Context) -> Result<Sha256> {
        let mut hasher = Hasher::new();
        let profile = serde_json::to_vec(self.checked.profile()).context("digesting the profile")?;
        hasher
            .field("program", inputs::SOURCES_ALL.as_bytes())
            .field("profile", &profile)
            .field("lock", lock::format::render(self.lock).as_bytes())
            .field("overlays", inputs::folder(&context.project.join("overlays"))?.bytes())
            .field("firmware", inputs::folder(&context.project.join("firmware"))?.bytes());
        if let Some(secrets) = self.secrets {
            hasher.field("secrets", Sha256::of_bytes(&secrets.bundle(self.handover)?).bytes());
        }
        Ok(hasher.finish())
    }

    fn base(&self, tools: &Tools, context: &Context) -> Result<Base> {
        let distribution = self.checked.distribution();
        let platform = self.checked.platform();
        base::Ingredients { lock: self.lock, distribution, platform, tools }.base(context)
    }

    fn profile_layer(&self, base: &Base, tools: &Tools, context: &Context) -> Result<Layer> {
        let mut tree = self.render(context)?;
        if let Some(secrets) = self.secrets {
            scan::refuse_in_tree(secrets, &tree)?;
        }
        tree.fill_directories(&base.directories);
        let time = self.lock.time;
        let content = layer::stream_digest(|mut stream| Ok(tree.write_tar(&mut stream, time)?))?;
        let mut key = Hasher::new();
        key.field("program", inputs::SOURCES_BASE.as_bytes()).field("content", content.bytes());
        for tool in &self.lock.tools {
            key.field("tool", tool.sha256.bytes());
        }
        let small =
            layer::Small { kind: "profile", title: "sealing the profile layer", key: key.finish(), time };
        layer::cached(&small, |mut tar| Ok(tree.write_tar(&mut tar, time)?), (tools, context))
    }

    /// What opens the box's partitions, as the initrd and the manifest say it.
    fn encrypt(&self) -> Option<&'static str> {
        self.checked.profile().machine.encrypt.map(|Encrypt::Tpm| "tpm")
    }

    /// Looks for secrets in what is sealed.
    fn look_into(&self, layers: &[(Role, &Layer)], tools: &Tools, context: &Context) -> Result<()> {
        let Some(secrets) = self.secrets else { return Ok(()) };
        let step = context.ui.step("looking for secrets where none belong");
        for (role, layer) in layers {
            scan::refuse_in_layer(secrets, &format!("{role:?} layer").to_lowercase(), layer, tools)?;
        }
        step.done("none");
        Ok(())
    }

    /// Looks for secrets in the image, before it is called `image`, and in what is written beside it.
    fn look_over(&self, (made, image): (&DiskImage, &Path), manifest: &Manifest) -> Result<()> {
        let Some(secrets) = self.secrets else { return Ok(()) };
        scan::refuse_in_image(secrets, made, image)?;
        scan::refuse_in_text(secrets, &Manifest::path(image), &manifest.text()?)?;
        scan::refuse_in_text(secrets, &lock_of(image), &lock::format::render(self.lock))
    }

    fn release(&self, base: &Base, profile: &Layer, images: Option<&Layer>) -> Release {
        Release::of(&boot::Ingredients {
            box_name: self.checked.name(),
            version: self.lock.version,
            platform: self.checked.platform(),
            encrypt: self.encrypt(),
            files: &base.files,
            base: &base.layer,
            profile,
            images,
        })
    }

    fn assemble(
        &self,
        release: (&Release, &Origin),
        content: (&Base, &[(Role, &Layer)]),
        tools: &Tools,
        image: &Path,
    ) -> Result<Assembled> {
        let ((release, origin), (base, layers)) = (release, content);
        let firmware = (self.checked.platform(), self.checked.distribution());
        let mut esp = boot::esp(release, &base.files, firmware, tools)?;
        esp.push(beside::on_esp(origin)?);
        if let Some(secrets) = self.secrets {
            scan::refuse_in_esp(secrets, &esp)?;
        }
        let bundle = self.secrets.map(|secrets| secrets.bundle(self.handover)).transpose()?;
        let parts = Parts {
            seed: &release.digest,
            version: release.version,
            time: self.lock.time,
            layers,
            esp: &esp,
            secrets: bundle.as_ref().map(|bundle| bundle.as_slice()),
        };
        disk::assemble(&parts, tools, image)
    }

    fn manifest(
        &self,
        inputs: Sha256,
        release: &Release,
        made: (&DiskImage, &[(Role, &Layer)]),
        embedded: &Embedded,
    ) -> Result<Manifest> {
        let (image, layers) = made;
        let digests = Digests::of(&image.path)?;
        let part = |partition: &disk::Partition| {
            let layer = layers.iter().find(|(role, _)| *role == partition.role).map(|(_, layer)| layer);
            Part {
                name: partition.name.clone(),
                guid: guid_text(&partition.guid),
                size: partition.length,
                filled: layer.map(|layer| layer.total_bytes),
                root_hash: layer.map(|layer| layer.root_hash),
            }
        };
        Ok(Manifest {
            schema: manifest::SCHEMA,
            name: self.checked.name().to_owned(),
            release: release.digest,
            version: release.version,
            time: self.lock.time,
            distribution: self.lock.distribution.clone(),
            platform: self.lock.platform.clone(),
            encrypt: self.encrypt().map(str::to_owned),
            inputs,
            parts: image.layout.partitions.iter().map(part).collect(),
            size: image.layout.total_bytes,
            written: image.written_bytes,
            fingerprint: manifest::fingerprint(&image.path)?,
            content: Some(digests.content),
            sha256: Some(digests.sha256),
            embedded: embedded.references.clone(),
            unresolved: embedded.unresolved.clone(),
        })
    }
}

/// The files that `checked` puts onto the box, with what is known of its container images.
///
/// # Errors
/// If an overlay is wrong; the message names the file and the line.
pub fn render(
    checked: &CheckedProfile,
    plan: &Plan,
    images: &[lock::Image],
    context: &Context,
) -> Result<Tree> {
    let inputs = overlay::Inputs { profile: checked, plan, images };
    inputs.tree(&context.project.join("overlays"))
}

/// The layers in the order in which they are on the disk.
fn layers<'a>(base: &'a Base, profile: &'a Layer, embedded: &'a Embedded) -> Vec<(Role, &'a Layer)> {
    let mut layers = vec![(Role::Base, &base.layer), (Role::Profile, profile)];
    layers.extend(embedded.layer.as_ref().map(|layer| (Role::Images, layer)));
    layers
}

/// Where the lock that `image` was built from is: beside it, so that its tools can be had without the profile.
pub fn lock_of(image: &Path) -> PathBuf {
    image.with_extension("lock")
}
