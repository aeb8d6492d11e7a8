//! The files of the ESP.

use std::path::PathBuf;

use anyhow::Result;

use super::entries;
use super::initrd::BootFiles;
use super::release::Release;
use crate::firmware::{Distribution, EfiProgram, Platform};
use crate::tools::Tools;

/// One file of the ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EspFile {
    /// Where it will be: `loader/loader.conf`.
    pub path: String,
    /// What it contains.
    pub content: Content,
}

/// The content of an [`EspFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What this file contains.
    File(PathBuf),
}

/// What the ESP of an image with this one release holds: signed boot programs, settings, kernel, initrd, entry.
///
/// # Errors
/// If the tools lack one of the boot programs.
pub fn esp(
    release: &Release,
    files: &BootFiles,
    firmware: (&Platform, &Distribution),
    tools: &Tools,
) -> Result<Vec<EspFile>> {
    let (platform, distribution) = firmware;
    let paths = &distribution.tools.paths;
    let mut esp = Vec::new();
    for (path, program) in &platform.esp {
        let source = match program {
            EfiProgram::Shim => &paths.shim,
            EfiProgram::MokManager => &paths.mok_manager,
            EfiProgram::SystemdBoot => &paths.systemd_boot,
        };
        esp.push(EspFile { path: path.clone(), content: Content::File(tools.path(source)?) });
    }
    let texts = [
        ("loader/loader.conf".to_owned(), entries::LOADER_CONF.to_owned()),
        (entries::entry_path(release), entries::entry(release)),
    ];
    esp.extend(texts.map(|(path, text)| EspFile { path, content: Content::Bytes(text.into_bytes()) }));
    let boot =
        [(entries::kernel_path(release), &files.kernel), (entries::initrd_path(release), &files.initrd)];
    esp.extend(boot.map(|(path, file)| EspFile { path, content: Content::File(file.clone()) }));
    Ok(esp)
}
