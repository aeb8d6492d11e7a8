//! Programs that are Python packages, installed once into `out/test-tools/python`.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::disallowed_methods, reason = "pip needs the environment that it is installed in")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Result;
use boxwright::tool::Tool;
use rustix::fs::{FlockOperation, flock};

/// The variables that pip needs where it is installed.
const KEPT: [&str; 8] = [
    "PATH",
    "HOME",
    "PIP_INDEX_URL",
    "PIP_CERT",
    "PIP_CONFIG_FILE",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "HTTPS_PROXY",
];

/// The interpreter of a folder `name` of its own that has `packages`. None, with a printed reason, where there is no Python or
/// no registry; on a CI machine that is a failure.
pub fn with(name: &str, packages: &[&str]) -> Option<PathBuf> {
    match installed(name, packages) {
        Ok(python) => Some(python),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error:#}");
            eprintln!("SKIPPED: {} cannot be installed here: {error:#}", packages.join(", "));
            None
        }
    }
}

fn installed(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("out/test-tools/python");
    fs::create_dir_all(&tools)?;
    // One test program at a time: the others find it installed.
    let guard = File::create(tools.join(format!("{name}.guard")))?;
    flock(&guard, FlockOperation::LockExclusive)?;
    let (folder, mark) = (tools.join(name), tools.join(format!("{name}.of")));
    let python = folder.join("bin/python");
    let wanted = packages.join("\n");
    if python.exists() && fs::read_to_string(&mark).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    call("python3").args(["-m", "venv", "--clear"]).arg(&folder).run()?;
    call(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages)
        .run()?;
    fs::write(&mark, wanted)?;
    Ok(python)
}

/// A call of a program that sees what pip needs.
fn call(program: impl AsRef<std::ffi::OsStr>) -> Tool {
    let known = KEPT.iter().filter_map(|key| Some((key, std::env::var_os(key)?)));
    let tool = known.fold(Tool::new("env"), |tool, (key, value)| tool.env(key, value));
    tool.arg(program)
}
