//! Two manifests of images in; release, versions and sizes that differ out.

use std::collections::BTreeMap;

use super::locks::{PACKAGE_LISTS, moment};
use super::{Difference, changed};
use crate::build::manifest::Manifest;

/// How much of a release's id a person is shown.
const SHORT: usize = 12;

pub(super) fn compare(old: &Manifest, new: &Manifest, difference: &mut Difference) {
    difference.values.extend(changed(&values(old), &values(new)));
    difference.sizes = changed(&sizes(old), &sizes(new));
}

/// What an image is, by name.
fn values(manifest: &Manifest) -> BTreeMap<String, String> {
    let mut values = BTreeMap::from(
        [
            ("box", manifest.name.clone()),
            ("version", manifest.version.to_string()),
            (PACKAGE_LISTS, moment(manifest.time)),
            ("distribution", manifest.distribution.clone()),
            ("platform", manifest.platform.clone()),
            ("release", manifest.release.to_string().chars().take(SHORT).collect()),
            ("encryption", manifest.encrypt.clone().unwrap_or_else(|| "none".to_owned())),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if !manifest.embedded.is_empty() {
        values.insert("embedded container images".to_owned(), manifest.embedded.join(", "));
    }
    values
}

fn sizes(manifest: &Manifest) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::from([
        ("image".to_owned(), manifest.size),
        ("image, without what is empty".to_owned(), manifest.written),
    ]);
    let version = format!("_{}", manifest.version);
    for part in &manifest.parts {
        // The partitions of layers have the release's version in their names, which always differs.
        let name = part.name.strip_suffix(&version).unwrap_or(&part.name);
        // A layer's partition is as large as the layout wants it: what grows is what fills it.
        match part.filled {
            Some(filled) => sizes.insert(format!("{name} (filled)"), filled),
            None => sizes.insert(name.to_owned(), part.size),
        };
    }
    sizes
}
