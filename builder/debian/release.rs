//! The Release file of a suite: who made it, when, and the digests of its indexes.
//!
//! The text that a signature covers goes in (see [`super::trust`]), a [`Release`] comes out. [`Release::check`] judges
//! it against what was asked for; the clock is an argument.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};

use super::{control, date};
use crate::digest::Sha256;

/// How far a release's date may lie ahead of this machine's clock, in seconds: clocks differ.
const CLOCK_SKEW: i64 = 3600;

/// What a verified Release file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Origin`: `Debian`.
    pub origin: String,
    /// `Suite`: `stable-security`.
    pub suite: String,
    /// `Codename`: `trixie-security`.
    pub codename: String,
    /// `Date`, in seconds since 1970.
    pub date: i64,
    /// `Valid-Until`, in seconds since 1970; archives that are frozen have none.
    pub valid_until: Option<i64>,
    /// Whether files may be asked for under `by-hash/SHA256/`.
    pub by_hash: bool,
    /// Whether packages of the architecture `all` have an index of their own.
    pub separate_all: bool,
    /// The files of the suite with size and digest, by path below `dists/<suite>/`.
    files: BTreeMap<String, (u64, Sha256)>,
}

/// What a release must be to be used.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The `Origin`.
    pub origin: &'a str,
    /// The suite that was asked for; the release's `Suite` or `Codename` must be it.
    pub suite: &'a str,
    /// The `Codename`.
    pub codename: &'a str,
}

/// An index of a release, in the smallest form that it offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// The path below `dists/<suite>/`.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
    /// The digest.
    pub sha256: Sha256,
}

impl Release {
    /// Reads the text of a Release file.
    ///
    /// # Errors
    /// If it is malformed or lacks a field that trust depends on.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let paragraph = control::single(text.as_bytes()).context("reading the Release file")?;
        let field =
            |name: &str| paragraph.get(name).with_context(|| format!("the Release file has no `{name}`"));
        let says = |name: &str, value: &str| {
            paragraph.get(name).is_some_and(|field| field.split_whitespace().any(|word| word == value))
        };
        Ok(Self {
            origin: field("Origin")?.to_owned(),
            suite: field("Suite")?.to_owned(),
            codename: field("Codename")?.to_owned(),
            date: date::parse(field("Date")?)?,
            valid_until: paragraph.get("Valid-Until").map(date::parse).transpose()?,
            by_hash: says("Acquire-By-Hash", "yes"),
            separate_all: says("Architectures", "all")
                && !says("No-Support-for-Architecture-all", "Packages"),
            files: files(field("SHA256")?)?,
        })
    }

    /// Judges the release at the moment `now` (seconds since 1970).
    ///
    /// # Errors
    /// If it is another suite than the expected one, from the future, or expired.
    pub fn check(&self, expected: &Expected<'_>, now: i64) -> anyhow::Result<()> {
        ensure!(
            self.origin == expected.origin && self.codename == expected.codename,
            "it is `{}` of {}, not `{}` of {}",
            self.codename,
            self.origin,
            expected.codename,
            expected.origin
        );
        ensure!(
            expected.suite == self.suite || expected.suite == self.codename,
            "it is the suite `{}`, not `{}`",
            self.suite,
            expected.suite
        );
        if self.date > now + CLOCK_SKEW {
            bail!(
                "it is dated {}, which is in the future; is this machine's clock right?",
                date::day(self.date)
            );
        }
        match self.valid_until {
            Some(until) if until < now => bail!(
                "it expired on {} (made on {}); the mirror is out of date, or this machine's clock is wrong",
                date::day(until),
                date::day(self.date)
            ),
            _ => Ok(()),
        }
    }

    /// The indexes with the packages of `component` for `architecture`.
    ///
    /// # Errors
    /// If the release has none in a form that can be read.
    pub fn indexes(&self, component: &str, architecture: &str) -> anyhow::Result<Vec<IndexFile>> {
        let mut found = vec![self.index(component, architecture).with_context(|| {
            format!("the release `{}` has no packages in `{component}` for {architecture}", self.codename)
        })?];
        if self.separate_all {
            found.extend(self.index(component, "all"));
        }
        Ok(found)
    }

    fn index(&self, component: &str, architecture: &str) -> Option<IndexFile> {
        [".xz", ".gz", ""].iter().find_map(|ending| {
            let path = format!("{component}/binary-{architecture}/Packages{ending}");
            let (size, sha256) = *self.files.get(&path)?;
            Some(IndexFile { path, size, sha256 })
        })
    }
}

impl IndexFile {
    /// Where the file is below `dists/<suite>/` under its digest.
    pub fn by_hash_path(&self) -> String {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/by-hash/SHA256/{}", self.sha256)
    }
}

/// Reads lines of digest, size and path.
fn files(field: &str) -> anyhow::Result<BTreeMap<String, (u64, Sha256)>> {
    let mut files = BTreeMap::new();
    for line in field.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [digest, size, path] = words[..] else { bail!("the Release file has the line `{line}`") };
        // Only indexes are ever asked for, and a Release file has thousands of lines.
        if path.contains("/binary-") {
            let size = size.parse().with_context(|| format!("the Release file has the line `{line}`"))?;
            files.insert(path.to_owned(), (size, digest.parse()?));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nCodename: trixie-security\n\
        Date: Fri, 20 Nov 2026 00:12:42 UTC\nValid-Until: Fri, 27 Nov 2026 00:12:42 UTC\nAcquire-By-Hash: yes\n\
        Architectures: amd64\nSHA256:\n \
        0e18101e479b4c4aae2810379d7edc81bb4f156f5cbb8a542da9a28145554884   306312 main/binary-amd64/Packages.xz\n \
        0b2bc4ee45373a16df3e95a0e5529fbf56a110688acb9b48035a4bf8507cfbea  2224071 main/binary-amd64/Packages\n";
    const NOW: i64 = 1_795_200_000;
    const EXPECTED: Expected<'_> =
        Expected { origin: "Debian", suite: "trixie-security", codename: "trixie-security" };

    #[test]
    fn a_release_names_its_indexes() {
        let release = Release::parse(TEXT).unwrap();
        release.check(&EXPECTED, NOW).unwrap();
        let indexes = release.indexes("main", "amd64").unwrap();
        assert_eq!(indexes.len(), 1);
        assert_eq!((indexes[0].path.as_str(), indexes[0].size), ("main/binary-amd64/Packages.xz", 306_312));
        assert!(indexes[0].by_hash_path().starts_with("main/binary-amd64/by-hash/SHA256/0e18"));
        assert!(release.indexes("main", "arm64").is_err());
    }

    #[test]
    fn all_has_its_own_index_only_where_the_release_says_so() {
        for (architectures, extra, expected) in [
            ("amd64", "", 1),
            ("all amd64", "", 2),
            ("all amd64", "No-Support-for-Architecture-all: Packages\n", 1),
        ] {
            let text = TEXT
                .replace("Architectures: amd64\n", &format!("Architectures: {architectures}\n{extra}"))
                + " 0b2bc4ee45373a16df3e95a0e5529fbf56a110688acb9b48035a4bf8507cfbea 1 main/binary-all/Packages\n";
            let indexes = Release::parse(&text).unwrap().indexes("main", "amd64").unwrap();
            assert_eq!(indexes.len(), expected, "{architectures} {extra}");
        }
    }

    #[test]
    fn unsuitable_releases_are_refused_with_a_reason() {
        let check = |text: &str, now| Release::parse(text).and_then(|release| release.check(&EXPECTED, now));
        let cases = [
            (TEXT.replace("Origin: Debian", "Origin: Ubuntu"), NOW, "of Ubuntu"),
            (TEXT.replace("trixie-security", "bookworm-security"), NOW, "bookworm-security"),
            (TEXT.to_owned(), NOW + 30 * 86400, "expired on 2026-11-27"),
            (TEXT.to_owned(), NOW - 30 * 86400, "in the future"),
            (TEXT.replace("Date: Fri", "Data: Fri"), NOW, "no `Date`"),
            (TEXT.replace("SHA256:", "SHA1:"), NOW, "no `SHA256`"),
            (TEXT.replace("   306312 ", " large "), NOW, "large"),
        ];
        for (text, now, expected) in cases {
            let error = format!("{:#}", check(&text, now).unwrap_err());
            assert!(error.contains(expected), "{error} does not say `{expected}`");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in ".*") {
            let _ = Release::parse(&text);
        }
    }
}
