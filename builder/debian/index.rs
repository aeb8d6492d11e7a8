//! Package indexes: which packages an archive has, in which versions, and what they need.
//!
//! Decompressed `Packages` streams go in, an [`Index`] comes out: per name the newest version of all suites, as apt
//! chooses it where no suite is preferred. Only the fields that solving and fetching need are kept.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};

use anyhow::Context as _;

use super::control::{Paragraph, Reader};
use super::version;
use crate::digest::Sha256;

/// How much memory a decoder may take, in bytes: `xz -9` needs 65 MiB.
const DECODER_MEMORY: u64 = 256 << 20;

/// One version of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The package's name.
    pub name: String,
    /// Its version, with epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// `Essential: yes`: every system has it.
    pub essential: bool,
    /// How important it is, the most important first.
    pub priority: Priority,
    /// Where the .deb is, below the archive's base address.
    pub path: String,
    /// The size of the .deb in bytes.
    pub size: u64,
    /// The digest of the .deb.
    pub sha256: Sha256,
    /// The number of the suite, in the order in which they were added.
    pub suite: usize,
    relations: Box<Relations>,
}

/// The relations that solving obeys, as they stand in the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Relations {
    pre_depends: String,
    depends: String,
    conflicts: String,
    breaks: String,
    provides: String,
}

/// The field `Priority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// `required`
    Required,
    /// `important`
    Important,
    /// `standard`
    Standard,
    /// `optional`, and anything else.
    Optional,
}

impl Candidate {
    /// `Pre-Depends` and `Depends`, in this order.
    pub fn dependencies(&self) -> [&str; 2] {
        [&self.relations.pre_depends, &self.relations.depends]
    }

    /// `Conflicts` and `Breaks`.
    pub fn exclusions(&self) -> [&str; 2] {
        [&self.relations.conflicts, &self.relations.breaks]
    }

    /// `Provides`.
    pub fn provides(&self) -> &str {
        &self.relations.provides
    }

    /// Reads a paragraph of an index; `None` if it is for another architecture.
    fn read(paragraph: &Paragraph, architecture: &str, suite: usize) -> anyhow::Result<Option<Self>> {
        let field = |name: &str| paragraph.get(name).with_context(|| format!("it has no `{name}`"));
        let text = |name: &str| paragraph.get(name).unwrap_or_default().to_owned();
        if !matches!(field("Architecture")?, own if own == architecture || own == "all") {
            return Ok(None);
        }
        Ok(Some(Self {
            name: field("Package")?.to_owned(),
            version: field("Version")?.to_owned(),
            architecture: text("Architecture"),
            essential: paragraph.get("Essential") == Some("yes"),
            priority: match paragraph.get("Priority") {
                Some("required") => Priority::Required,
                Some("important") => Priority::Important,
                Some("standard") => Priority::Standard,
                _ => Priority::Optional,
            },
            path: field("Filename")?.trim_start_matches("./").to_owned(),
            size: field("Size")?.parse().context("its `Size` is not a number")?,
            sha256: field("SHA256")?.parse()?,
            suite,
            relations: Box::new(Relations {
                pre_depends: text("Pre-Depends"),
                depends: text("Depends"),
                conflicts: text("Conflicts"),
                breaks: text("Breaks"),
                provides: text("Provides"),
            }),
        }))
    }
}

/// The newest version of every package, and further ones that were asked for.
#[derive(Debug, Clone, Default)]
pub struct Index {
    packages: BTreeMap<String, Candidate>,
    /// The files that are kept, whether or not they are the newest.
    wanted: BTreeSet<Sha256>,
    kept: BTreeMap<Sha256, Candidate>,
}

impl Index {
    /// An index without packages.
    pub fn new() -> Self {
        Self::default()
    }

    /// An index without packages that will also have those whose files are among `wanted`, as far as there are any.
    pub fn keeping(wanted: BTreeSet<Sha256>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Adds the packages of a `Packages` stream that are for `architecture` or for all.
    ///
    /// Of equal versions the first one stays: a suite that was added earlier goes first.
    ///
    /// # Errors
    /// If the stream cannot be read or a paragraph is malformed.
    pub fn add(&mut self, stream: impl BufRead, architecture: &str, suite: usize) -> anyhow::Result<()> {
        let mut reader = Reader::new(stream);
        let mut paragraph = Paragraph::default();
        while reader.next(&mut paragraph).context("reading a package index")? {
            let candidate = Candidate::read(&paragraph, architecture, suite).with_context(|| {
                format!(
                    "reading the entry of `{}` in a package index",
                    paragraph.get("Package").unwrap_or("?")
                )
            })?;
            if let Some(candidate) = candidate {
                self.insert(candidate);
            }
        }
        Ok(())
    }

    /// Takes all packages of `other`, by the same rule as [`Index::add`].
    pub fn merge(&mut self, other: Index) {
        if self.packages.is_empty() {
            *self = other;
            return;
        }
        for (digest, candidate) in other.kept {
            self.kept.entry(digest).or_insert(candidate);
        }
        for candidate in other.packages.into_values() {
            self.insert(candidate);
        }
    }

    fn insert(&mut self, candidate: Candidate) {
        if self.wanted.contains(&candidate.sha256) && !self.kept.contains_key(&candidate.sha256) {
            self.kept.insert(candidate.sha256, candidate.clone());
        }
        let newer = self
            .packages
            .get(&candidate.name)
            .is_none_or(|old| version::compare(&candidate.version, &old.version) == Ordering::Greater);
        if newer {
            self.packages.insert(candidate.name.clone(), candidate);
        }
    }

    /// The newest version of the package `name`.
    pub fn get(&self, name: &str) -> Option<&Candidate> {
        self.packages.get(name)
    }

    /// The package whose file has this digest, if it was asked for and an archive has it.
    pub fn kept(&self, digest: &Sha256) -> Option<&Candidate> {
        self.kept.get(digest)
    }

    /// All packages, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.packages.values()
    }

    /// How many packages there are.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }
}

/// A stream of the decompressed bytes of `input`; the ending of `name` tells how it is compressed.
///
/// # Errors
/// If the decoder cannot be set up.
pub fn decompress(name: &str, input: impl Read + 'static) -> anyhow::Result<Box<dyn Read>> {
    let input = BufReader::with_capacity(1 << 17, input);
    Ok(match name.rsplit('.').next() {
        Some("xz") => {
            let stream = liblzma::stream::Stream::new_stream_decoder(DECODER_MEMORY, 0)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        _ => Box::new(input),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(name: &str, version: &str, architecture: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nFilename: ./pool/{name}.deb\n\
             Size: 10\nSHA256: {}\n\n",
            Sha256::of_bytes(version.as_bytes())
        )
    }

    #[test]
    fn the_newest_version_of_all_suites_stays() {
        let mut index = Index::new();
        let first = entry("a", "1.9", "amd64") + &entry("b", "1", "all") + &entry("c", "1", "i386");
        index.add(first.as_bytes(), "amd64", 0).unwrap();
        let second = entry("a", "1.10", "amd64") + &entry("b", "1", "all");
        index.add(second.as_bytes(), "amd64", 1).unwrap();
        let found: Vec<_> = index.iter().map(|c| (c.name.as_str(), c.version.as_str(), c.suite)).collect();
        assert_eq!(found, [("a", "1.10", 1), ("b", "1", 0)]);
        assert_eq!(index.get("a").unwrap().path, "pool/a.deb");
    }

    #[test]
    fn files_that_are_asked_for_stay_beside_the_newest() {
        let asked = Sha256::of_bytes(b"1.9");
        let mut index = Index::new();
        for (suite, version) in ["1.8", "1.9", "1.10"].into_iter().enumerate() {
            let mut part = Index::keeping([asked].into());
            part.add(entry("a", version, "amd64").as_bytes(), "amd64", suite).unwrap();
            index.merge(part);
        }
        assert_eq!(index.get("a").unwrap().version, "1.10");
        assert_eq!(index.kept(&asked).map(|kept| (kept.version.as_str(), kept.suite)), Some(("1.9", 1)));
        assert_eq!(index.kept(&Sha256::of_bytes(b"1.8")), None);
    }

    #[test]
    fn a_malformed_entry_is_named() {
        let text = entry("a", "1", "amd64").replace("Size: 10", "Size: ten");
        let error = format!("{:#}", Index::new().add(text.as_bytes(), "amd64", 0).unwrap_err());
        assert!(error.contains("entry of `a`"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(Package|Version|Architecture|Size|: |a|1|\n){0,40}") {
            let _ = Index::new().add(text.as_bytes(), "amd64", 0);
        }
    }
}
