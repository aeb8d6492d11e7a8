//! When a lock is to be renewed.
//!
//! Locks go in, sentences for a person come out. The clock is an argument.

use super::format::Lock;
use super::request::Wishes;
use crate::debian::date;
use crate::diag::InputError;

/// The version of this program.
pub const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// After so many days a build warns.
pub const OLD_DAYS: i64 = 14;

/// How many days before `now` (seconds since 1970) the newest package list of the lock was made.
pub fn age_days(lock: &Lock, now: i64) -> i64 {
    (now - lock.time).div_euclid(86400).max(0)
}

/// A warning if the lock is older than [`OLD_DAYS`] at the moment `now`.
pub fn warning(lock: &Lock, now: i64) -> Option<String> {
    let days = age_days(lock, now);
    (days > OLD_DAYS).then(|| {
        format!(
            "the lock is {days} days old (from {}): the box would start without the security updates since; \
             `boxwright lock --update` renews it",
            date::day(lock.time)
        )
    })
}

/// Whether the lock is for these wishes.
///
/// # Errors
/// [`InputError`] if the profile, or this version of Boxwright, asks for other packages than the lock was made for.
pub fn check_request(lock: &Lock, wishes: &Wishes) -> Result<(), InputError> {
    if lock.request == wishes.digest() {
        return Ok(());
    }
    Err(InputError(
        "the lock was made for other packages than the profile asks for now; \
         `boxwright lock --update` makes one for these"
            .into(),
    ))
}

/// Whether a program of the version `wrote` is none that comes after this one.
///
/// # Errors
/// [`InputError`] if it is a newer one, with what to do; or if it is no version.
pub fn check_program(wrote: Option<&str>) -> Result<(), InputError> {
    let Some(wrote) = wrote else { return Ok(()) };
    let Some(theirs) = numbers(wrote) else {
        return Err(InputError(format!(
            "the lock says `program = \"{wrote}\"`, which is no version like `{PROGRAM}`"
        )));
    };
    if numbers(PROGRAM).is_none_or(|ours| theirs <= ours) {
        return Ok(());
    }
    Err(InputError(format!(
        "Boxwright {wrote} wrote this lock, and this is {PROGRAM}, which may not know all that it pins: use {wrote} or a \
         newer one. Or remove the lock, and `boxwright lock` makes one of what the archives hold today"
    )))
}

/// The three numbers of a version. What may follow them (`-rc.1`, `+debian`) does not count.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let release = version.split(['-', '+']).next()?;
    let numbers: Vec<u64> = release.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::format::parse;

    #[test]
    fn an_old_lock_is_warned_of() {
        let lock = parse(include_str!("../../tests/diff/old.lock")).unwrap();
        assert_eq!(warning(&lock, lock.time + 14 * 86400), None);
        let text = warning(&lock, lock.time + 15 * 86400).unwrap();
        assert!(text.contains("15 days") && text.contains("2026-11-20"), "{text}");
        assert_eq!(age_days(&lock, lock.time - 5), 0);
    }

    #[test]
    fn a_lock_of_a_newer_program_is_refused_and_of_an_older_one_is_not() {
        let [major, minor, patch] = numbers(PROGRAM).unwrap();
        let older = "0.0.0-rc.1".to_owned();
        for fine in [older, PROGRAM.to_owned(), format!("{PROGRAM}+debian1")] {
            assert!(check_program(Some(&fine)).is_ok(), "{fine}");
        }
        assert!(check_program(None).is_ok());
        // By number, not by letter.
        let newer = [(major + 10, 0, 0), (major, minor + 10, 0), (major, minor, patch + 10)];
        for (major, minor, patch) in newer {
            let said = check_program(Some(&format!("{major}.{minor}.{patch}"))).unwrap_err().to_string();
            assert!(said.contains("wrote this lock") && said.contains("or a newer one"), "{said}");
        }
        for wrong in ["", "1", "1.2", "1.2.x", "1.2.3.4"] {
            assert!(check_program(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
