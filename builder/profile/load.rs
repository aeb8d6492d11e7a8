//! Reads a profile: bytes → [`Document`], with every fault of syntax and shape as a finding.
//!
//! A profile with faults of shape still gives a document, made from what is right in it, so that the rules of `check/`
//! can say the rest in the same run. Such a document must not go on: its findings are errors.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::json_schema;
use super::schema::Profile;
use super::shape::{self, Fault};
use super::spans::{self, KeyPath, Places};
use crate::diag::{Finding, Findings};

/// No profile comes near this many bytes; someone named an image instead.
const LARGEST: u64 = 1 << 20;

/// A profile with its text and the place of everything in it.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file, as the user named it.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Where everything stands in it.
    pub places: Places,
    /// What it says.
    pub profile: Profile,
    /// The paths about which there is a finding already.
    faulty: BTreeSet<KeyPath>,
}

impl Document {
    /// Whether there is a finding about the shape of what is at `path`, or of something around it: what rules say of it
    /// would follow from that.
    pub fn is_faulty(&self, path: &[&str]) -> bool {
        self.faulty
            .iter()
            .any(|faulty| faulty.len() <= path.len() && faulty.iter().zip(path).all(|(a, b)| a == b))
    }

    /// Whether there is such a finding about anything in what is at `path`.
    pub fn is_faulty_inside(&self, path: &[&str]) -> bool {
        self.faulty.iter().any(|faulty| faulty.iter().zip(path).all(|(a, b)| a == b))
    }
}

/// What came out of reading a profile.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The profile; none if it could not be understood at all.
    pub document: Option<Document>,
    /// What is wrong with it. If there are errors, the document is not what the file says.
    pub findings: Findings,
}

/// Reads the profile at `path`.
///
/// # Errors
/// If the file cannot be read. What is wrong *in* the file is a finding.
pub fn load(path: &Path) -> anyhow::Result<Loaded> {
    let reading = || format!("reading the profile {}", path.display());
    let file = std::fs::File::open(path).with_context(reading)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).with_context(reading)?;
    Ok(parse(path, bytes))
}

/// Understands the bytes of a profile. `path` is only what findings call it.
pub fn parse(path: &Path, bytes: Vec<u8>) -> Loaded {
    let mut findings = Findings::new();
    if bytes.len() as u64 > LARGEST {
        let finding =
            Finding::error("not-a-profile", format!("{} is too large for a profile", path.display()));
        findings.push(finding.help("name the TOML file, such as profiles/servarr.toml"));
        return Loaded { document: None, findings };
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            findings.push(not_text(path, &error));
            return Loaded { document: None, findings };
        }
    };
    findings.source(path, &text);
    let document = understand(path, &text, &mut findings);
    Loaded { document, findings }
}

fn understand(path: &Path, text: &str, findings: &mut Findings) -> Option<Document> {
    let table = match spans::parse(text) {
        Ok(table) => table,
        Err(errors) => {
            for error in errors {
                findings.push(Finding::error("syntax", error.message).at(path, error.span));
            }
            return None;
        }
    };
    let shape = shape::compare(json_schema::value(), &table, text);
    let faulty = shape.faults.iter().flat_map(|fault| [&fault.path, &fault.meant]).cloned().collect();
    let complete = shape.faults.is_empty();
    for fault in shape.faults {
        findings.push(finding(path, fault));
    }
    let profile: Profile = match serde_json::from_value(shape.rest) {
        Ok(profile) => profile,
        Err(error) => {
            // With faults, something required was taken out. Without, the schema allows more than the types do.
            if complete {
                findings.push(Finding::error("bad-value", error.to_string()).at(path, 0..0));
            }
            return None;
        }
    };
    let places = Places::of(&table);
    Some(Document { path: path.to_owned(), text: text.to_owned(), places, profile, faulty })
}

fn finding(path: &Path, fault: Fault) -> Finding {
    let finding = Finding::error(fault.code, fault.message).at(path, fault.span);
    match fault.help {
        Some(help) => finding.help(help),
        None => finding,
    }
}

fn not_text(path: &Path, error: &std::string::FromUtf8Error) -> Finding {
    let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    Finding::error("not-a-profile", format!("{} is not UTF-8 text, from line {line} on", path.display()))
        .help("a profile is a TOML file; save it as UTF-8")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loaded(bytes: impl Into<Vec<u8>>) -> Loaded {
        parse(Path::new("test.toml"), bytes.into())
    }

    #[test]
    fn a_deep_or_long_text_is_refused_without_harm() {
        for text in ["[".repeat(200_000), "a = ".to_owned() + &"[".repeat(200_000), "a={".repeat(100_000)] {
            assert!(loaded(text).findings.has_errors());
        }
        let long = loaded(vec![b'#'; (LARGEST + 1) as usize]);
        assert_eq!(long.findings.list[0].code, "not-a-profile");
    }

    proptest! {
        /// Whatever the bytes are, there is a profile or an error that can be drawn.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let loaded = loaded(bytes);
            prop_assert!(loaded.document.is_some() || loaded.findings.has_errors());
            loaded.findings.render(true);
        }

        /// So it is for texts that are nearly right.
        #[test]
        fn damaged_profiles_are_read_or_refused(
            at in 0..2000_usize, length in 0..40_usize, instead in "[\\[\\]{}=\"'.,a-z0-9\\\\ \n#é-]{0,12}",
        ) {
            let text = include_str!("../../profiles/servarr.toml");
            let bytes: Vec<u8> = text.bytes().take(at).chain(instead.bytes()).chain(text.bytes().skip(at + length)).collect();
            let loaded = loaded(bytes);
            prop_assert!(loaded.document.is_some() || loaded.findings.has_errors());
            loaded.findings.render(false);
        }
    }
}
