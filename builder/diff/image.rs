//! Two manifests of images, and the trees of their profile layers, in; release, versions, sizes and what is on the boxes out.

use std::collections::BTreeMap;

use super::locks::{PACKAGE_LISTS, moment};
use super::tables::{self, Tables};
use super::{Difference, Owners, boxes, changed};
use crate::build::manifest::Manifest;
use crate::tree::Tree;

/// How much of a release's id a person is shown.
const SHORT: usize = 12;

pub(super) fn compare(old: &Manifest, new: &Manifest, difference: &mut Difference) {
    difference.values.extend(changed(&values(old), &values(new)));
    difference.sizes = changed(&sizes(old), &sizes(new));
}

/// Compares what is in the profile layers of two images, each with the image's name. Returns what container images are for.
pub(super) fn inside(old: (&str, &Tree), new: (&str, &Tree), difference: &mut Difference) -> Owners {
    match [old, new].map(|(_, tree)| Tables::of_files(tree)) {
        [Ok(before), Ok(after)] => boxes::compare((&before, old.1), (&after, new.1), difference),
        both => {
            boxes::trees(old.1, new.1, difference);
            let reasons: Vec<String> = [old, new]
                .into_iter()
                .zip(both)
                .filter_map(|((name, _), read)| Some(format!("in {name}, {:#}", read.err()?)))
                .collect();
            difference
                .not_compared
                .push(format!("services, host names, ports and networks: {}", reasons.join(" and ")));
        }
    }
    // A note that is missing is no reason to stop, and nothing that was not compared.
    let owners = |tree| Owners::of_images(tables::services_of_images(tree).unwrap_or_default());
    owners(new.1).and(owners(old.1))
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
