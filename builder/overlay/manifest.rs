//! In: the rendered text of an `overlay.toml`. Out: what it says, typed and with its paths checked.
//! It must not touch files; which templates exist is the renderer's business.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// What `overlay.toml` may say; overlays/README.md explains each entry.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Whether the overlay is used at all.
    #[serde(default = "yes")]
    pub apply: bool,
    /// Units to enable, disable or mask.
    #[serde(default, rename = "unit")]
    pub units: Vec<Unit>,
    /// Files with a mode or owner of their own, or made from another template.
    #[serde(default, rename = "file")]
    pub files: Vec<File>,
    /// Directories that must exist.
    #[serde(default, rename = "dir")]
    pub dirs: Vec<Dir>,
    /// Symbolic links.
    #[serde(default, rename = "link")]
    pub links: Vec<Link>,
}

impl Default for Manifest {
    fn default() -> Self {
        Self { apply: true, units: Vec::new(), files: Vec::new(), dirs: Vec::new(), links: Vec::new() }
    }
}

fn yes() -> bool {
    true
}

/// What systemd does with a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Started with what wants it.
    #[default]
    Enabled,
    /// There, and started by hand or by something else only.
    Disabled,
    /// Cannot be started.
    Masked,
}

/// A `[[unit]]` entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// The unit's name with its suffix.
    pub name: String,
    /// What becomes of it.
    #[serde(default)]
    pub state: State,
    /// In addition to the unit file's own `WantedBy=`.
    #[serde(default)]
    pub wanted_by: Vec<String>,
    /// In addition to the unit file's own `RequiredBy=`.
    #[serde(default)]
    pub required_by: Vec<String>,
    /// In addition to the unit file's own `UpheldBy=`.
    #[serde(default)]
    pub upheld_by: Vec<String>,
    /// In addition to the unit file's own `Alias=`.
    #[serde(default)]
    pub alias: Vec<String>,
}

/// A `[[file]]` entry.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Path on the box, without the leading slash.
    pub path: String,
    /// The template that makes it, inside the overlay; without it, the file comes from root/.
    pub from: Option<String>,
    /// Values for that template, as `with`.
    #[serde(default)]
    pub with: BTreeMap<String, toml::Value>,
    /// Octal.
    pub mode: Option<String>,
    /// Owner.
    #[serde(default)]
    pub uid: u32,
    /// Group.
    #[serde(default)]
    pub gid: u32,
}

/// A `[[dir]]` entry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dir {
    /// Path on the box, without the leading slash.
    pub path: String,
    /// Octal; 0755 without it.
    pub mode: Option<String>,
    /// Owner.
    #[serde(default)]
    pub uid: u32,
    /// Group.
    #[serde(default)]
    pub gid: u32,
}

/// A `[[link]]` entry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Path on the box, without the leading slash.
    pub path: String,
    /// What it points to.
    pub to: String,
}

impl Manifest {
    /// Reads the rendered text of `label`.
    ///
    /// # Errors
    /// It is not TOML, or has a key that does not exist; the message has the line in the rendered text.
    pub fn parse(text: &str, label: &str) -> Result<Self> {
        toml::from_str(text).with_context(|| format!("reading {label} (as rendered)"))
    }
}

/// Reads an octal mode such as `"0440"`.
///
/// # Errors
/// It is not octal, or above 7777.
pub fn parse_mode(mode: &str) -> Result<u32> {
    match u32::from_str_radix(mode, 8) {
        Ok(value) if value <= 0o7777 => Ok(value),
        _ => bail!("mode {mode:?} is not an octal number up to 7777"),
    }
}

/// Folders that are symbolic links on every merged-/usr system, or vanish at boot: a file below them would replace the
/// link in the layer, or never be seen.
const FORBIDDEN: [&str; 11] =
    ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "proc", "run", "sys", "dev", "var/run"];

/// Checks a path on the box, written without its leading slash.
///
/// # Errors
/// It is not relative and normal, or lies in a folder where a layer cannot put files.
pub fn check_path(path: &str) -> Result<()> {
    let normal = !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !normal {
        bail!("{path:?} is not a path on the box (write it without a leading slash, `.` or `..`)");
    }
    for folder in FORBIDDEN {
        if path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')) {
            bail!(
                "/{path}: an overlay cannot put anything into /{folder} (programs and units go below usr/)"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_a_layer_cannot_hold_are_refused() {
        for path in
            ["", "/etc/x", "etc//x", "../x", "etc/./x", "lib/systemd/system/x.service", "run/x", "bin"]
        {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in ["etc/hosts", "usr/lib/x", "library/x", "srv/media", "var/lib/boxwright"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(parse_mode("0440").ok(), Some(0o440));
        assert!(parse_mode("888").is_err());
        assert!(parse_mode("17777").is_err());
    }

    #[test]
    fn unknown_keys_are_errors() {
        let error = Manifest::parse("[[unit]]\nnmae = \"x\"\n", "overlays/system/x/overlay.toml");
        let message = format!("{:#}", error.unwrap_err());
        assert!(message.contains("overlays/system/x/overlay.toml"), "{message}");
        assert!(message.contains("nmae"), "{message}");
    }
}
