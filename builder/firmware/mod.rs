//! What a distribution and a platform consist of: `firmware/<name>/distribution.toml` and `platform.toml`, typed.
//!
//! The folder of one of them goes in, its description comes out. Nothing is fetched or checked against an archive here.

mod distribution;
mod platform;

pub use distribution::{ArchiveSpec, Distribution, System, SystemId, ToolPaths, Tools, Trust};
pub use platform::{EfiProgram, Emulator, Platform};

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::diag::InputError;

/// The folder `firmware/<name>`, the path of `file` in it, and its text.
fn read(project: &Path, name: &str, file: &str) -> anyhow::Result<(PathBuf, PathBuf, String)> {
    let all = project.join("firmware");
    let known = known(&all, file)?;
    if !known.iter().any(|known| known == name) {
        return Err(InputError(format!(
            "{} has no `{name}/{file}`; there is {}",
            all.display(),
            if known.is_empty() { "none at all".to_owned() } else { known.join(", ") }
        ))
        .into());
    }
    let folder = all.join(name);
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok((folder, path, text))
}

/// The names of the folders that have `file`, sorted.
fn known(all: &Path, file: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(all).with_context(|| format!("reading {}", all.display()))? {
        let entry = entry.with_context(|| format!("reading {}", all.display()))?;
        if entry.path().join(file).is_file() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn shipped_files_are_complete() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let platform = Platform::load(project, "uefi-x86_64").unwrap();
        for name in ["debian-13", "ubuntu-24.04"] {
            let distribution = Distribution::load(project, name).unwrap();
            assert_eq!(distribution.architecture, platform.architecture);
            assert!(platform.packages.contains_key(name), "{name}");
            for key in &distribution.trust.keys {
                assert!(distribution.folder.join(key).is_file(), "{key}");
            }
            let never = distribution.system.excluded.keys();
            for name in never.clone() {
                assert!(!distribution.system.base.contains(name), "{name} is in the base set and excluded");
            }
        }
    }

    #[test]
    fn an_unknown_folder_is_the_users_mistake() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let error = Distribution::load(project, "debian-12").unwrap_err();
        assert!(error.is::<crate::diag::InputError>(), "{error:#}");
        assert!(format!("{error:#}").contains("debian-13"), "{error:#}");
        assert!(Platform::load(project, "../etc").is_err());
    }
}
