//! Paths that two packages have, and paths that a package has diverted: whose file is where.
//!
//! dpkg decides while it unpacks one package after the other. Here everything is unpacked at once, what was in the way
//! was left alone, and this puts the right file in the right place afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::package::{Made, Package};
use crate::debian::unpack::Target;

/// Gives each disputed path to the package that says that it replaces the files of all others that have it; these lose
/// the path from their lists. Returns the files that could not be made as they should be. Paths that nobody may take
/// stay disputed: a diversion may settle them.
pub(super) fn settle(packages: &mut [Package<'_>], target: &Target, newest: i64) -> Result<Vec<Made>> {
    let disputed: BTreeSet<PathBuf> =
        packages.iter().flat_map(|package| package.taken.iter().cloned()).collect();
    let mut made = Vec::new();
    for path in disputed {
        let owners = owners(packages, &path);
        let replaces_all = |winner: &&usize| {
            owners
                .iter()
                .all(|other| *winner == other || packages[**winner].replaces(&packages[*other].deb.name))
        };
        let winners: Vec<usize> = owners.iter().filter(replaces_all).copied().collect();
        let [winner] = winners[..] else { continue };
        if packages[winner].taken.remove(&path) {
            target.remove(&path)?;
            made.extend(packages[winner].place_again(&path, &path, target, newest)?);
        }
        for loser in owners.into_iter().filter(|owner| *owner != winner) {
            packages[loser].taken.remove(&path);
            packages[loser].list.retain(|listed| *listed != path);
        }
    }
    Ok(made)
}

/// Moves the files of diverted paths, as the file of diversions below `root` says: `from` belongs to the package that
/// made the diversion, all others' files are at `to`. Returns the files that could not be made as they should be.
///
/// # Errors
/// If a path is still in more than one package.
pub(super) fn divert(
    root: &Path,
    packages: &mut [Package<'_>],
    target: &Target,
    newest: i64,
) -> Result<Vec<Made>> {
    let path = root.join("var/lib/dpkg/diversions");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut made = Vec::new();
    for (from, (to, diverter)) in parse(&text)? {
        let owners = owners(packages, &from);
        let (keeps, moves): (Vec<usize>, Vec<usize>) =
            owners.into_iter().partition(|owner| packages[*owner].deb.name == diverter);
        if moves.is_empty() {
            continue;
        }
        target.remove(&from)?;
        for (owners, place) in [(keeps, &from), (moves, &to)] {
            for owner in owners {
                packages[owner].taken.remove(&from);
                made.extend(packages[owner].place_again(&from, place, target, newest)?);
            }
        }
    }
    for package in packages.iter() {
        if let Some(path) = package.taken.first() {
            let names: Vec<&str> =
                owners(packages, path).into_iter().map(|owner| packages[owner].deb.name.as_str()).collect();
            bail!(
                "/{} is in the packages {}, and none replaces the others",
                path.display(),
                names.join(", ")
            );
        }
    }
    Ok(made)
}

/// The packages that have `path`.
fn owners(packages: &[Package<'_>], path: &Path) -> Vec<usize> {
    let has = |index: &usize| packages[*index].list.iter().any(|listed| listed == path);
    (0..packages.len()).filter(has).collect()
}

/// Diverted paths with the new path and the package that diverts (`:` is the administrator), three lines each; the paths
/// are relative to the root.
fn parse(text: &str) -> Result<BTreeMap<PathBuf, (PathBuf, String)>> {
    let lines: Vec<&str> = text.lines().collect();
    let relative = |path: &str| PathBuf::from(path.trim_start_matches('/'));
    lines
        .chunks(3)
        .map(|lines| match lines {
            [from, to, package] => Ok((relative(from), (relative(to), (*package).to_owned()))),
            _ => bail!("dpkg's list of diversions ends in the middle of one"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diversions_come_in_threes() {
        let diversions = parse("/a/b\n/a/b.x\npkg\n/c\n/c.x\n:\n").unwrap();
        assert_eq!(diversions[Path::new("a/b")], ("a/b.x".into(), "pkg".into()));
        assert_eq!(diversions[Path::new("c")], ("c.x".into(), ":".into()));
        assert!(parse("/a\n/b\n").is_err());
    }
}
