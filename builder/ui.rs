//! What a person sees while something runs: steps with progress, notes and warnings, all on standard error.
//!
//! On a terminal a step is a progress bar that becomes one line when it is done; elsewhere it is that line alone, so
//! that logs stay readable. Nothing here decides anything, and nothing is written to standard output.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Progress bars: standard error is a terminal.
    Bars,
    /// One line a finished step.
    Lines,
    /// Warnings only (`--quiet`).
    Quiet,
    /// Nothing at all (tests).
    Silent,
}

/// One finished step, for the summary at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// What was done.
    pub name: String,
    /// What came out.
    pub result: String,
    /// How long it took.
    pub time: Duration,
}

/// The terminal. Copies share it.
#[derive(Debug, Clone)]
pub struct Ui {
    mode: Mode,
    colour: bool,
    bars: MultiProgress,
    timings: Arc<Mutex<Vec<Timing>>>,
}

impl Ui {
    /// A terminal in `mode`; `colour` says whether escape sequences for colour may be used.
    pub fn new(mode: Mode, colour: bool) -> Self {
        let target =
            if mode == Mode::Bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { mode, colour, bars: MultiProgress::with_draw_target(target), timings: Arc::default() }
    }

    /// A terminal that shows nothing.
    pub fn silent() -> Self {
        Self::new(Mode::Silent, false)
    }

    /// Whether colour may be used.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Begins a step. `name` is what is being done: "fetching packages".
    pub fn step(&self, name: impl Into<Cow<'static, str>>) -> Step {
        let name = name.into();
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_style(style("  {spinner} {prefix:<26} {elapsed:>4} {wide_msg}"));
        bar.set_prefix(name.to_string());
        if self.mode == Mode::Bars {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Step { ui: self.clone(), name: name.into_owned(), bar, start: Instant::now() }
    }

    /// Says something that the user may want to know.
    pub fn note(&self, message: impl AsRef<str>) {
        if !matches!(self.mode, Mode::Quiet | Mode::Silent) {
            self.line(message.as_ref());
        }
    }

    /// Says something that the user should act on.
    pub fn warn(&self, message: impl AsRef<str>) {
        if self.mode != Mode::Silent {
            let label = if self.colour { "\x1b[1;33mwarning\x1b[0m" } else { "warning" };
            self.line(&format!("{label}: {}", message.as_ref()));
        }
    }

    /// The steps that were finished so far, in the order in which they ended.
    pub fn timings(&self) -> Vec<Timing> {
        self.timings.lock().map(|timings| timings.clone()).unwrap_or_default()
    }

    fn line(&self, line: &str) {
        // A terminal that is gone must not end a build.
        self.bars.suspend(|| drop(writeln!(std::io::stderr(), "{line}")));
    }
}

/// One step under way. Dropped without [`Step::done`], its bar disappears and nothing is recorded.
#[derive(Debug)]
pub struct Step {
    ui: Ui,
    name: String,
    bar: ProgressBar,
    start: Instant,
}

impl Step {
    /// The step is `bytes` long.
    pub fn total_bytes(&self, bytes: u64) {
        self.bar.set_style(style(
            "  {spinner} {prefix:<26} {bar:24} {bytes:>10} of {total_bytes}, {bytes_per_sec}, {eta} left {wide_msg}",
        ));
        self.bar.set_length(bytes);
    }

    /// The step has `items` parts.
    pub fn total_items(&self, items: u64) {
        self.bar
            .set_style(style("  {spinner} {prefix:<26} {bar:24} {pos:>4} of {len}, {eta} left {wide_msg}"));
        self.bar.set_length(items);
    }

    /// `count` more bytes or parts are done.
    pub fn advance(&self, count: u64) {
        self.bar.inc(count);
    }

    /// What is being worked on right now.
    pub fn detail(&self, text: impl Into<Cow<'static, str>>) {
        self.bar.set_message(text);
    }

    /// Ends the step with what came out: "185 packages, 251 MB".
    pub fn done(self, result: impl Into<String>) {
        let timing = Timing { name: self.name.clone(), result: result.into(), time: self.start.elapsed() };
        self.bar.finish_and_clear();
        self.ui.note(format!(
            "  {:<28} {:>7.1} s   {}",
            timing.name,
            timing.time.as_secs_f64(),
            timing.result
        ));
        if let Ok(mut timings) = self.ui.timings.lock() {
            timings.push(timing);
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.ui.bars.remove(&self.bar);
    }
}

/// `bytes` for a person: "314.2 MiB".
pub fn human_bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// `text` as one line that a terminal only shows: strangers write anything into images and disks.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// As [`printable`], of text with lines and tabs.
pub fn printable_lines(text: &str) -> String {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if obeyed(c) { ' ' } else { c }).collect()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_steps_are_recorded() {
        let ui = Ui::silent();
        drop(ui.step("given up"));
        let step = ui.step("sealing");
        step.total_bytes(10);
        step.advance(10);
        step.done("10 bytes");
        let names: Vec<_> = ui.timings().into_iter().map(|timing| timing.name).collect();
        assert_eq!(names, ["sealing"]);
    }
}
