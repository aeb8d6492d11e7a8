//! The ESP: a list of files goes in, a FAT32 filesystem inside the image comes out.
//!
//! mkfs.vfat and mcopy of the tools do the work, at an offset of the image file; volume id and dates are given to them, so
//! that equal input gives equal bytes.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::layout::Partition;
use crate::boot::{Content, EspFile};
use crate::tool::Tool;
use crate::tools::Tools;

/// What a FAT filesystem carries besides files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FatOptions {
    /// The volume id.
    pub serial: u32,
    /// The date of everything, seconds since 1970.
    pub time: i64,
}

/// Makes a FAT32 filesystem with `files` in the range of `partition` of the file `image`, which reads as zeroes there.
///
/// # Errors
/// If the files do not fit, one of them cannot be read, or a tool fails.
pub fn write(
    image: &Path,
    partition: &Partition,
    files: &[EspFile],
    with: (FatOptions, &Tools),
) -> Result<()> {
    let (options, tools) = with;
    let call = |name: &str| -> Result<Tool> {
        Ok(tools.tool(name)?.env("SOURCE_DATE_EPOCH", options.time.to_string()))
    };
    call("mkfs.vfat")?
        .args(["--invariant", "-F", "32", "-S", "512", "-s", "8", "-n", "BOXWRIGHT", "-i"])
        .arg(format!("{:08x}", options.serial))
        .arg(format!("--offset={}", partition.start / super::gpt::SECTOR))
        .arg(image)
        .arg((partition.length / 1024).to_string())
        .run()
        .context("making the ESP")?;

    let mut inside = image.as_os_str().to_owned();
    inside.push(format!("@@{}", partition.start));
    let folders: BTreeSet<String> = files.iter().flat_map(|file| folders_of(&file.path)).collect();
    if !folders.is_empty() {
        let folders = folders.iter().map(|folder| format!("::/{folder}"));
        call("mmd")?.arg("-i").arg(&inside).args(folders).run().context("making the folders of the ESP")?;
    }
    for file in files {
        let target = format!("::/{}", file.path);
        let copy = call("mcopy")?.arg("-i").arg(&inside);
        match &file.content {
            Content::Bytes(bytes) => copy.args(["-", &target]).stdin_bytes(bytes.clone()),
            Content::File(path) => copy.arg(path).arg(&target),
        }
        .run()
        .with_context(|| format!("writing {} to the ESP", file.path))?;
    }
    Ok(())
}

/// The folders above `path`, the outermost first.
fn folders_of(path: &str) -> Vec<String> {
    path.match_indices('/').map(|(end, _)| path[..end].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_from_outside_inwards() {
        assert_eq!(folders_of("loader/entries/a.conf"), ["loader", "loader/entries"]);
        assert!(folders_of("a").is_empty());
    }
}
