//! What overlays made: entries and units in, one tree out, in which every path has one maker.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use super::manifest::{self, Unit};
use super::units;
use crate::tree::{Entry, Kind, Tree};

/// Where units are.
const UNIT_FOLDER: &str = "usr/lib/systemd/system/";
/// The preset file that agrees with the links.
const PRESET: &str = "usr/lib/systemd/system-preset/00-boxwright.preset";

/// What the overlays made so far.
#[derive(Default)]
pub(super) struct Output {
    entries: BTreeMap<String, (Entry, String)>,
    /// The `[[unit]]` entries, each with the overlay.toml that it is from.
    pub(super) units: Vec<(String, Unit)>,
}

impl Output {
    /// Adds what `label` made.
    pub(super) fn add(&mut self, path: &str, entry: Entry, label: &str) -> Result<()> {
        manifest::check_path(path).with_context(|| format!("in {label}"))?;
        if let Some((other, first)) = self.entries.get(path) {
            if *other == entry && entry.kind == Kind::Dir {
                return Ok(());
            }
            bail!("{first} and {label} both make /{path}");
        }
        self.entries.insert(path.to_owned(), (entry, label.to_owned()));
        Ok(())
    }

    /// The tree, with the links and the preset of the units.
    pub(super) fn finish(mut self) -> Result<Tree> {
        let mut rendered = BTreeMap::new();
        for (path, (entry, _)) in &self.entries {
            if let (Some(name), Kind::File(bytes)) = (path.strip_prefix(UNIT_FOLDER), &entry.kind)
                && !name.contains('/')
            {
                rendered.insert(name.to_owned(), String::from_utf8_lossy(bytes).into_owned());
            }
        }
        if !self.units.is_empty() {
            let (links, preset) = units::links(&self.units, &rendered)?;
            for (path, target) in links {
                self.add(&path, Entry::symlink(target), "a [[unit]] entry")?;
            }
            self.add(PRESET, Entry::file(0o644, preset), "the list of units")?;
        }
        let mut tree = Tree::new();
        for (path, (entry, label)) in self.entries {
            tree.insert(&path, entry).with_context(|| format!("adding /{path} of {label}"))?;
        }
        Ok(tree)
    }
}
