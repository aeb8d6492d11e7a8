//! Another clock, to show that no byte depends on it: programs are told that it is some days later.
//!
//! No namespace of Linux has a clock of its own, so libfaketime is loaded into them. It changes what they ask for; the times of
//! the files that they write are still the kernel's.

/// Where libfaketime is among the tools: the one for programs with threads.
pub const FAKETIME: &str = "usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// The environment in which libfaketime says that it is `days` later: nothing but the clock and the date, neither the times
/// of files nor how long something takes.
pub fn ahead(days: u16) -> [(&'static str, String); 3] {
    [
        ("FAKETIME", format!("+{days}d")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
    ]
}
