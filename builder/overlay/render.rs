//! In: overlays in memory and the values that their templates see. Out: the file tree of the profile layer. Pure: the same
//! input gives the same tree, and every error names the template with its line.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail};
use tera::{Context, Tera};

use super::filters;
use super::manifest::{self, Manifest};
use super::output::Output;
use super::source::{Overlay, Source};
use crate::interrupt;
use crate::tree::{Entry, Tree};

/// The suffix of a file that is rendered.
const TEMPLATE: &str = ".tera";
/// What an overlay says besides its files.
const MANIFEST: &str = "overlay.toml";
/// The folder whose paths are the paths on the box.
const ROOT: &str = "root/";

/// An overlay that applies, with the values that only its own templates see.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The folder.
    pub overlay: Overlay,
    /// Values on top of the common ones.
    pub values: Context,
}

/// Renders `overlays`, in that order, with the values of `common`.
///
/// # Errors
/// A template or overlay.toml is wrong, or two overlays make the same path.
pub fn render(overlays: &[Planned], common: &Context) -> Result<Tree> {
    let tera = load(overlays)?;
    let mut output = Output::default();
    for planned in overlays {
        interrupt::check()?;
        let mut context = common.clone();
        context.extend(planned.values.clone());
        Step { tera: &tera, overlay: &planned.overlay, context }.run(&mut output)?;
    }
    output.finish()
}

/// All templates in one instance, so that they can include each other by their path in the project.
fn load(overlays: &[Planned]) -> Result<Tera> {
    let mut tera = Tera::new();
    tera.autoescape_on(Vec::<&str>::new());
    filters::register(&mut tera);
    let mut templates: Vec<(String, &str)> = Vec::new();
    for Planned { overlay, .. } in overlays {
        for (path, source) in &overlay.files {
            let Source::File(bytes) = source else { continue };
            if path == MANIFEST || path.ends_with(TEMPLATE) {
                let label = overlay.label(path);
                let text = std::str::from_utf8(bytes).with_context(|| format!("reading {label}"))?;
                templates.push((label, text));
            }
        }
    }
    tera.add_raw_templates(templates).map_err(|error| anyhow!("{}", report(&error)))?;
    Ok(tera)
}

/// One overlay being rendered.
struct Step<'a> {
    tera: &'a Tera,
    overlay: &'a Overlay,
    context: Context,
}

impl Step<'_> {
    fn run(&self, output: &mut Output) -> Result<()> {
        let label = self.overlay.label(MANIFEST);
        let manifest = match self.overlay.file(MANIFEST) {
            Some(_) => Manifest::parse(&self.template(MANIFEST, &self.context)?, &label)?,
            None => Manifest::default(),
        };
        if !manifest.apply {
            return Ok(());
        }
        let mut special = BTreeMap::new();
        for file in &manifest.files {
            if file.from.is_none() && special.insert(file.path.as_str(), file).is_some() {
                bail!("{label}: two entries for /{}", file.path);
            }
        }
        self.files(&mut special, output)?;
        for file in manifest.files.iter().filter(|file| file.from.is_some()) {
            self.made(file, output)?;
        }
        if let Some(path) = special.keys().next() {
            // The template may have rendered to nothing; only a file that cannot exist is a mistake.
            let exists = |suffix| self.overlay.files.contains_key(&format!("{ROOT}{path}{suffix}"));
            if !exists("") && !exists(TEMPLATE) {
                bail!("{label}: there is no root/{path}");
            }
        }
        self.rest(manifest, &label, output)
    }

    /// Where the file `path` of the overlay is on the box: what lies directly in a service's folder is found under
    /// /etc/boxwright, in a folder with the service's name.
    fn place(&self, path: &str) -> Option<String> {
        if let Some(on_box) = path.strip_prefix(ROOT) {
            return Some(on_box.to_owned());
        }
        let described = path == MANIFEST || path == "service.toml" || path.ends_with(".md");
        let own = self.overlay.name.starts_with("services/") && !path.starts_with("include/") && !described;
        own.then(|| format!("etc/boxwright/{}/{path}", self.overlay.name))
    }

    /// Everything that is a file on the box by its place in the folder.
    fn files(&self, special: &mut BTreeMap<&str, &manifest::File>, output: &mut Output) -> Result<()> {
        for (path, source) in &self.overlay.files {
            let Some(on_box) = self.place(path) else { continue };
            let label = self.overlay.label(path);
            let bytes = match source {
                Source::Link(target) => {
                    output.add(&on_box, Entry::symlink(target), &label)?;
                    continue;
                }
                Source::File(bytes) => bytes,
            };
            let on_box = on_box.strip_suffix(TEMPLATE).unwrap_or(&on_box);
            let entry = special.get(on_box).copied();
            let content = if path.ends_with(TEMPLATE) {
                match self.rendered(path, &self.context)? {
                    Some(text) => text,
                    None => continue,
                }
            } else {
                bytes.clone()
            };
            special.remove(on_box);
            output.add(on_box, file(content, entry).with_context(|| format!("in {label}"))?, &label)?;
        }
        Ok(())
    }

    /// A `[[file]]` with `from`.
    fn made(&self, entry: &manifest::File, output: &mut Output) -> Result<()> {
        let label = self.overlay.label(MANIFEST);
        let from = entry.from.as_deref().unwrap_or_default();
        if self.overlay.file(from).is_none() || !from.ends_with(TEMPLATE) {
            bail!("{label}: {from} is not a template of this overlay");
        }
        let mut context = self.context.clone();
        context.insert("with", &entry.with);
        if let Some(content) = self.rendered(from, &context)? {
            let made = file(content, Some(entry)).with_context(|| format!("in {label}"))?;
            output.add(&entry.path, made, &label)?;
        }
        Ok(())
    }

    fn rest(&self, manifest: Manifest, label: &str, output: &mut Output) -> Result<()> {
        for dir in &manifest.dirs {
            let mode = mode(dir.mode.as_deref(), 0o755).with_context(|| format!("in {label}"))?;
            output.add(&dir.path, Entry::dir(mode).owned_by(dir.uid, dir.gid), label)?;
        }
        for link in &manifest.links {
            output.add(&link.path, Entry::symlink(&link.to), label)?;
        }
        output.units.extend(manifest.units.into_iter().map(|unit| (label.to_owned(), unit)));
        Ok(())
    }

    /// The rendered bytes, or nothing if there is only white space.
    fn rendered(&self, path: &str, context: &Context) -> Result<Option<Vec<u8>>> {
        let text = self.template(path, context)?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        // What a condition around the whole text leaves before and after it.
        Ok(Some(format!("{}\n", text.trim_start_matches(['\n', '\r']).trim_end()).into_bytes()))
    }

    fn template(&self, path: &str, context: &Context) -> Result<String> {
        let label = self.overlay.label(path);
        // Tera's message has the template's name, line, column and the line itself.
        self.tera.render(&label, context).map_err(|error| anyhow!("rendering {label}: {}", report(&error)))
    }
}

/// Tera's message with its place and source line, without the word that a message here begins with anyway.
fn report(error: &tera::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// A file with the mode and owner of `entry`, or those of the convention.
fn file(content: Vec<u8>, entry: Option<&manifest::File>) -> Result<Entry> {
    let usual = if content.starts_with(b"#!") { 0o755 } else { 0o644 };
    let mode = mode(entry.and_then(|entry| entry.mode.as_deref()), usual)?;
    let (uid, gid) = entry.map_or((0, 0), |entry| (entry.uid, entry.gid));
    Ok(Entry::file(mode, content).owned_by(uid, gid))
}

fn mode(text: Option<&str>, usual: u32) -> Result<u32> {
    text.map_or(Ok(usual), manifest::parse_mode)
}
