//! Reads `secrets.toml`: the file, and the files that it names → values, and every finding at once.
//!
//! In: the path and what the box needs. Out: the values that are right, in the form in which the box places them, and
//! findings. The text that findings are drawn with is a blotted copy; a value is never part of a message.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use crate::diag::{Finding, Findings};
use crate::profile::nearest;

use super::git;
use super::needs::{Id, Need, Needs};
use super::redact::redact;
use super::sealed::{self, Opener};
use super::shape::{LARGEST, is_placeholder};
use super::value::Value;
use super::weak::weakness;

/// No secrets.toml comes near this many bytes; someone named another file.
const LARGEST_FILE: u64 = 1 << 20;

/// A value shorter than this cannot be told from chance in hundreds of megabytes.
pub(super) const SHORTEST_SOUGHT: usize = 8;

/// Reads the file at `path`, which `opener` opens if it is encrypted.
pub(super) fn load(path: &Path, needs: &Needs, opener: &Opener) -> (BTreeMap<Id, Value>, Findings) {
    let (values, places) = (BTreeMap::new(), BTreeMap::new());
    let mut reader = Reader { path, needs, opener, values, findings: Findings::new(), places };
    match read(path, LARGEST_FILE, opener) {
        Ok(content) => {
            reader.text(&content.text);
            reader.exposed(path, &content);
        }
        Err(message) => {
            let finding =
                Finding::error("secrets-unreadable", format!("reading {}: {message}", path.display()));
            let help = "`boxwright secrets PROFILE` prints one to fill in";
            reader.findings.push(if path.exists() { finding } else { finding.help(help) });
        }
    }
    reader.findings.sort();
    (reader.values, reader.findings)
}

/// What a file holds.
struct Content {
    text: Zeroizing<String>,
    /// Its permission bits, if anyone who reads it knows what is in it; none if it is encrypted.
    plain: Option<u32>,
}

fn read(path: &Path, limit: u64, opener: &Opener) -> Result<Content, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    // Encrypted and written as text it is a third longer.
    let limit = 2 * limit;
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let room = usize::try_from(metadata.len().min(limit)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > limit {
        return Err("it is too large".to_owned());
    }
    let mut plain = Some(metadata.permissions().mode() & 0o777);
    if sealed::is_sealed(&bytes) {
        (bytes, plain) = (sealed::open(&bytes, path, opener)?, None);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Ok(Content { text: Zeroizing::new(text.to_owned()), plain })
}

struct Reader<'a> {
    path: &'a Path,
    needs: &'a Needs,
    opener: &'a Opener,
    /// What is there. A value that is not right is empty: that is one finding, not two.
    values: BTreeMap<Id, Value>,
    findings: Findings,
    /// Where each key, and each section's header (with an empty name), stands.
    places: BTreeMap<Id, Range<usize>>,
}

impl Reader<'_> {
    fn text(&mut self, text: &str) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let table = table.get_ref();
        let names = if errors.is_empty() { shown_keys(table) } else { Vec::new() };
        self.findings.source(self.path, &redact(text, &self.known(), &names));
        for error in &errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            let finding = Finding::error("secrets-syntax", error.message().trim_end()).at(self.path, span);
            self.findings.push(finding.help("values stand in quotes: tunnel = '…'"));
        }
        if !errors.is_empty() {
            return;
        }
        for (key, value) in table {
            self.section(key, value);
        }
        self.missing();
    }

    fn known(&self) -> BTreeSet<&str> {
        let ids = self.needs.owner.keys();
        ids.flat_map(|id| [id.section.as_str(), id.name.as_str()]).collect()
    }

    fn section(&mut self, key: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue<'_>>) {
        let section = key.get_ref().as_ref();
        let known = self.needs.sections();
        if !known.contains(section) {
            let message = format!("this box needs no secrets under `{}`", shown(section));
            let help = self.suggestion(section, known.iter().copied());
            self.findings.push(self.unknown(message, key.span()).help(help));
            return;
        }
        self.places.insert(Id::new(section, ""), key.span());
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("`{section}` is a section");
            let finding = Finding::error("secrets-type", message).at(self.path, key.span());
            self.findings.push(finding.help(format!("write [{section}] on a line of its own")));
            return;
        };
        for (key, value) in table {
            self.entry(section, key, value);
        }
    }

    fn entry(&mut self, section: &str, key: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue<'_>>) {
        let name = key.get_ref().as_ref();
        let id = Id::new(section, name);
        let Some(need) = self.needs.owner.get(&id) else {
            let message = format!("this box needs no secret `{}` under [{section}]", shown(name));
            let names = self.needs.section(section).map(|need| need.id.name.as_str());
            let help = self.suggestion(name, names);
            self.findings.push(self.unknown(message, key.span()).help(help));
            return;
        };
        self.places.insert(id, key.span());
        match value.get_ref() {
            DeValue::String(text) => self.value(need, text, value.span()),
            DeValue::Table(table) => self.named_file(need, table, value.span()),
            _ => {
                self.values.insert(need.id.clone(), Value::new(""));
                let message = format!("`{name}` is a text");
                let finding = Finding::error("secrets-type", message).at(self.path, value.span());
                self.findings.push(finding.help(format!("write it in quotes: {name} = '…'")));
            }
        }
    }

    /// `tunnel = { file = "UUID.json" }`
    fn named_file(&mut self, need: &Need, table: &DeTable<'_>, span: Range<usize>) {
        let only = table.iter().next().filter(|(key, _)| table.len() == 1 && key.get_ref() == "file");
        let Some(file) = only.and_then(|(_, value)| value.get_ref().as_str()) else {
            self.values.insert(need.id.clone(), Value::new(""));
            let message = format!("`{}` is a text, or names a file", need.id.name);
            let finding = Finding::error("secrets-type", message).at(self.path, span);
            self.findings.push(finding.help("write { file = \"UUID.json\" }"));
            return;
        };
        let folder = self.path.parent().map(Path::to_owned).unwrap_or_default();
        let file: PathBuf = folder.join(file);
        match read(&file, LARGEST as u64, self.opener) {
            Ok(content) => {
                self.exposed(&file, &content);
                self.value(need, &content.text, span);
            }
            Err(message) => {
                self.values.insert(need.id.clone(), Value::new(""));
                let message = format!("reading {} for `{}`: {message}", file.display(), need.id);
                self.findings.push(Finding::error("secrets-unreadable", message).at(self.path, span));
            }
        }
    }

    fn value(&mut self, need: &Need, text: &str, span: Range<usize>) {
        if is_placeholder(text) {
            return;
        }
        match need.shape.read(text) {
            Ok(value) => {
                self.weak(need, &value, span);
                self.values.insert(need.id.clone(), value);
            }
            Err(wrong) => {
                let message = format!("the value of `{}` {}", need.id, wrong.message);
                self.values.insert(need.id.clone(), Value::new(""));
                let finding = Finding::error("secret-malformed", message).at(self.path, span);
                self.findings.push(finding.help(wrong.help));
            }
        }
    }

    fn weak(&mut self, need: &Need, value: &Value, span: Range<usize>) {
        let names: Vec<&str> = self.needs.names.iter().map(String::as_str).collect();
        if let Some(weakness) = weakness(need, value.reveal(), &names) {
            let message = format!("the value of `{}` {}", need.id, weakness.why);
            let finding = Finding::warning("secret-weak", message).at(self.path, span);
            self.findings.push(finding.help(weakness.help));
        }
    }

    fn missing(&mut self) {
        for need in self.needs.owner.values().filter(|need| !self.values.contains_key(&need.id)) {
            if need.optional() {
                continue;
            }
            let users: Vec<&str> =
                need.users.iter().filter(|(_, required)| **required).map(|(user, _)| user.as_str()).collect();
            let message = format!("the secret `{}` is missing, and {} needs it", need.id, users.join(", "));
            let place = self.places.get(&need.id);
            let place = place.or_else(|| self.places.get(&Id::new(&need.id.section, ""))).cloned();
            let mut finding =
                Finding::warning("secret-missing", message).at(self.path, place.unwrap_or(0..0));
            finding.help = Some(match &need.obtain {
                Some(obtain) => format!("{}: {obtain}", need.about),
                None => need.about.clone(),
            });
            self.findings.push(finding);
        }
    }

    /// Who else may see what is in the file at `path`.
    fn exposed(&mut self, path: &Path, content: &Content) {
        let Some(mode) = content.plain else { return };
        if mode & 0o177 != 0 {
            let who = if mode & 0o077 != 0 { "can be read by others" } else { "can be run as a program" };
            let message = format!("{} {who}: its mode is {mode:04o}", path.display());
            let finding = Finding::warning("secrets-mode", message);
            self.findings.push(finding.help(format!("run `chmod 600 {}`", path.display())));
        }
        if git::tracks(path) {
            let message =
                format!("git tracks {}: whoever gets the repository gets the secrets", path.display());
            let help = format!(
                "run `git rm --cached {}`, name the file in .gitignore, and get new secrets if it was ever pushed; what \
                 `boxwright secrets encrypt` writes may be committed",
                path.display()
            );
            self.findings.push(Finding::warning("secrets-tracked", message).help(help));
        }
    }

    fn unknown(&self, message: String, span: Range<usize>) -> Finding {
        Finding::error("secret-unknown", message).at(self.path, span)
    }

    fn suggestion<'b>(&self, written: &str, names: impl IntoIterator<Item = &'b str>) -> String {
        let near = nearest(written, names);
        // The secret may well be one of this box, under another section.
        let elsewhere = || self.needs.owner.keys().find(|id| id.name == written);
        near.map(|name| format!("write `{name}`"))
            .or_else(|| elsewhere().map(|id| format!("it belongs under [{}]", id.section)))
            .unwrap_or_else(|| "leave it out: the box would not know what to do with it".to_owned())
    }
}

/// Where the keys stand that may be shown. What does not look like a name may be a value in the wrong place.
fn shown_keys(table: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    for (key, value) in table {
        if shown(key.get_ref()) == key.get_ref().as_ref() {
            spans.push(key.span());
        }
        if let DeValue::Table(inner) = value.get_ref() {
            spans.extend(shown_keys(inner));
        }
    }
    spans
}

/// `name` if it looks like one; else what it is called.
fn shown(name: &str) -> &str {
    let plain =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    if plain && name.len() <= 40 && digits <= 4 { name } else { "…" }
}
