//! The files of locked packages: from the cache, a mirror, or the distribution's snapshot service.
//!
//! Packages of a lock go in, verified .deb files come out. With everything in the cache no network is used.

use std::path::Path;

use super::format::{Lock, Package};
use super::mirrors::{self, HostMirrors};
use crate::context::Context;
use crate::debian::date;
use crate::debian::deb::DebFile;
use crate::diag::InputError;
use crate::fetch::{FetchError, Fetcher, Wanted};
use crate::firmware::Distribution;
use crate::ui::human_bytes;

/// How much later than the lock a snapshot is asked for first, in seconds: snapshots are taken every six hours, and one
/// before the lock's time may lack what was newest then.
const SNAPSHOT_DELAYS: [i64; 3] = [6 * 3600, 24 * 3600, 0];

/// Fetches `packages` of `lock`, in parallel, and returns their files in the same order. Every digest was checked.
///
/// # Errors
/// If a package cannot be had; the message says what to do.
pub fn fetch(packages: &[Package], lock: &Lock, context: &Context) -> anyhow::Result<Vec<DebFile>> {
    let distribution = Distribution::load(&context.project, &lock.distribution)?;
    let host = HostMirrors::read(Path::new("/"));
    let fetcher = Fetcher::new(context)?;
    let wanted = packages
        .iter()
        .map(|package| wanted(package, lock, &Places { distribution: &distribution, host: &host, context }))
        .collect::<anyhow::Result<Vec<Wanted>>>()?;
    let total = wanted.iter().map(|file| file.size).sum();
    let step = context.ui.step("fetching packages");
    step.total_bytes(total);
    let paths = fetcher.fetch(&wanted, &step).map_err(advise)?;
    step.done(format!("{} packages, {}", packages.len(), human_bytes(total)));
    Ok(packages
        .iter()
        .zip(paths)
        .map(|(package, path)| DebFile {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            sha256: package.sha256,
            path,
        })
        .collect())
}

/// Where packages may be.
struct Places<'a> {
    distribution: &'a Distribution,
    host: &'a HostMirrors,
    context: &'a Context,
}

fn wanted(package: &Package, lock: &Lock, places: &Places<'_>) -> anyhow::Result<Wanted> {
    let archive = lock.archives.iter().find(|archive| archive.id == package.archive).ok_or_else(|| {
        InputError(format!("the lock takes {} from the unknown archive `{}`", package.name, package.archive))
    })?;
    let chosen: Vec<&str> = places.context.mirror.as_deref().into_iter().collect();
    let mirrors = mirrors::order(places.distribution, &archive.role, &chosen, places.host);
    let urls = mirrors.iter().map(|mirror| format!("{mirror}/{}", package.path)).collect();
    let pattern = places.distribution.snapshot.get(&archive.role);
    let last_resort = pattern.map_or_else(Vec::new, |pattern| {
        let at = |delay: &i64| {
            pattern.replace("{time}", &date::compact(lock.time + delay)).replace("{path}", &package.path)
        };
        SNAPSHOT_DELAYS.iter().map(at).collect()
    });
    Ok(Wanted {
        name: format!("{} {}", package.name, package.version),
        urls,
        last_resort,
        sha256: package.sha256,
        size: package.size,
    })
}

/// Adds what to do next.
fn advise(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<FetchError>() {
        Some(fetch) if fetch.gone => error.context(
            "a locked package is no longer on the mirrors; `boxwright lock --update` moves the lock to what they hold today",
        ),
        Some(_) => error.context("a package could not be fetched; what has arrived is kept: run the same command again, or name another mirror with \
             --mirror"),
        None => error,
    }
}

/// The total size of `packages` in bytes.
pub fn total_size(packages: &[Package]) -> u64 {
    packages.iter().map(|package| package.size).sum()
}
