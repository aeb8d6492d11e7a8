//! The receipt: what was written where. It is printed, and kept on the disk as `flashed.txt` on the ESP.

use std::fmt::Write as _;

use serde::Serialize;

use crate::digest::Sha256;
use crate::ui::human_bytes;

/// What was written where. It holds no secret, and no digest of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The box, if the image has a manifest.
    pub box_name: Option<String>,
    /// The release's id.
    pub release: Option<Sha256>,
    /// The release's version.
    pub version: Option<u64>,
    /// Distribution and platform.
    pub system: Option<String>,
    /// The image's name.
    pub image: String,
    /// The digest of the image, if it was compared with its manifest.
    pub image_digest: Option<Sha256>,
    /// The disk or file.
    pub target: String,
    /// The disk's model.
    pub model: Option<String>,
    /// The disk's serial number.
    pub serial: Option<String>,
    /// The disk's size in bytes.
    pub size: u64,
    /// The GUID that the disk has now.
    pub disk_guid: String,
    /// The GUID that the ESP has now.
    pub esp_guid: String,
    /// How much was written and read back, in bytes.
    pub written: u64,
    /// What happened to the secrets partition.
    pub secrets: String,
    /// The partitions that stayed as they were.
    pub kept: Vec<String>,
    /// When, in seconds since 1970.
    pub time: i64,
    /// This program's version.
    pub program: String,
}

impl Receipt {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            // Writing into a String cannot fail.
            _ = writeln!(text, "{key:<12} {value}");
        };
        line("box", self.box_name.as_deref().unwrap_or("unknown: the image has no manifest"));
        if let (Some(release), Some(version)) = (&self.release, self.version) {
            line("release", &format!("{release} (version {version})"));
        }
        if let Some(system) = &self.system {
            line("system", system);
        }
        line("image", &self.image);
        match &self.image_digest {
            Some(digest) => line("digest", &format!("{digest}, as in its manifest")),
            None => line("digest", "not compared (--unverified)"),
        }
        line("disk", &self.target);
        line("model", self.model.as_deref().unwrap_or("unknown"));
        line("serial", self.serial.as_deref().unwrap_or("unknown"));
        line("size", &format!("{} ({} bytes)", human_bytes(self.size), self.size));
        line("disk GUID", &self.disk_guid);
        line("ESP GUID", &self.esp_guid);
        line("written", &format!("{}, read back and compared", human_bytes(self.written)));
        line("secrets", &self.secrets);
        line("kept", &if self.kept.is_empty() { "nothing".to_owned() } else { self.kept.join(", ") });
        line("flashed", &format!("{} with boxwright {}", moment(self.time), self.program));
        text
    }
}

/// Seconds since 1970 as `2026-11-21 08:00:00 UTC`.
fn moment(time: i64) -> String {
    let (year, month, day) = civil(time);
    let second = time.rem_euclid(86400);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day of seconds since 1970; years begin in March, so that a leap day is the last.
pub(super) fn civil(time: i64) -> (i64, i64, i64) {
    let days = time.div_euclid(86400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        // date -u -d @…
        for (time, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_790_000_000, "2026-09-21 14:13:20 UTC"),
        ] {
            assert_eq!(moment(time), text);
        }
    }
}
