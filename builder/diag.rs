//! Findings: what is wrong with the input, where, and what to write instead.
//!
//! Checks return findings; this module only holds and draws them, with the source line that they are about.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing can be built.
    Error,
    /// It can be built, and the user should know.
    Warning,
    /// For information.
    Note,
}

/// A range of bytes in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Bytes from the start of the file.
    pub span: Range<usize>,
    /// Whether what stands there may be shown; not where it is a secret.
    pub shown: bool,
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule's stable name: `port-clash`.
    pub code: Cow<'static, str>,
    /// What is the matter, in the user's terms; one sentence without a full stop.
    pub message: String,
    /// Where it is.
    pub place: Option<Place>,
    /// What to write instead, or to do.
    pub help: Option<String>,
}

impl Finding {
    /// An error.
    pub fn error(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: code.into(),
            message: message.into(),
            place: None,
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// A note.
    pub fn note(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, message) }
    }

    /// The same finding with its place.
    #[must_use]
    pub fn at(mut self, file: &Path, span: Range<usize>) -> Self {
        self.place = Some(Place { file: file.to_owned(), span, shown: true });
        self
    }

    /// The same finding, drawn without the source line: there is a secret in it.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        if let Some(place) = &mut self.place {
            place.shown = false;
        }
        self
    }

    /// The same finding with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A failure whose cause is what the user wrote (profile, lock, flags): the program ends with 1 instead of 2.
///
/// The text says what is wrong, where, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError(pub String);

impl std::fmt::Display for InputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InputError {}

/// Findings about one or more files, with the texts that they point into.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// The findings.
    pub list: Vec<Finding>,
    sources: BTreeMap<PathBuf, String>,
}

impl Findings {
    /// No findings yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers the text of `file`, so that findings in it can be drawn.
    pub fn source(&mut self, file: &Path, text: &str) {
        self.sources.insert(file.to_owned(), text.to_owned());
    }

    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// Adds all findings of `other`.
    pub fn extend(&mut self, other: Findings) {
        self.list.extend(other.list);
        self.sources.extend(other.sources);
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Orders the findings by file and position; those without a place come first.
    pub fn sort(&mut self) {
        let key = |finding: &Finding| {
            let place =
                finding.place.as_ref().map(|place| (place.file.clone(), place.span.start, place.span.end));
            (place, finding.severity, finding.message.clone())
        };
        self.list.sort_by_cached_key(key);
        self.list.dedup();
    }

    /// Draws every finding with its source line, for a person.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let drawn: Vec<String> = self.list.iter().map(|finding| self.draw(finding, &renderer)).collect();
        drawn.join("\n\n")
    }

    /// Line and column, both from 1, of the byte `offset` in `file`.
    pub fn position(&self, file: &Path, offset: usize) -> Option<(usize, usize)> {
        let before = self.sources.get(file)?.get(..offset)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }

    fn draw(&self, finding: &Finding, renderer: &Renderer) -> String {
        let level = match finding.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let title = level.primary_title(&finding.message).id(finding.code.as_ref());
        let source = finding.place.as_ref().and_then(|place| Some((place, self.sources.get(&place.file)?)));
        let mut group = match source {
            Some((place, _)) if !place.shown => {
                let mut origin = Origin::path(place.file.to_string_lossy().into_owned());
                if let Some((line, column)) = self.position(&place.file, place.span.start) {
                    origin = origin.line(line).char_column(column);
                }
                title.element(origin)
            }
            Some((place, text)) => {
                let start = place.span.start.min(text.len());
                let span = start..place.span.end.clamp(start, text.len());
                let path = place.file.to_string_lossy().into_owned();
                title.element(Snippet::source(text).path(path).annotation(AnnotationKind::Primary.span(span)))
            }
            None => Group::with_title(title),
        };
        if let Some(help) = &finding.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shows_file_line_column_source_and_advice() {
        let path = Path::new("profiles/nas.toml");
        let mut findings = Findings::new();
        findings.source(path, "schema = 1\nname = 'é' # x\nprot = 1\n");
        findings
            .push(Finding::error("unknown-key", "unknown key `prot`").at(path, 27..31).help("write `port`"));
        let drawn = findings.render(false);
        for part in [
            "error[unknown-key]: unknown key `prot`",
            "profiles/nas.toml:3:1",
            "prot = 1",
            "^^^^",
            "write `port`",
        ] {
            assert!(drawn.contains(part), "{part} is not in\n{drawn}");
        }
        assert_eq!(findings.position(path, 27), Some((3, 1)));
        assert!(findings.has_errors());
    }

    #[test]
    fn a_secret_is_not_drawn() {
        let path = Path::new("x.toml");
        let mut findings = Findings::new();
        findings.source(path, "a = 1\nkey = 'hunter2'");
        findings.push(Finding::error("private-key", "no").at(path, 12..21).hidden().help("write another"));
        let drawn = findings.render(false);
        assert!(
            drawn.contains("x.toml:2:7") && drawn.contains("another") && !drawn.contains("hunter"),
            "{drawn}"
        );
    }

    #[test]
    fn a_span_outside_the_text_is_drawn_at_its_end() {
        let path = Path::new("x.toml");
        let mut findings = Findings::new();
        findings.source(path, "a");
        findings.push(Finding::error("syntax", "no").at(path, 7..9));
        assert!(findings.render(false).contains("no"));
    }
}
