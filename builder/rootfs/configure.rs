//! The maintainer scripts: unpacked packages go in, installed ones come out.
//!
//! Nothing is started: there is no init, invoke-rc.d is told that nothing may run, and every process ends with the
//! sandbox.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::inside::Inside;
use super::modules::Modules;
use super::package::Package;
use crate::debian::control::{Paragraph, Reader};
use crate::ui::Step;

/// Tells invoke-rc.d that no service may be started or stopped (its exit status 101).
const POLICY: (&str, &str) = ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");

/// Keys that openssh-server would make, and that no image may have; where they exist it makes none.
const HOST_KEYS: [&str; 3] =
    ["etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_ecdsa_key", "etc/ssh/ssh_host_ed25519_key"];

/// Runs the preinst scripts of `packages`, the essential ones' first, each as dpkg would.
pub(super) fn prepare(inside: &Inside, packages: &[Package<'_>]) -> Result<()> {
    let mut with_script: Vec<&Package<'_>> =
        packages.iter().filter(|package| package.files.contains_key("preinst")).collect();
    with_script.sort_by_key(|package| (!package.is_essential(), package.info_name()));
    let mut script = String::from(
        "export DPKG_ADMINDIR=/var/lib/dpkg DPKG_ROOT= DPKG_MAINTSCRIPT_NAME=preinst \
         DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_DEBUG=0\n",
    );
    for package in with_script {
        // The name has no architecture here, also where the database has one: with it, libc6 could never be upgraded.
        // Writing to a string cannot fail.
        let _ = writeln!(
            script,
            "DPKG_MAINTSCRIPT_PACKAGE={name} DPKG_MAINTSCRIPT_ARCH={architecture} \
             /var/lib/dpkg/info/{info}.preinst install || {{ echo 'preinst of {name}: status' $? >&2; exit 1; }}",
            name = package.deb.name,
            architecture = package.deb.architecture,
            info = package.info_name(),
        );
    }
    let program = inside.tool(&["/bin/sh", "-c", &script]);
    Inside::run(program, |_| ()).context("preparing the packages (their preinst scripts)")
}

/// Configures all packages of the database, and sees to it that each is installed then.
/// `modules` are indexed meanwhile.
pub(super) fn configure(
    inside: &Inside,
    packages: usize,
    modules: Option<&Modules>,
    step: &Step,
) -> Result<()> {
    let tree = inside.tree();
    put(tree, POLICY.0, POLICY.1, 0o755)?;
    for key in HOST_KEYS {
        put(tree, key, "", 0o600)?;
    }
    step.total_items(packages as u64);
    let dpkg = ["/usr/bin/dpkg", "--force-unsafe-io", "--configure", "-a"];
    let dpkg = match modules {
        Some(modules) => inside.tool_first(&dpkg, &modules.stand_in(inside)?),
        None => inside.tool(&dpkg),
    };
    let tell = |line: &str| {
        if let Some(name) = line.strip_prefix("Setting up ") {
            step.detail(name.split(' ').next().unwrap_or_default().to_owned());
            step.advance(1);
        }
    };
    Inside::run(dpkg, tell).context("configuring the packages")?;
    for path in [POLICY.0].into_iter().chain(HOST_KEYS) {
        fs::remove_file(tree.join(path)).with_context(|| format!("removing /{path}"))?;
    }
    let states = states(tree)?;
    let unfinished: Vec<_> = states
        .iter()
        .filter(|(_, state)| *state != "install ok installed")
        .map(|(name, _)| name.as_str())
        .collect();
    ensure!(unfinished.is_empty(), "dpkg left packages unconfigured: {}", unfinished.join(", "));
    ensure!(states.len() == packages, "dpkg knows {} packages, and {packages} were unpacked", states.len());
    Ok(())
}

/// The state of every package in the database below `tree`.
fn states(tree: &Path) -> Result<BTreeMap<String, String>> {
    let path = tree.join("var/lib/dpkg/status");
    let context = || format!("reading {}", path.display());
    let status = fs::read(&path).with_context(context)?;
    let (mut reader, mut paragraph) = (Reader::new(status.as_slice()), Paragraph::default());
    let mut states = BTreeMap::new();
    while reader.next(&mut paragraph).with_context(context)? {
        let field = |name: &str| paragraph.get(name).unwrap_or_default();
        states.insert(format!("{}:{}", field("Package"), field("Architecture")), field("Status").to_owned());
    }
    Ok(states)
}

fn put(tree: &Path, path: &str, content: &str, mode: u32) -> Result<()> {
    let path = tree.join(path);
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    };
    write().with_context(|| format!("writing {}", path.display()))
}
