//! Control files (deb822): paragraphs of `Field: value`, as in Release, Packages and a package's own control file.
//!
//! A stream of bytes goes in, one [`Paragraph`] after the other comes out; none is kept, so that an index of 60 MB needs
//! the memory of its longest paragraph. What the fields mean is not known here.

use std::io::{self, BufRead};
use std::ops::Range;

/// A paragraph may not be longer than this many bytes; the Release file of a large archive is 1 MB.
const LONGEST_PARAGRAPH: usize = 32 << 20;

/// The fields of one paragraph, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Paragraph {
    text: String,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Paragraph {
    /// The value of the field `name` (in any case), without the space around it. Lines after the first keep their
    /// leading space, as in the file.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All fields with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&self.text[name.clone()], self.text[value.clone()].trim()))
    }

    fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }
}

/// Reads paragraphs from a stream.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the start of `input`.
    pub fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0 }
    }

    /// Reads the next paragraph into `paragraph`; `false` at the end. Comment lines (`#`) are skipped.
    ///
    /// # Errors
    /// An error of the stream, or `InvalidData` with the line number.
    pub fn next(&mut self, paragraph: &mut Paragraph) -> io::Result<bool> {
        paragraph.clear();
        loop {
            self.line.clear();
            // Bytes that are no UTF-8 have become longer.
            let limit = LONGEST_PARAGRAPH.saturating_sub(paragraph.text.len()) as u64;
            io::Read::take(&mut self.input, limit).read_until(b'\n', &mut self.line)?;
            self.number += 1;
            if self.line.is_empty() && paragraph.text.len() < LONGEST_PARAGRAPH {
                return Ok(!paragraph.fields.is_empty());
            }
            if self.line.last() != Some(&b'\n') && self.line.len() as u64 == limit {
                return Err(self.error("the paragraph is too long"));
            }
            let line = self.line.trim_ascii_end();
            if line.is_empty() {
                if paragraph.fields.is_empty() {
                    continue;
                }
                return Ok(true);
            }
            self.add(paragraph)?;
        }
    }

    /// Adds the current line.
    fn add(&self, paragraph: &mut Paragraph) -> io::Result<()> {
        let text = String::from_utf8_lossy(self.line.trim_ascii_end());
        if text.starts_with('#') {
            return Ok(());
        }
        let start = paragraph.text.len();
        if text.starts_with([' ', '\t']) {
            let Some((_, value)) = paragraph.fields.last_mut() else {
                return Err(self.error("a continuation line comes before any field"));
            };
            paragraph.text.push('\n');
            paragraph.text.push_str(&text);
            value.end = paragraph.text.len();
            return Ok(());
        }
        let Some(colon) = text.find(':').filter(|colon| *colon > 0) else {
            return Err(self.error("a line is neither `Field: value` nor a continuation"));
        };
        paragraph.text.push_str(&text);
        let end = paragraph.text.len();
        paragraph.fields.push((start..start + colon, start + colon + 1..end));
        Ok(())
    }

    fn error(&self, message: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("{message} (line {})", self.number))
    }
}

/// Reads the one paragraph of a small control file.
///
/// # Errors
/// `InvalidData` if it has no paragraph or is malformed.
pub fn single(bytes: &[u8]) -> io::Result<Paragraph> {
    let mut paragraph = Paragraph::default();
    if Reader::new(bytes).next(&mut paragraph)? {
        Ok(paragraph)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the control file is empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paragraphs_come_one_after_the_other() {
        let text = b"\n# comment\nPackage: a\nDescription: short\n long\n .\n\n\nPackage: b\r\nSize:7";
        let mut reader = Reader::new(&text[..]);
        let mut paragraph = Paragraph::default();
        assert!(reader.next(&mut paragraph).unwrap());
        assert_eq!(paragraph.get("package"), Some("a"));
        assert_eq!(paragraph.get("Description"), Some("short\n long\n ."));
        assert!(reader.next(&mut paragraph).unwrap());
        assert_eq!(paragraph.iter().collect::<Vec<_>>(), [("Package", "b"), ("Size", "7")]);
        assert!(!reader.next(&mut paragraph).unwrap());
    }

    #[test]
    fn malformed_lines_are_named() {
        for (text, line) in
            [(&b"Package: a\nnonsense\n"[..], "line 2"), (b" a\n", "line 1"), (b":a\n", "line 1")]
        {
            let error = single(text).unwrap_err();
            assert!(error.to_string().contains(line), "{error}");
        }
        assert!(single(b"").is_err());
    }

    /// Bytes that are no UTF-8 take three times the room once they are text.
    #[test]
    fn a_paragraph_that_gets_too_long_as_text_is_refused() {
        let mut bytes = b"A:".to_vec();
        bytes.resize(LONGEST_PARAGRAPH / 2, 0xff);
        bytes.extend(b"\nB: 1\n");
        let error = single(&bytes).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes[..]);
            let mut paragraph = Paragraph::default();
            while reader.next(&mut paragraph).unwrap_or(false) {
                prop_assert!(paragraph.iter().count() > 0);
            }
        }
    }
}
