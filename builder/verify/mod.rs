//! Two images compared: identical, or everything in which they differ, named by partition and file, with the stage of the
//! build that made it.
//!
//! 1. [`image`]: both files with their partition tables; partitions are matched by their role;
//! 2. [`bytes`]: the first byte in which two regions differ, holes left out;
//! 3. [`table`]: what is outside of partitions;
//! 4. [`layer`]: files of squashfs layers, read by unsquashfs of the locked tools;
//! 5. [`esp`]: files of the ESP.
//!
//! [`elsewhere`] makes the second image where it is to be seen whether circumstances change a byte.
//! Nothing is changed, and no difference of bytes is left out: where no file explains one, its place is told.

mod bytes;
mod elsewhere;
mod esp;
mod image;
mod layer;
mod table;

use std::fmt;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

pub use elsewhere::{Elsewhere, Original};
pub use image::Image;

use crate::disk::{Partition, Role};
use crate::tools::Tools;
use bytes::{Region, Spot};

/// The stage of the build that made something, in the order of the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Packages → base layer, kernel, initrd.
    Base,
    /// Rendered files → profile layer.
    Profile,
    /// Container images → images layer.
    Images,
    /// Boot programs and entries → ESP.
    Boot,
    /// Partitions → image file.
    Disk,
}

impl Stage {
    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Profile => "profile",
            Self::Images => "images",
            Self::Boot => "boot",
            Self::Disk => "disk",
        }
    }

    /// The stage that made a partition of this role.
    const fn of(role: Role) -> Self {
        match role {
            Role::Base => Self::Base,
            Role::Profile => Self::Profile,
            Role::Images => Self::Images,
            Role::Esp => Self::Boot,
            Role::Secrets | Role::System | Role::State => Self::Disk,
        }
    }
}

/// One thing in which two images differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The stage that made it.
    pub stage: Stage,
    /// The partition's name, `partition table`, or `between partitions`.
    pub partition: String,
    /// The file in it; none if it is about the partition itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What of it: `content`, `mode`, `owner`, `time`, `link`, `missing`, …
    pub what: &'static str,
    /// Where they differ first, in bytes from the beginning of the file, or else of the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// How it is in the first image.
    pub first: String,
    /// How it is in the second one.
    pub second: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        write!(f, "{}", self.what)?;
        if let Some(offset) = self.offset {
            write!(f, " from byte {offset} on")?;
        }
        write!(f, ": {}, {}", self.first, self.second)
    }
}

/// Where differences are collected: what they are about is said once.
struct Found<'a> {
    list: &'a mut Vec<Difference>,
    partition: String,
    stage: Stage,
}

impl Found<'_> {
    /// Adds what `what` of `file`, or of the partition itself, is in both images.
    fn add(&mut self, file: Option<&str>, what: &'static str, both: [String; 2]) {
        self.add_at(file, what, None, both);
    }

    fn add_at(
        &mut self,
        file: Option<&str>,
        what: &'static str,
        offset: Option<u64>,
        [first, second]: [String; 2],
    ) {
        let (partition, file) = (self.partition.clone(), file.map(str::to_owned));
        self.list.push(Difference { stage: self.stage, partition, file, what, offset, first, second });
    }

    /// Adds that a region has other bytes, which are called `what`.
    fn add_spot(&mut self, what: &'static str, spot: &Spot) {
        self.add_at(None, what, Some(spot.offset), spot.shown());
    }
}

/// Everything in which `second` differs from `first`, sorted by stage. `tools` read the layers.
///
/// # Errors
/// If an image or a layer in it cannot be read, or the user asks to stop.
pub fn compare(first: &Image, second: &Image, tools: &Tools) -> Result<Vec<Difference>> {
    let mut list = Vec::new();
    let table = Found { list: &mut list, partition: "partition table".into(), stage: Stage::Disk };
    table::compare(first, second, table)?;
    for role in Role::ALL {
        let pair = [first, second].map(|image| image.layout.find(role));
        let partition = match pair {
            [Some(partition), _] | [None, Some(partition)] => partition,
            [None, None] => continue,
        };
        let mut found = Found { list: &mut list, partition: partition.name.clone(), stage: Stage::of(role) };
        match pair {
            [Some(one), Some(other)] => partitions((first, one), (second, other), tools, found)?,
            [one, other] => found.add(None, "missing", [presence(one), presence(other)]),
        }
    }
    list.sort();
    list.dedup();
    Ok(list)
}

fn presence<T>(thing: Option<T>) -> String {
    if thing.is_some() { "is there" } else { "is missing" }.to_owned()
}

/// A partition of one image and its counterpart in the other.
fn partitions(
    first: (&Image, &Partition),
    second: (&Image, &Partition),
    tools: &Tools,
    mut found: Found<'_>,
) -> Result<()> {
    let regions = [first, second].map(|(image, partition)| Region::of(image, partition));
    let Some(spot) = bytes::first_difference(regions)? else { return Ok(()) };
    let before = found.list.len();
    match first.1.role {
        Role::Base | Role::Profile | Role::Images => {
            layer::compare([first, second], &spot, tools, &mut found)?
        }
        Role::Esp => esp::compare(regions, &mut found)?,
        Role::Secrets | Role::System | Role::State => {}
    }
    if found.list.len() == before {
        found.add_spot("bytes that belong to no file", &spot);
    }
    Ok(())
}

/// The images at these paths, compared.
///
/// # Errors
/// As [`compare`], or if one of them is no image.
pub fn compare_files(first: &Path, second: &Path, tools: &Tools) -> Result<Vec<Difference>> {
    compare(&Image::open(first)?, &Image::open(second)?, tools)
}
