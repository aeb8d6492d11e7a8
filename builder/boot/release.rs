//! The identity of a release and the kernel command line that carries it.

use crate::digest::{Hasher, Sha256};
use crate::firmware::Platform;
use crate::layers::Layer;

use super::initrd::BootFiles;

/// Everything that makes a release what it is.
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<'a> {
    /// The box's name.
    pub box_name: &'a str,
    /// Orders the releases of this box.
    pub version: u64,
    /// The kind of machine.
    pub platform: &'a Platform,
    /// What opens the partitions that the box writes, if they are to be encrypted: what the initrd is told.
    pub encrypt: Option<&'a str>,
    /// Kernel and initrd.
    pub files: &'a BootFiles,
    /// The layer with the packages.
    pub base: &'a Layer,
    /// The layer with the rendered files.
    pub profile: &'a Layer,
    /// The layer with container images, where there is one.
    pub images: Option<&'a Layer>,
}

/// One build of one box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The box's name.
    pub box_name: String,
    /// Orders the releases of this box.
    pub version: u64,
    /// The digest of layers, kernel, initrd and command line.
    pub digest: Sha256,
    /// The kernel's command line.
    pub command_line: String,
    /// The digest of the kernel.
    pub kernel: Sha256,
    /// The digest of the initrd.
    pub initrd: Sha256,
}

impl Release {
    /// The release that these ingredients make. Equal ingredients make the same release, whatever its version.
    pub fn of(ingredients: &Ingredients<'_>) -> Self {
        let Ingredients { box_name, version, platform, encrypt, files, base, profile, images } = *ingredients;
        let mut words = platform.command_line.clone();
        words.push(format!("boxwright.box={box_name}"));
        words.extend(encrypt.map(|with| format!("boxwright.encrypt={with}")));
        words.push(format!("boxwright.base={}", base.root_hash));
        words.push(format!("boxwright.profile={}", profile.root_hash));
        words.extend(images.map(|layer| format!("boxwright.images={}", layer.root_hash)));
        let mut hasher = Hasher::new();
        hasher
            .field("command line", words.join(" ").as_bytes())
            .field("kernel", files.kernel_digest.bytes())
            .field("initrd", files.initrd_digest.bytes());
        let digest = hasher.finish();
        words.push(format!("boxwright.version={version}"));
        words.push(format!("boxwright.release={}", short(&digest)));
        Self {
            box_name: box_name.to_owned(),
            version,
            digest,
            command_line: words.join(" "),
            kernel: files.kernel_digest,
            initrd: files.initrd_digest,
        }
    }

    /// The release's name wherever a person or a file name needs one: 16 hexadecimal digits.
    pub fn id(&self) -> String {
        short(&self.digest)
    }
}

/// The first 16 digits.
pub(super) fn short(digest: &Sha256) -> String {
    hex::encode(&digest.bytes()[..8])
}
