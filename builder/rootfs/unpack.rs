//! All packages below one root, in parallel, with the result of dpkg's one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::decompressed::Decompressed;
use super::package::{Made, Package};
use crate::context::Context;
use crate::debian::deb::{DebFile, Member};
use crate::debian::unpack::{Owners, Target, in_parallel};
use crate::ui::Step;

/// The package whose folders and links come before all others'.
const FIRST: &str = "base-files";

/// Unpacks `debs` below `target`, the largest first, and returns them sorted by name, with the
/// folders that could not be made as they should be.
pub(super) fn all<'a>(
    debs: &'a [DebFile],
    target: &Target,
    (newest, context, step): (i64, &Context, &Step),
) -> Result<(Vec<Package<'a>>, Vec<Made>)> {
    let decompressed = Decompressed::open(&context.cache)?;
    let size = |deb: &DebFile| fs::metadata(&deb.path).map_or(0, |metadata| metadata.len());
    step.total_bytes(debs.iter().map(size).sum());
    let unpack = |deb: &'a DebFile| {
        step.detail(deb.name.clone());
        let package = Package::unpack(deb, target, (newest, &decompressed))?;
        step.advance(size(deb));
        Ok(package)
    };
    let (first, mut rest): (Vec<&DebFile>, Vec<&DebFile>) = debs.iter().partition(|deb| deb.name == FIRST);
    rest.sort_by_key(|deb| (std::cmp::Reverse(size(deb)), &deb.name));
    let mut packages = in_parallel(&first, 1, |deb| unpack(deb))?;
    packages.extend(in_parallel(&rest, context.jobs, |deb| unpack(deb))?);
    packages.sort_by_key(|package| (package.deb.name != FIRST, &package.deb.name, &package.deb.architecture));
    let made = describe_folders(&packages, target, newest)?;
    Ok((packages, made))
}

/// Gives every folder the mode and owner of the first package that has it. dpkg leaves a folder as it is found, so
/// that the first one rules; in parallel that would be chance.
fn describe_folders(packages: &[Package<'_>], target: &Target, newest: i64) -> Result<Vec<Made>> {
    let mut first: BTreeMap<&Path, &Member> = BTreeMap::new();
    for folder in packages.iter().flat_map(|package| &package.folders) {
        first.entry(&folder.path).or_insert(folder);
    }
    let mut made = Vec::new();
    for (path, folder) in first {
        let place = target
            .describe_directory(folder, path, newest)
            .with_context(|| format!("giving /{} its owner", path.display()))?;
        if target.owners() == Owners::Ours {
            made.extend(Made::of(folder, place));
        }
    }
    Ok(made)
}
