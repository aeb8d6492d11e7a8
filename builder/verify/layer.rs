//! Two layers: which files of the squashfs differ, and in what.
//!
//! Where layers differ and their files do not, it is the packing: that is told by its place.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;

use anyhow::{Context as _, Result};

use super::bytes::{self, Region, Spot};
use super::image::Image;
use super::{Found, presence};
use crate::digest::{Hasher, Sha256};
use crate::disk::Partition;
use crate::interrupt;
use crate::layers::squashfs::{self, Head, Listing, Node};
use crate::layers::verity;
use crate::tools::Tools;

/// Of so many files that differ the first byte is told; reading more would take long.
const DETAILED: usize = 200;

/// The files of a layer.
struct Files {
    listing: Listing,
    /// The digests of the contents, by path.
    digests: BTreeMap<String, Sha256>,
}

/// Compares two partitions with layers, which differ first at `spot`.
///
/// # Errors
/// If a layer cannot be read.
pub(super) fn compare(
    pair: [(&Image, &Partition); 2],
    spot: &Spot,
    tools: &Tools,
    found: &mut Found<'_>,
) -> Result<()> {
    let [Some(one), Some(other)] = [head(pair[0])?, head(pair[1])?] else { return Ok(()) };
    if spot.offset >= verity::begin(one.bytes.max(other.bytes)) {
        found.add_spot("hash tree, or what lies behind it,", spot);
        return Ok(());
    }
    if one.time != other.time {
        found.add(None, "time of the filesystem", [one, other].map(|head| head.time.to_string()));
    }
    match pair.map(|one| read(one, tools)) {
        [Ok(one), Ok(other)] => files(pair, &[one, other], tools, found),
        both => {
            interrupt::check()?;
            // That one is damaged is an answer too.
            let both =
                both.map(|read| read.map_or_else(|error| format!("{error:#}"), |_| "can be read".into()));
            found.add_at(None, "files", Some(spot.offset), both);
            Ok(())
        }
    }
}

fn head((image, partition): (&Image, &Partition)) -> Result<Option<Head>> {
    let mut bytes = [0; Head::LENGTH];
    Region::of(image, partition).read(0, &mut bytes)?;
    Ok(Head::parse(&bytes, partition.length))
}

fn read((image, partition): (&Image, &Partition), tools: &Tools) -> Result<Files> {
    let mut digests = BTreeMap::new();
    let listing = squashfs::list(&image.path, partition.start, tools, |path, _, bytes| {
        let mut hasher = Hasher::new();
        std::io::copy(bytes, &mut hasher)?;
        digests.insert(path.to_owned(), hasher.finish());
        Ok(())
    })
    .with_context(|| format!("reading {} of {}", partition.name, image.path.display()))?;
    Ok(Files { listing, digests })
}

fn files(
    pair: [(&Image, &Partition); 2],
    layers: &[Files; 2],
    tools: &Tools,
    found: &mut Found<'_>,
) -> Result<()> {
    let listings = layers.each_ref().map(|layer| &layer.listing);
    let names: BTreeSet<&String> = listings.into_iter().flat_map(BTreeMap::keys).collect();
    let mut detailed = 0;
    for name in names {
        let [Some(one), Some(other)] = listings.map(|listing| listing.get(name)) else {
            let both = listings.map(|listing| presence(listing.get(name)));
            found.add(Some(name), "missing", both);
            continue;
        };
        for (what, both) in aspects(one, other) {
            found.add(Some(name), what, both);
        }
        let digests = layers.each_ref().map(|layer| layer.digests.get(name));
        if one.kind == other.kind && digests[0] != digests[1] {
            detailed += 1;
            let spot = match detailed <= DETAILED {
                true => content(pair, name, tools)?,
                false => None,
            };
            match spot {
                Some(spot) => found.add_at(Some(name), "content", Some(spot.offset), spot.shown()),
                None => found.add(
                    Some(name),
                    "content",
                    [one, other].map(|node| format!("{} bytes", node.length)),
                ),
            }
        }
    }
    Ok(())
}

/// What of a file differs, its content aside.
fn aspects(one: &Node, other: &Node) -> Vec<(&'static str, [String; 2])> {
    let facts = [
        ("kind", [one, other].map(|node| node.kind.to_owned())),
        ("mode", [one, other].map(|node| node.mode.clone())),
        ("owner", [one, other].map(|node| node.owner.clone())),
        ("time", [one, other].map(|node| node.time.clone())),
        ("link", [one, other].map(|node| node.target.clone())),
        ("extended attributes", [one, other].map(|node| node.attributes.join(", "))),
    ];
    facts.into_iter().filter(|(_, both)| both[0] != both[1]).collect()
}

/// Where the contents of the file `name` differ first.
fn content(pair: [(&Image, &Partition); 2], name: &str, tools: &Tools) -> Result<Option<Spot>> {
    let start = |(image, partition): (&Image, &Partition)| -> Result<_> {
        let cat = tools.tool("unsquashfs")?.arg("-o").arg(partition.start.to_string());
        let mut running = cat.args(["-no-wildcards", "-cat"]).arg(&image.path).arg(name).spawn()?;
        let stdout = running.stdout.take().context("unsquashfs has no standard output")?;
        Ok((running, BufReader::new(stdout)))
    };
    let ((one, left), (other, right)) = (start(pair[0])?, start(pair[1])?);
    let spot = bytes::of_streams(left, right).with_context(|| format!("comparing {name}"))?;
    // They may have been cut short, which is no failure of theirs.
    drop((one, other));
    Ok(spot)
}
