//! Real programs that are Go modules, built once and kept in `out/test-tools/go`.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::disallowed_methods, reason = "go needs the environment that it is installed in")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use boxwright::catalog::{Catalog, Role};
use boxwright::tool::Tool;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

/// The variables that go needs where it is installed.
const KEPT: [&str; 4] = ["GOPROXY", "GOSUMDB", "SSL_CERT_FILE", "HTTPS_PROXY"];
/// Where go's own archive is unpacked to, by its instructions.
const USUAL: &str = "/usr/local/go/bin";

/// The program that writes backups, out of the module of the version that boxes run; see [`program`].
pub fn writer_of_backups(catalog: &Catalog) -> Option<PathBuf> {
    let service = catalog.with_role(Role::Backup).expect("a service writes backups");
    let image = &service.containers.values().next().unwrap().image;
    program("github.com/kopia/kopia", ".", &format!("v{}", image.rsplit(':').next().unwrap()))
}

/// A server of S3 over a folder (versitygw).
pub fn s3_server() -> Option<PathBuf> {
    program("github.com/versity/versitygw", "./cmd/versitygw", "v1.8.0")
}

/// WireGuard as a program (wireguard-go), for hosts whose kernel has none.
pub fn wireguard() -> Option<PathBuf> {
    program("golang.zx2c4.com/wireguard", ".", "v0.0.0-20260522210424-ecfc5a8d5446")
}

/// Gluetun, as it was on its main branch in April 2026: the newest that Go's module proxy hands out. Its releases are of a major
/// version that its path does not name, so that Go knows it by its commits.
pub fn gluetun() -> Option<PathBuf> {
    program("github.com/qdm12/gluetun", "./cmd/gluetun", "v0.0.0-20260422123456-628b0a22e2fd")
}

/// The program in `folder` of `module` at `version`. None, with a printed reason, where there is no go or no module proxy; on
/// a CI machine that is a failure.
pub fn program(module: &str, folder: &str, version: &str) -> Option<PathBuf> {
    match built(module, folder, version) {
        Ok(program) => Some(program),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error:#}");
            eprintln!("SKIPPED: {module} cannot be built here: {error:#}");
            None
        }
    }
}

/// The tests' own program in the folder `tests/{path}`, which needs nothing but go's own library. It is built every time, which
/// is quick for one that has not changed. None, with a printed reason, where there is no go; on a CI machine that is a failure.
pub fn own(path: &str) -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (source, folder) = (project.join("tests").join(path), project.join("out/test-tools/go"));
    let program = folder.join(path.rsplit('/').next().unwrap_or(path));
    match fs::create_dir_all(&folder).map_err(Into::into).and_then(|()| build(&source, ".", &program)) {
        Ok(()) => Some(program),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error:#}");
            eprintln!("SKIPPED: tests/{path} cannot be built here: {error:#}");
            None
        }
    }
}

fn built(module: &str, package: &str, version: &str) -> Result<PathBuf> {
    let name = module.rsplit('/').next().unwrap_or(module);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("out/test-tools/go");
    fs::create_dir_all(&folder)?;
    // One test program at a time: the others find it built.
    let guard = File::create(folder.join(format!("{name}.guard")))?;
    flock(&guard, FlockOperation::LockExclusive)?;
    let program = folder.join(format!("{name}-{version}"));
    if program.exists() {
        return Ok(program);
    }
    let download = go().args(["mod", "download", "-json", &format!("{module}@{version}")]);
    let described: Value = serde_json::from_slice(&download.current_dir(&folder).output()?)?;
    // Where it lies in go's own cache, which is not written to: all that it needs is named by its go.sum. `go install` would ask
    // for the list of all versions besides.
    let source = described["Dir"].as_str().context("go does not say where it put the module")?;
    build(Path::new(source), package, &program)?;
    Ok(program)
}

/// Builds `package` of the module in `source`; a program that runs under that name already stays what it is.
fn build(source: &Path, package: &str, program: &Path) -> Result<()> {
    let unfinished = tempfile::tempdir_in(program.parent().context("a program lies in a folder")?)?;
    let built = unfinished.path().join("program");
    go().args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"])
        .arg(&built)
        .arg(package)
        .current_dir(source)
        .run()?;
    Ok(fs::rename(built, program)?)
}

/// A call of go, for programs that run in any root filesystem.
fn go() -> Tool {
    let path = std::env::var("PATH").unwrap_or_default();
    let tool = Tool::new("env").env("PATH", format!("{path}:{USUAL}")).env("CGO_ENABLED", "0");
    let known = KEPT.iter().filter_map(|key| Some((key, std::env::var_os(key)?)));
    let tool = known.fold(tool, |tool, (key, value)| tool.env(key, value));
    // It keeps what it fetches and builds below the home.
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    tool.env("HOME", home).arg("go")
}
