//! The dates of Release files, and the time stamps of a snapshot service.
//!
//! Text goes in, seconds since 1970 come out, and back. No clock is read here.

use anyhow::{Context as _, bail};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads the date of a Release file: `Sat, 12 Sep 2026 07:55:41 UTC` (RFC 2822 with a named zone).
///
/// # Errors
/// If it is no such date or not in UTC.
pub fn parse(text: &str) -> anyhow::Result<i64> {
    read(text).with_context(|| format!("`{text}` is not a date such as `Sat, 12 Sep 2026 07:55:41 UTC`"))
}

fn read(text: &str) -> anyhow::Result<i64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_weekday, day, month, year, clock, zone] = words[..] else { bail!("it has {} words", words.len()) };
    if !matches!(zone, "UTC" | "GMT" | "+0000" | "Z") {
        bail!("the zone is {zone}");
    }
    let month = MONTHS.iter().position(|name| *name == month).context("the month is unknown")?;
    let (day, year): (i64, i64) = (day.parse()?, year.parse()?);
    let mut seconds = 0;
    let clock: Vec<&str> = clock.split(':').collect();
    if clock.len() != 3 || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        bail!("a number is out of range");
    }
    for (part, limit) in clock.iter().zip([24, 60, 61]) {
        let value: i64 = part.parse()?;
        if !(0..limit).contains(&value) {
            bail!("the time of day is out of range");
        }
        seconds = seconds * 60 + value;
    }
    Ok(days(year, month as i64 + 1, day) * 86400 + seconds)
}

/// Seconds since 1970 as `20261121T001242Z`, the form in which snapshot services name a moment.
pub fn compact(time: i64) -> String {
    let (year, month, day) = civil(time.div_euclid(86400));
    let second = time.rem_euclid(86400);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Seconds since 1970 as `2026-11-21T00:12:42Z` (RFC 3339).
pub fn timestamp(time: i64) -> String {
    let second = time.rem_euclid(86400);
    format!("{}T{:02}:{:02}:{:02}Z", day(time), second / 3600, second / 60 % 60, second % 60)
}

/// Seconds since 1970 as `2026-11-21`.
pub fn day(time: i64) -> String {
    let (year, month, day) = civil(time.div_euclid(86400));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days since 1970-01-01 of a date in the Gregorian calendar; years begin in March, so that a leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_of_releases_are_read() {
        // Values from `date -u -d`.
        for (text, seconds) in [
            ("Sat, 12 Sep 2026 07:55:41 UTC", 1_789_199_741),
            ("Fri, 20 Nov 2026  2:27:59 UTC", 1_795_141_679),
            ("Thu, 29 Feb 2024 23:59:59 UTC", 1_709_251_199),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ] {
            assert_eq!(parse(text).unwrap(), seconds, "{text}");
        }
        assert_eq!(compact(1_789_199_741), "20260912T075541Z");
        assert_eq!(day(1_709_251_199), "2024-02-29");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in
            ["", "tomorrow", "Sat, 12 Sep 2026 07:55:41 CEST", "Sat, 99 Sep 2026 07:55:41 UTC", "a b c d e f"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_and_dates_are_inverse(number in 0i64..2_900_000) {
            let (year, month, day) = civil(number);
            prop_assert_eq!(days(year, month, day), number);
        }
    }
}
