//! Standard output for data, standard error for messages; neither panics when its reader is gone.

use std::io::Write as _;

use crate::diag::Findings;

/// The input was wrong, and its findings have been shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected;

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the input is wrong")
    }
}

impl std::error::Error for Rejected {}

/// Whoever read standard output has gone: the run may end, and nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StdoutClosed;

impl std::fmt::Display for StdoutClosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for StdoutClosed {}

/// Standard output.
#[derive(Debug, Clone, Copy)]
pub struct Output(());

impl Output {
    /// The process's own.
    pub fn new() -> Self {
        Self(())
    }

    /// Writes data.
    ///
    /// # Errors
    /// [`StdoutClosed`] if the reader is gone; else what the system says.
    pub fn write(&self, text: &str) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
            Err(error) => Err(anyhow::Error::new(error).context("writing to standard output")),
        }
    }

    /// Writes a value as JSON, indented.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn json(&self, value: &serde_json::Value) -> anyhow::Result<()> {
        self.write(&format!("{value:#}\n"))
    }
}

/// Shows findings, and a line that counts them.
pub fn findings(findings: &Findings, colour: bool) {
    if !findings.list.is_empty() {
        message(&format!("{}\n", findings.render(colour)));
    }
}

/// Shows an error.
pub fn error(text: &str, colour: bool) {
    let label = if colour { "\x1b[1;31merror\x1b[0m" } else { "error" };
    message(&format!("{label}: {text}"));
}

/// Shows a line on standard error, if there is still someone to read it.
pub fn message(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
