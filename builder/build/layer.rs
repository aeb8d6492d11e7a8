//! Layers in the cache: a sealed file with a record of what was sealed, so that it can be used without being read.

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::context::Context;
use crate::digest::{Hasher, Sha256};
use crate::layers::{self, Layer, Sealing};
use crate::stage::Stage;
use crate::tools::Tools;

/// The name of a sealed layer in its folder.
pub(super) const FILE: &str = "layer";
/// The name of the record beside it.
const RECORD: &str = "layer.json";

/// What a [`Layer`] is, without its path.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    data_bytes: u64,
    total_bytes: u64,
    root_hash: Sha256,
    guid: String,
}

/// Writes the record of `layer` into `folder`, where the layer is as [`FILE`].
///
/// # Errors
/// If the folder cannot be written.
pub(super) fn record(layer: &Layer, folder: &Path) -> Result<()> {
    let record = Record {
        data_bytes: layer.data_bytes,
        total_bytes: layer.total_bytes,
        root_hash: layer.root_hash,
        guid: hex::encode(layer.guid),
    };
    atomic::write(&folder.join(RECORD), &serde_json::to_vec(&record).context("recording a layer")?)
}

/// The layer that [`record`] described in `folder`.
///
/// # Errors
/// If there is none, or the file does not have its size any more.
pub(super) fn open(folder: &Path) -> Result<Layer> {
    let path = folder.join(FILE);
    let reading = || format!("reading {}", path.display());
    let text = std::fs::read(folder.join(RECORD)).with_context(reading)?;
    let record: Record = serde_json::from_slice(&text).with_context(reading)?;
    let mut guid = [0; 16];
    hex::decode_to_slice(&record.guid, &mut guid).with_context(reading)?;
    if std::fs::metadata(&path).with_context(reading)?.len() != record.total_bytes {
        return Err(anyhow::anyhow!("it has lost a part of itself")).with_context(reading);
    }
    let Record { data_bytes, total_bytes, root_hash, .. } = record;
    Ok(Layer { path, data_bytes, total_bytes, root_hash, guid })
}

/// What a small layer is made from.
pub(super) struct Small {
    /// The kind of result in the cache.
    pub kind: &'static str,
    /// What the user reads while it is made.
    pub title: &'static str,
    /// The digest of all of its inputs.
    pub key: Sha256,
    /// The time of everything in it, seconds since 1970.
    pub time: i64,
}

/// The layer described by `small`, from the cache, or sealed from the tar stream that `source` writes.
///
/// # Errors
/// Those of `source` and of [`layers::seal`].
pub(super) fn cached(
    small: &Small,
    source: impl FnOnce(&mut dyn Write) -> Result<()>,
    surroundings: (&Tools, &Context),
) -> Result<Layer> {
    let (tools, context) = surroundings;
    let stage = Stage::new(context, small.kind, &small.key);
    let make = |folder: &Path| {
        let step = context.ui.step(small.title.to_owned());
        let sealing = Sealing { target: &folder.join(FILE), time: small.time, tools, context };
        let layer = layers::seal(source, sealing)?;
        record(&layer, folder)?;
        step.done(crate::ui::human_bytes(layer.total_bytes));
        Ok(())
    };
    stage.get_opened(context, make, open).map(|(layer, _)| layer)
}

/// The digest of a tar stream, for a key.
///
/// # Errors
/// Those of `source`.
pub(super) fn stream_digest(source: impl FnOnce(&mut Hasher) -> Result<()>) -> Result<Sha256> {
    let mut hasher = Hasher::new();
    source(&mut hasher)?;
    Ok(hasher.finish())
}
