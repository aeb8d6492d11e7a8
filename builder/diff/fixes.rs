//! Which CVEs were fixed between two versions of a package, as its changelog says.
//!
//! The changelog is in the package: it is read where the cache has the new .deb, and nothing is fetched for it. Packages of one
//! source have one changelog, so that the smallest of them is read. Its format is described in deb-changelog(5).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use anyhow::Result;

use super::{Difference, PackageMove};
use crate::debian::deb::{Deb, MemberKind};
use crate::debian::version;
use crate::fetch::Cache;
use crate::lock::{Lock, Package};

/// How long a changelog may be, in bytes: the kernel's has 3 MiB.
const LONGEST: u64 = 64 << 20;

/// How many names a sentence lists.
const NAMED: usize = 5;

/// Where the changelog is: of a package of Debian's, and of one that is Debian's own.
const PLACES: [&str; 2] = ["changelog.Debian.gz", "changelog.gz"];

/// A source whose packages moved from one version to another.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    /// Its folder in the archive.
    folder: String,
    old: String,
    new: String,
}

/// Adds to every upgraded package of the box which CVEs were fixed, as far as the cache in the folder `cache` has the packages
/// of the lock `new`; says of the others that they were not looked at.
///
/// # Errors
/// If the cache cannot be read, or a package in it is damaged.
pub fn look_for_fixes(difference: &mut Difference, new: &Lock, cache: &Path) -> Result<()> {
    let mut sources: BTreeMap<Source, BTreeSet<String>> = BTreeMap::new();
    for change in upgraded(difference) {
        let package = new.packages.iter().find(|package| package.name == change.name);
        if let (Some(package), Some(old)) = (package, &change.old) {
            let source = Source { folder: folder(package), old: old.clone(), new: package.version.clone() };
            sources.entry(source).or_default().insert(package.name.clone());
        }
    }
    // A cache that nobody has made yet is not made for this.
    let cache = cache.join("objects").is_dir().then(|| Cache::open(cache)).transpose()?;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (source, names) in sources {
        let fixed =
            cache.as_ref().map(|cache| of_source(&source, &new.packages, cache)).transpose()?.flatten();
        found.extend(fixed.iter().flat_map(|fixed| names.iter().map(|name| (name.clone(), fixed.clone()))));
    }
    for change in &mut difference.packages {
        if is_upgraded(change) {
            change.fixed = found.get(&change.name).cloned();
        }
    }
    let unknown: Vec<&str> = upgraded(difference)
        .filter(|change| change.fixed.is_none())
        .map(|change| change.name.as_str())
        .collect();
    difference.not_compared.extend(sentence(&unknown));
    Ok(())
}

fn upgraded(difference: &Difference) -> impl Iterator<Item = &super::PackageChange> {
    difference.packages.iter().filter(|change| is_upgraded(change))
}

/// Tools are no part of the box: what is fixed in them does not concern it.
fn is_upgraded(change: &super::PackageChange) -> bool {
    change.change == PackageMove::Upgraded && ["base", "profile"].contains(&change.part_of)
}

/// What to say of packages whose changelogs were not read.
fn sentence(names: &[&str]) -> Option<String> {
    let listed = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| {
        format!(
            "CVEs fixed in {listed}{more}: the cache has no package with a changelog that reaches the new version; \
             `boxwright build` fetches packages"
        )
    })
}

/// The CVEs of one source, from the smallest of its packages that is in the cache and has the changelog. That may be one that
/// did not move, but came: the kernel's has its version in its name.
fn of_source(source: &Source, packages: &[Package], cache: &Cache) -> Result<Option<Vec<String>>> {
    let same = |package: &&Package| folder(package) == source.folder && package.version == source.new;
    let mut packages: Vec<&Package> = packages.iter().filter(same).collect();
    packages.sort_by_key(|package| (package.size, &package.name));
    for package in packages {
        let Some(path) = cache.find(&package.sha256)? else { continue };
        let fixed = changelog(&path, &package.name)?.and_then(|text| fixed(&text, &source.old, &source.new));
        if fixed.is_some() {
            return Ok(fixed);
        }
    }
    Ok(None)
}

/// The folder of a package's source in the archive.
fn folder(package: &Package) -> String {
    package.path.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default()
}

/// The changelog in the package at `path`, if it has its own: the folder may be a link to another package's.
fn changelog(path: &Path, name: &str) -> Result<Option<String>> {
    let folder = Path::new("usr/share/doc").join(name);
    let mut texts: BTreeMap<usize, String> = BTreeMap::new();
    Deb::open(path)?.data(|member, content| {
        let place = PLACES.iter().position(|file| member.path == folder.join(file));
        if let (Some(place), MemberKind::File(_)) = (place, member.kind) {
            let mut bytes = Vec::new();
            flate2::read::MultiGzDecoder::new(content).take(LONGEST).read_to_end(&mut bytes)?;
            texts.insert(place, String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(())
    })?;
    Ok(texts.into_values().next())
}

/// The CVEs named in entries later than `old` and up to `new`; none if there is no entry for `new`, since its numbers are
/// other ones then (of a package that has not its source's version).
fn fixed(changelog: &str, old: &str, new: &str) -> Option<Vec<String>> {
    let (old, new) = (without_rebuilds(old), without_rebuilds(new));
    let mut found = BTreeSet::new();
    let (mut known, mut meant) = (false, false);
    for line in changelog.lines() {
        if let Some(version) = entry(line) {
            let order = version::compare(&version, new);
            known |= order == Ordering::Equal;
            meant = order != Ordering::Greater && version::compare(&version, old) == Ordering::Greater;
        }
        if meant {
            found.extend(cves(line));
        }
    }
    known.then(|| found.into_iter().collect())
}

/// The version of an entry, if `line` begins one: `openssl (3.5.4-1) trixie; urgency=medium`.
///
/// Sources of signed programs are made from another source, and write its version without a hyphen: `linux-signed-amd64
/// (6.12.117+1)` is `linux (6.12.117-1)`, which is what its packages are called.
fn entry(line: &str) -> Option<String> {
    let (name, rest) = line.split_once(" (")?;
    let (version, rest) = rest.split_once(')')?;
    let begins = !name.is_empty() && !name.contains(char::is_whitespace) && rest.contains(';');
    let signed = name.contains("-signed-") && !version.contains('-');
    let version = match version.rsplit_once('+') {
        Some((upstream, revision)) if signed => format!("{upstream}-{revision}"),
        _ => version.to_owned(),
    };
    begins.then_some(version)
}

/// A version without the mark of a rebuild from the same source, which has no entry: `1.2-3+b1`.
fn without_rebuilds(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            source
        }
        _ => version,
    }
}

/// All of the form `CVE-2026-12345` in `line`.
fn cves(line: &str) -> impl Iterator<Item = String> {
    line.match_indices("CVE-").filter_map(|(at, mark)| {
        let rest = line.get(at + mark.len()..)?;
        let (year, rest) = rest.split_once('-')?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let whole = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()) && digits >= 4;
        whole.then(|| format!("CVE-{year}-{}", rest.get(..digits).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "\
x (3.5.4-2) unstable; urgency=medium

  * Fixes CVE-2026-9999.

x (3.5.4-1~deb13u1) trixie-security; urgency=high

  * CVE-2026-12345 (a leak), CVE-2026-0001; CVE-20-1, CVE-2026-123, CVE-
    (see CVE-2026-12345)

 -- A <a@example.org>  Fri, 20 Nov 2026 00:00:00 +0000

x (3.5.1-1+deb13u1) trixie-security; urgency=medium

  * CVE-2025-1111

x (3.5.1-1) unstable; urgency=medium

  * CVE-2024-2222
";

    #[test]
    fn cves_between_two_versions_are_found() {
        let all = |old: &str, new: &str| fixed(CHANGELOG, old, new);
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(all("3.5.1-1+deb13u1", "3.5.4-1~deb13u1"), list(&["CVE-2026-0001", "CVE-2026-12345"]));
        assert_eq!(
            all("3.5.1-1+b2", "3.5.4-1~deb13u1+b1"),
            list(&["CVE-2025-1111", "CVE-2026-0001", "CVE-2026-12345"])
        );
        assert_eq!(all("3.5.1-1", "3.5.1-1+deb13u1"), list(&["CVE-2025-1111"]));
        assert_eq!(all("3.5.1-1+deb13u1", "3.5.3-1"), None, "there is no such entry");
    }

    #[test]
    fn the_kernels_changelog_is_that_of_its_signed_source() {
        let text = "linux-signed-amd64 (6.12.117+1) trixie-security; urgency=high\n\n  * CVE-2026-3333\n\n\
                    linux (6.12.107-1) trixie-security; urgency=high\n\n  * CVE-2026-4444\n";
        assert_eq!(fixed(text, "6.12.107-1", "6.12.117-1"), Some(vec!["CVE-2026-3333".to_owned()]));
    }

    #[test]
    fn what_was_not_looked_at_is_said() {
        assert_eq!(sentence(&[]), None);
        let said = sentence(&["a", "b", "c", "d", "e", "f"]).unwrap();
        assert!(said.contains("a, b, c, d, e and 1 more:"), "{said}");
    }
}
