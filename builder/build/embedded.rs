//! The images stage: the container images that are part of the disk image → the images layer.

use anyhow::{Context as _, Result};

use super::Order;
use super::inputs::SOURCES_ALL;
use super::layer::{self, Small};
use crate::context::Context;
use crate::digest::Hasher;
use crate::images::{self, Skopeo};
use crate::layers::Layer;
use crate::lock::Image;
use crate::stage::Stage;
use crate::tools::Tools;

/// Which container images the disk image has.
#[derive(Debug, Default)]
pub(super) struct Embedded {
    /// The layer with them; none where there are none.
    pub layer: Option<Layer>,
    /// Their references.
    pub references: Vec<String>,
    /// The references of images whose digest is not known: the box pulls them by tag.
    pub unresolved: Vec<String>,
}

/// Makes the images layer of `order`. Images without a digest are left out, and the user is told.
///
/// # Errors
/// If a registry does not have what the lock names, or cannot be reached and the cache has not got it either.
pub(super) fn embed(order: &Order<'_>, tools: &Tools, context: &Context) -> Result<Embedded> {
    let list = images::list(order.checked, order.plan, &order.lock.images);
    let (resolved, unresolved): (Vec<Image>, Vec<Image>) =
        images::embedded(&list, &order.lock.images).into_iter().partition(|image| image.digest.is_some());
    if !unresolved.is_empty() {
        let names: Vec<&str> = unresolved.iter().map(|image| image.reference.as_str()).collect();
        context.ui.warn(format!(
            "not embedded, since the lock has no digest for them: {}; the box pulls them on its first boot. Run `boxwright \
             lock --update` where a registry can be reached",
            names.join(", ")
        ));
    }
    let unknown = list.iter().filter(|image| image.digest.is_none());
    let unresolved = unknown.map(|image| image.reference.clone()).collect();
    if resolved.is_empty() {
        return Ok(Embedded { unresolved, ..Embedded::default() });
    }
    let mut key = Hasher::new();
    key.field("program", SOURCES_ALL.as_bytes()).field("images", images::layer_key(&resolved).bytes());
    let time = order.lock.time;
    key.field("time", &time.to_le_bytes());
    let small = Small { kind: "images", title: "sealing the images layer", key: key.finish(), time };
    let stored = if Stage::new(context, small.kind, &small.key).ready().is_some() {
        Vec::new()
    } else {
        let skopeo = Skopeo::new(tools, context)?;
        images::fetch(&resolved, &skopeo, context).context("fetching the container images to embed")?
    };
    let layer = layer::cached(&small, |tar| images::write_layer(&stored, tar, time), (tools, context))?;
    let references = resolved.into_iter().map(|image| image.reference).collect();
    Ok(Embedded { layer: Some(layer), references, unresolved })
}
