//! What a box is told besides its secrets when its disk is written: which of all disks of its name it is, what to restore
//! before anything starts, and whether it only rehearses.
//!
//! It lies in the bundle beside the secrets (see [`super::bundle`]), under the keys that it has a value for. The box keeps
//! it with `/usr/lib/boxwright/handover.py`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::Serialize;

/// What goes along with the secrets. The default says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Handover {
    /// When the disk was written, in seconds since 1970: of two boxes with one name the one with the larger number is the
    /// box, and the other one stops its tunnels and backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// What to restore before any service starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
    /// Whether it is to keep away from the world: no tunnel, no VPN, no backup, no alert.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
}

/// Which backup to restore: `latest`, the id of a snapshot, or the end of a day or minute in the box's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restore(String);

impl Restore {
    /// The newest of everything.
    pub fn latest() -> Self {
        Self("latest".to_owned())
    }
}

impl fmt::Display for Restore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Restore {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_id = text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text == "latest" || is_id || is_moment(text) {
            return Ok(Self(text.to_owned()));
        }
        bail!("write latest, the id of a snapshot, or a time such as 2026-11-20 or \"2026-11-20 03:00\"")
    }
}

/// Whether `text` is a day, or a day and a minute, as the box reads them.
fn is_moment(text: &str) -> bool {
    let (day, minute) = text.split_once(' ').unwrap_or((text, "00:00"));
    let shape = |text: &str, pattern: &str| {
        text.len() == pattern.len()
            && text.bytes().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                _ => byte == wanted,
            })
    };
    let number = |text: &str, range: std::ops::RangeInclusive<u32>| {
        text.parse().is_ok_and(|number| range.contains(&number))
    };
    shape(day, "0000-00-00")
        && shape(minute, "00:00")
        && number(&day[5..7], 1..=12)
        && number(&day[8..], 1..=31)
        && number(&minute[..2], 0..=23)
        && number(&minute[3..], 0..=59)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_restored_is_the_latest_a_snapshot_or_a_moment() {
        for right in ["latest", "2026-11-20", "2026-11-20 03:00", "0f5e1d7c94b34b0e8a5c6d1f2e3a4b5c"] {
            assert_eq!(right.parse::<Restore>().unwrap().to_string(), right);
        }
        for wrong in [
            "",
            "newest",
            "2026-13-20",
            "2026-11-20T03:00",
            "2026-11-20 25:00",
            "26-11-20",
            "abc",
            "é026-11-2",
        ] {
            assert!(wrong.parse::<Restore>().is_err(), "{wrong}");
        }
    }
}
