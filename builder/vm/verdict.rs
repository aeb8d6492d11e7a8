//! What a box says about itself on its console, and what that means. Pure.
//!
//! The lines are written by `good` and `ready` of overlays/system/boot and by the initrd (firmware/initrd).

use std::fmt;

/// How far a box has to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It boots, the network is configured, the firewall is loaded, Docker is up, cloudflared can be started.
    Good,
    /// Everything that the profile asks for is up as well.
    Ready,
}

/// One thing that a box said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The release is good and blessed.
    Good,
    /// It did not get good in its time; the reasons.
    NotGood(Vec<String>),
    /// Everything is up.
    Ready,
    /// What is missing, and nothing is left that may still come up.
    NotReady(Vec<String>),
    /// What it still waits for.
    Waits(Vec<String>),
    /// The initrd gave up; why.
    CannotStart(String),
    /// Anything else that it said.
    Other(String),
}

/// How a box ended up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It came as far as it had to.
    Reached(Until),
    /// It says that it will not; the failing units or reasons.
    Failed {
        /// What did not work, in one line.
        what: String,
        /// Units and reasons.
        list: Vec<String>,
    },
    /// It did not say either within the time; what it waited for last.
    TimedOut(Vec<String>),
    /// The machine was switched off.
    Ended,
}

impl Verdict {
    /// Whether the box came as far as it had to.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Reached(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached(Until::Good) => f.write_str("the release is good"),
            Self::Reached(Until::Ready) => f.write_str("the box is ready"),
            Self::Failed { what, list } if list.is_empty() => f.write_str(what),
            Self::Failed { what, list } => write!(f, "{what}: {}", list.join(", ")),
            Self::TimedOut(list) if list.is_empty() => {
                f.write_str("the time is over, and the box said nothing")
            }
            Self::TimedOut(list) => write!(f, "the time is over; the box waits for: {}", list.join(", ")),
            Self::Ended => f.write_str("the box was switched off"),
        }
    }
}

/// Reads a line of the console: `boxwright: release 0123456789abcdef is good`. None if the box did not write it.
pub fn parse(line: &str) -> Option<Said> {
    // The firmware and the kernel may have left something before it on the same line.
    let (before, text) = line.split_once("boxwright: ")?;
    // The kernel repeats the line with a time in front where its messages go to the console.
    if before.ends_with(|character: char| character.is_alphanumeric()) {
        return None;
    }
    let text = text.trim();
    if let Some(reason) = text.strip_prefix("cannot start: ") {
        return Some(Said::CannotStart(reason.to_owned()));
    }
    let other = || Some(Said::Other(text.to_owned()));
    let Some((_release, rest)) = text.strip_prefix("release ").and_then(|rest| rest.split_once(' ')) else {
        return other();
    };
    let list = |text: &str, separator: &str| -> Vec<String> {
        text.trim().split(separator).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    if rest == "is good" {
        Some(Said::Good)
    } else if rest == "is ready" {
        Some(Said::Ready)
    } else if let Some(reasons) = rest.strip_prefix("is not good:") {
        Some(Said::NotGood(list(reasons, "; ")))
    } else if let Some(units) = rest.strip_prefix("is not ready:") {
        Some(Said::NotReady(list(units, ", ")))
    } else if let Some(units) = rest.strip_prefix("waits for:") {
        Some(Said::Waits(list(units, ", ")))
    } else {
        other()
    }
}

/// Follows a console until the verdict is clear.
#[derive(Debug)]
pub struct Watch {
    until: Option<Until>,
    verdict: Option<Verdict>,
    waits: Vec<String>,
}

impl Watch {
    /// Waits for `until`, or for nothing.
    pub fn new(until: Option<Until>) -> Self {
        Self { until, verdict: None, waits: Vec::new() }
    }

    /// Takes the next line; gives what the box said in it, for a person.
    pub fn line(&mut self, line: &str) -> Option<String> {
        let said = parse(line)?;
        let shown = line.split_once("boxwright: ").map(|(_, text)| text.trim().to_owned());
        let verdict = match said {
            Said::Good if self.until == Some(Until::Good) => Some(Verdict::Reached(Until::Good)),
            Said::Ready if self.until == Some(Until::Ready) => Some(Verdict::Reached(Until::Ready)),
            Said::NotGood(list) => Some(Verdict::Failed { what: "the release is not good".into(), list }),
            Said::NotReady(list) if self.until == Some(Until::Ready) => {
                Some(Verdict::Failed { what: "the box is not ready".into(), list })
            }
            Said::CannotStart(reason) => {
                Some(Verdict::Failed { what: "the box cannot start".into(), list: vec![reason] })
            }
            Said::Waits(list) | Said::NotReady(list) => {
                self.waits = list;
                None
            }
            Said::Good | Said::Ready | Said::Other(_) => None,
        };
        if self.until.is_some() && self.verdict.is_none() {
            self.verdict = verdict;
        }
        shown
    }

    /// The verdict, once it is clear.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict.clone()
    }

    /// The verdict when the time is over.
    pub fn timed_out(self) -> Verdict {
        Verdict::TimedOut(self.waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_box_are_read_and_others_are_not() {
        let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect::<Vec<_>>();
        let cases = [
            ("boxwright: release 0011aabb is good", Some(Said::Good)),
            ("login: boxwright: release 0011aabb is ready", Some(Said::Ready)),
            (
                "boxwright: release 00 is not good: docker.service is failed; no ethernet port has an address",
                Some(Said::NotGood(list(&["docker.service is failed", "no ethernet port has an address"]))),
            ),
            (
                "boxwright: release 00 is not ready: a.service (failed), b.mount (inactive)",
                Some(Said::NotReady(list(&["a.service (failed)", "b.mount (inactive)"]))),
            ),
            (
                "boxwright: release 00 waits for: a.service (activating)",
                Some(Said::Waits(list(&["a.service (activating)"]))),
            ),
            (
                "boxwright: cannot start: the base layer is not on /dev/sda",
                Some(Said::CannotStart("the base layer is not on /dev/sda".into())),
            ),
            (
                "boxwright: first start: preparing /dev/sda",
                Some(Said::Other("first start: preparing /dev/sda".into())),
            ),
            ("boxwright: release 00 is not good: ", Some(Said::NotGood(vec![]))),
            ("notboxwright: release 00 is good", None),
            ("Debian GNU/Linux 13 box ttyS0", None),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected, "{line}");
        }
    }

    #[test]
    fn ready_needs_more_than_good_and_a_box_that_gives_up_has_failed() {
        let mut watch = Watch::new(Some(Until::Ready));
        watch.line("boxwright: release 00 is good");
        assert_eq!(watch.verdict(), None);
        watch.line("boxwright: release 00 waits for: a.service (activating)");
        assert_eq!(Watch::new(Some(Until::Good)).timed_out(), Verdict::TimedOut(vec![]));
        watch.line("boxwright: release 00 is not ready: a.service (failed)");
        assert_eq!(watch.verdict().unwrap().to_string(), "the box is not ready: a.service (failed)");
        let mut watch = Watch::new(Some(Until::Good));
        watch.line("boxwright: cannot start: no disk");
        assert!(!watch.verdict().unwrap().is_success());
    }
}
