//! Chooses the packages of a box, of the tools, and of the virtual machine, from verified suites.
//!
//! A [`PackageRequest`] and the time go in, [`Resolved`] packages come out; [`update`] makes the next lock of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::format::{Archive, Image, Lock, Package, SCHEMA};
use super::keep::{self, Keep, Stay};
use super::mirrors::HostMirrors;
use super::request::{PackageRequest, Wishes};
use super::suites::{self, Suites, World};
use crate::context::Context;
use crate::debian::date;
use crate::debian::index::Candidate;
use crate::debian::solve::{self, Request};
use crate::diag::InputError;
use crate::digest::Sha256;
use crate::fetch::Fetcher;

/// Everything in a lock but the container images and the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// See [`Lock::time`].
    pub time: i64,
    /// See [`Lock::distribution`].
    pub distribution: String,
    /// See [`Lock::platform`].
    pub platform: String,
    /// See [`Lock::request`].
    pub request: Sha256,
    /// See [`Lock::archives`].
    pub archives: Vec<Archive>,
    /// See [`Lock::packages`].
    pub packages: Vec<Package>,
    /// See [`Lock::tools`].
    pub tools: Vec<Package>,
    /// See [`Lock::machine`].
    pub machine: Vec<Package>,
}

/// Chooses packages for `request` from what the archives hold at the moment `now` (seconds since 1970), and not before `old`
/// was made.
///
/// # Errors
/// [`InputError`] if packages do not exist or exclude each other, with the chain; other errors if no mirror has a
/// release that can be trusted, or a file cannot be fetched.
pub fn resolve_packages(
    request: &PackageRequest,
    old: Option<&Lock>,
    now: i64,
    context: &Context,
) -> anyhow::Result<Resolved> {
    resolve(request, (old, None), now, context)
}

/// The same, with what `keep` says staying as it is in a former lock, as far as that is possible. What moves besides is
/// told, with the reason.
///
/// # Errors
/// As for [`resolve_packages`].
pub fn resolve_keeping(
    request: &PackageRequest,
    keep: &Keep<'_>,
    now: i64,
    context: &Context,
) -> anyhow::Result<Resolved> {
    resolve(request, (Some(keep.old), Some(keep)), now, context)
}

fn resolve(
    request: &PackageRequest,
    (old, keep): (Option<&Lock>, Option<&Keep<'_>>),
    now: i64,
    context: &Context,
) -> anyhow::Result<Resolved> {
    let wishes = request.load(&context.project)?;
    let fetcher = Fetcher::new(context)?;
    let host = HostMirrors::read(Path::new("/"));
    let files = keep.map(Keep::files).unwrap_or_default();
    let old = old.filter(|old| old.distribution == request.distribution);
    let former = old.map_or(&[][..], |old| &old.archives);
    let world = World { context, fetcher: &fetcher, host: &host, now, keep: &files, former };
    let suites = suites::read(&wishes.distribution, world)?;
    let step = context.ui.step("choosing packages");
    let (resolved, notes) = choose(&wishes, suites, keep)?;
    step.done(format!(
        "{} for the box, {} tools",
        resolved.packages.len(),
        resolved.tools.len() + resolved.machine.len()
    ));
    notes.iter().for_each(|note| context.ui.note(format!("  {note}")));
    Ok(resolved)
}

/// Solves all three sets; says what had to move that was to stay.
fn choose(
    wishes: &Wishes,
    suites: Suites,
    keep: Option<&Keep<'_>>,
) -> anyhow::Result<(Resolved, BTreeSet<String>)> {
    let Suites { archives, time, index } = suites;
    let (none, nothing, free) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    let distribution = &wishes.distribution;
    let request_digest = wishes.digest();
    let mut notes = BTreeSet::new();
    let mut set =
        |title: &str, old: Option<Stay<'_>>, request: &Request<'_>| -> anyhow::Result<Vec<Package>> {
            let stay = match old {
                Some(Stay::AsItIs(packages)) => return Ok(packages.to_vec()),
                Some(Stay::IfPossible(stay)) => stay,
                None => BTreeMap::new(),
            };
            let held = keep::held(&stay, keep, &index, request.wanted);
            let chosen = solve::solve(&index, &Request { held: &held, ..*request }).map_err(|conflict| {
                let advice = if stay.is_empty() { "" } else { keep::ADVICE };
                let conflict = conflict.to_string();
                InputError(format!("{title} of {}: {}{advice}", distribution.title, conflict.trim_end()))
            })?;
            notes.extend(keep::moved_along(&stay, &chosen, &index));
            Ok(chosen.into_iter().map(|candidate| package(candidate, &archives)).collect())
        };
    let system = Request {
        wanted: &wishes.packages,
        excluded: &distribution.system.excluded,
        assumed: &nothing,
        system: true,
        held: &free,
    };
    let packages = set("choosing the packages", keep.map(|keep| keep.packages(&request_digest)), &system)?;
    let tools = &distribution.tools;
    let tool =
        |wanted| Request { wanted, excluded: &none, assumed: &tools.assumed, system: false, held: &free };
    let stay = || keep.map(|keep| keep.tools(&request_digest));
    let build = set("choosing the tools", stay(), &tool(&wishes.tools))?;
    let both: Vec<String> = wishes.tools.iter().chain(&tools.machine).cloned().collect();
    let mut machine = match (keep, stay()) {
        (Some(keep), Some(Stay::AsItIs(_))) => keep.old.machine.clone(),
        (_, stay) => set("choosing the virtual machine", stay, &tool(&both))?,
    };
    let names: BTreeSet<&str> = build.iter().map(|package| package.name.as_str()).collect();
    machine.retain(|package| !names.contains(package.name.as_str()));
    let resolved = Resolved {
        time,
        distribution: distribution.name.clone(),
        platform: wishes.platform.name.clone(),
        request: request_digest,
        packages,
        tools: build,
        machine,
        archives,
    };
    Ok((resolved, notes))
}

fn package(candidate: &Candidate, archives: &[Archive]) -> Package {
    Package {
        name: candidate.name.clone(),
        version: candidate.version.clone(),
        architecture: candidate.architecture.clone(),
        sha256: candidate.sha256,
        size: candidate.size,
        path: candidate.path.clone(),
        archive: archives.get(candidate.suite).map(|archive| archive.id.clone()).unwrap_or_default(),
    }
}

/// The lock that follows `old`. Its version is larger if anything differs; else it is `old` itself.
///
/// The version begins with the day of the archives (`2026112101`), so that it also grows where a lock file was lost.
pub fn update(old: Option<&Lock>, resolved: Resolved, images: Vec<Image>) -> Lock {
    let mut lock = Lock {
        schema: SCHEMA,
        // What of the project the box is made of is recorded last, by who knows it.
        program: old.and_then(|old| old.program.clone()),
        version: old.map_or(0, |old| old.version),
        time: old.map_or(resolved.time, |old| old.time.max(resolved.time)),
        distribution: resolved.distribution,
        platform: resolved.platform,
        request: resolved.request,
        archives: resolved.archives,
        keys: old.map(|old| old.keys.clone()).unwrap_or_default(),
        sources: old.map(|old| old.sources.clone()).unwrap_or_default(),
        packages: resolved.packages,
        tools: resolved.tools,
        machine: resolved.machine,
        images,
    }
    .sorted();
    lock.images.dedup();
    if old != Some(&lock) {
        let day: u64 = date::day(lock.time).replace('-', "").parse().unwrap_or_default();
        lock.version = (lock.version + 1).max(day * 100 + 1);
    }
    lock
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(version: &str) -> Resolved {
        Resolved {
            time: 1_795_141_679,
            distribution: "debian-13".into(),
            platform: "uefi-x86_64".into(),
            request: Sha256::of_bytes(b""),
            archives: vec![],
            packages: vec![Package {
                name: "a".into(),
                version: version.into(),
                architecture: "all".into(),
                sha256: Sha256::of_bytes(version.as_bytes()),
                size: 1,
                path: "pool/a".into(),
                archive: "trixie".into(),
            }],
            tools: vec![],
            machine: vec![],
        }
    }

    #[test]
    fn the_version_grows_with_each_change_and_only_then() {
        let first = update(None, resolved("1"), vec![]);
        assert_eq!(first.version, 2_026_112_001);
        assert_eq!(update(Some(&first), resolved("1"), vec![]), first);
        let second = update(Some(&first), resolved("2"), vec![]);
        assert_eq!(second.version, 2_026_112_002);
        let late = Lock { version: 2_030_010_105, ..second };
        assert_eq!(update(Some(&late), resolved("1"), vec![]).version, 2_030_010_106);
    }
}
