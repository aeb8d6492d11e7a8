//! `firmware/<platform>/platform.toml`: what a kind of machine needs to start and to have a network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::diag::InputError;

/// A kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// The name of its folder: `uefi-x86_64`.
    #[serde(skip)]
    pub name: String,
    /// Its folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// What a person calls it.
    pub title: String,
    /// dpkg's name of the architecture.
    pub architecture: String,
    /// Packages by distribution: firmware of network and graphics chips.
    pub packages: BTreeMap<String, Vec<String>>,
    /// Packages by distribution that only the build needs, unpacked among the tools: microcode.
    #[serde(default)]
    pub tools: BTreeMap<String, Vec<String>>,
    /// Processor microcode: the path at the front of the initrd, and the folder of the tools whose files make it up.
    #[serde(default)]
    pub microcode: BTreeMap<String, String>,
    /// The kernel's command line for every box; the release adds its identity and root hashes.
    pub command_line: Vec<String>,
    /// The kernel modules that the initrd needs to find its disk, without what they depend on.
    pub modules: Vec<String>,
    /// Whether such a machine may have a TPM 2.0.
    #[serde(default)]
    pub tpm: bool,
    /// The EFI programs: the path on the ESP, and which of the distribution's tools it is.
    pub esp: BTreeMap<String, EfiProgram>,
    /// The virtual machine that stands in for one.
    pub emulator: Emulator,
}

/// A signed EFI program; [`super::ToolPaths`] says where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EfiProgram {
    /// The first stage, which the machine's own keys vouch for.
    Shim,
    /// What shim starts to enroll a key or a digest.
    MokManager,
    /// The second stage, which reads the boot entries.
    SystemdBoot,
}

/// How QEMU imitates a machine of this platform.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emulator {
    /// The program: `qemu-system-x86_64`.
    pub program: String,
    /// `-machine`.
    pub machine: String,
    /// `-cpu` where the processor is emulated: one that the distribution's programs run on.
    pub processor: String,
}

impl Platform {
    /// Reads `firmware/<name>/platform.toml` of the project.
    ///
    /// # Errors
    /// [`InputError`] if there is no such platform or its file is wrong.
    pub fn load(project: &Path, name: &str) -> anyhow::Result<Self> {
        let (folder, path, text) = super::read(project, name, "platform.toml")?;
        let mut platform: Self = toml::from_str(&text)
            .map_err(|error| InputError(error.to_string()))
            .with_context(|| format!("reading {}", path.display()))?;
        name.clone_into(&mut platform.name);
        platform.folder = folder;
        Ok(platform)
    }
}
