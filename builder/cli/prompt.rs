//! Questions on a terminal. They are asked on standard error, so that standard output has data only.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{diag::InputError, interrupt};

/// How often a waiting question looks whether Ctrl-C was typed.
const PATIENCE: Duration = Duration::from_millis(100);

/// Whether there is somebody to ask.
pub(super) fn possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks `question`; the line that was typed, without blanks around it.
///
/// # Errors
/// If the terminal is closed, or Ctrl-C is typed.
pub(super) fn ask(question: &str) -> anyhow::Result<String> {
    let mut stderr = std::io::stderr();
    // A terminal that is gone answers nothing either.
    drop(write!(stderr, "{question} ").and_then(|()| stderr.flush()));
    let stdin = std::io::stdin();
    let every = Timespec::try_from(PATIENCE).context("waiting for an answer")?;
    loop {
        interrupt::check()?;
        let mut wait = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut wait, Some(&every)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => return Err(error).context("waiting for an answer"),
        }
    }
    let mut line = String::new();
    if stdin.read_line(&mut line).context("reading the answer")? == 0 {
        bail!(InputError("nothing was answered, and nothing was written".into()));
    }
    Ok(line.trim().to_owned())
}
