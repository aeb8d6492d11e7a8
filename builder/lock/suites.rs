//! The suites of a distribution, fetched and verified: from the mirrors' InRelease files to one package index.
//!
//! Mirrors and pinned keys go in; [`Suites`] come out, in which every byte is covered by a signature. Which packages are
//! taken is decided elsewhere.

use std::collections::BTreeSet;
use std::io::BufReader;

use anyhow::{Context as _, bail};

use super::format::Archive;
use super::mirrors::{self, HostMirrors};
use crate::context::Context;
use crate::debian::date;
use crate::debian::index::{self, Index};
use crate::debian::release::{Expected, Release};
use crate::debian::trust::{self, Keyring};
use crate::digest::Sha256;
use crate::fetch::{Fetcher, Wanted};
use crate::firmware::{ArchiveSpec, Distribution};

/// What the archives hold.
#[derive(Debug)]
pub(super) struct Suites {
    /// The verified suites, in the order of the distribution file; a candidate's suite is an index into it.
    pub archives: Vec<Archive>,
    /// Seconds since 1970: the newest date of the suites.
    pub time: i64,
    /// All packages.
    pub index: Index,
}

/// Where and when suites are read.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub context: &'a Context,
    pub fetcher: &'a Fetcher,
    pub host: &'a HostMirrors,
    /// Seconds since 1970.
    pub now: i64,
    /// The files of packages that are to stay in the index beside newer ones.
    pub keep: &'a BTreeSet<Sha256>,
    /// The suites of the former lock, behind which none of these may fall.
    pub former: &'a [Archive],
}

/// A verified release and where it came from.
struct Found {
    release: Release,
    archive: Archive,
    /// The mirrors to take the indexes from, the one that sent the release first.
    mirrors: Vec<String>,
}

/// Fetches, verifies and reads all suites of `distribution`.
pub(super) fn read(distribution: &Distribution, world: World<'_>) -> anyhow::Result<Suites> {
    let step = world.context.ui.step("reading package lists");
    let keyring = keyring(distribution)?;
    let found = in_parallel(&distribution.archives, |spec| find(spec, distribution, &keyring, world))?;
    let mut wanted = Vec::new();
    let mut owners = Vec::new();
    for (number, found) in found.iter().enumerate() {
        for file in indexes(found, &distribution.architecture)? {
            wanted.push(file);
            owners.push(number);
        }
    }
    step.total_bytes(wanted.iter().map(|file| file.size).sum());
    let paths = world.fetcher.fetch(&wanted, &step)?;
    let files: Vec<_> = paths.iter().zip(&wanted).zip(&owners).collect();
    let indexes = in_parallel(&files, |((path, wanted), suite)| {
        let file = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let mut index = Index::keeping(world.keep.clone());
        let stream = index::decompress(&wanted.name, file)?;
        index
            .add(BufReader::with_capacity(1 << 18, stream), &distribution.architecture, **suite)
            .with_context(|| format!("reading {}", wanted.name))?;
        Ok(index)
    })?;
    let mut index = Index::new();
    indexes.into_iter().for_each(|part| index.merge(part));
    step.done(format!("{} packages in {} suites", index.len(), found.len()));
    Ok(Suites {
        time: found.iter().map(|found| found.release.date).max().unwrap_or_default(),
        archives: found.into_iter().map(|found| found.archive).collect(),
        index,
    })
}

/// The distribution's keys.
fn keyring(distribution: &Distribution) -> anyhow::Result<Keyring> {
    let read = |file: &String| {
        let path = distribution.folder.join(file);
        std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    let files: Vec<Vec<u8>> = distribution.trust.keys.iter().map(read).collect::<anyhow::Result<_>>()?;
    Keyring::read(&files, &distribution.trust.fingerprints)
        .with_context(|| format!("reading the keys of {}", distribution.title))
}

/// The first mirror with a release that can be trusted.
fn find(
    spec: &ArchiveSpec,
    distribution: &Distribution,
    keyring: &Keyring,
    world: World<'_>,
) -> anyhow::Result<Found> {
    let chosen: Vec<&str> = world.context.mirror.as_deref().into_iter().collect();
    let mirrors = mirrors::order(distribution, &spec.role, &chosen, world.host);
    let mut reasons = Vec::new();
    for (number, mirror) in mirrors.iter().enumerate() {
        crate::interrupt::check()?;
        match release(spec, mirror, keyring, world) {
            Ok((release, release_sha256)) => {
                for reason in &reasons {
                    world.context.ui.note(format!("  {reason}; {mirror} is used instead"));
                }
                let archive = Archive {
                    id: spec.id.clone(),
                    role: spec.role.clone(),
                    suite: spec.suite.clone(),
                    components: spec.components.clone(),
                    release_sha256,
                    date: Some(release.date),
                };
                let mut mirrors = mirrors.clone();
                mirrors[..=number].rotate_right(1);
                return Ok(Found { release, archive, mirrors });
            }
            Err(error) => reasons.push(format!("{mirror}/dists/{}: {error:#}", spec.suite)),
        }
    }
    crate::interrupt::check()?;
    bail!(
        "no mirror has a release of {} ({}) that can be trusted:\n  {}\n\
         name another mirror with --mirror, or in the profile",
        distribution.title,
        spec.suite,
        reasons.join("\n  ")
    )
}

/// The verified release of one mirror, with the digest of its InRelease file.
fn release(
    spec: &ArchiveSpec,
    mirror: &str,
    keyring: &Keyring,
    world: World<'_>,
) -> anyhow::Result<(Release, Sha256)> {
    let url = format!("{mirror}/dists/{}/InRelease", spec.suite);
    let bytes = world.fetcher.text(&url, trust::LARGEST_RELEASE)?;
    let text = keyring.verify(&bytes, world.now)?;
    let release = Release::parse(&text)?;
    let expected = Expected { origin: &spec.origin, suite: &spec.suite, codename: &spec.codename };
    release.check(&expected, world.now)?;
    check_not_older(&release, spec, world.former)?;
    Ok((release, Sha256::of_bytes(&bytes)))
}

/// Fails if the lock was made from a newer release: this mirror lags behind, or shows what was true once, and packages would
/// go back under a larger version.
fn check_not_older(release: &Release, spec: &ArchiveSpec, former: &[Archive]) -> anyhow::Result<()> {
    let same = |archive: &&Archive| archive.id == spec.id && archive.suite == spec.suite;
    match former.iter().find(same).and_then(|archive| archive.date) {
        Some(date) if release.date < date => bail!(
            "it was made on {}, and the lock is from the one of {}: this mirror is behind, try it again later",
            date::timestamp(release.date),
            date::timestamp(date)
        ),
        _ => Ok(()),
    }
}

/// The index files of a release with all their addresses: under the digest, then under the plain name.
fn indexes(found: &Found, architecture: &str) -> anyhow::Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for component in &found.archive.components {
        for file in found.release.indexes(component, architecture)? {
            let mut urls = Vec::new();
            for mirror in &found.mirrors {
                let base = format!("{mirror}/dists/{}", found.archive.suite);
                if found.release.by_hash {
                    urls.push(format!("{base}/{}", file.by_hash_path()));
                }
                urls.push(format!("{base}/{}", file.path));
            }
            wanted.push(Wanted {
                name: format!("{} {}", found.archive.id, file.path),
                urls,
                last_resort: Vec::new(),
                sha256: file.sha256,
                size: file.size,
            });
        }
    }
    Ok(wanted)
}

/// Does `work` for every item in a thread of its own; the results keep the order, the first error wins.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(move || work(item))).collect();
        let results: Vec<_> = threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|_| bail!("a thread that reads package lists has failed")))
            .collect()
    })
}
