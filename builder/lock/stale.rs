//! When a lock is to be renewed.
//!
//! Locks go in, sentences for a person come out. The clock is an argument.

use super::format::Lock;
use super::request::Wishes;
use crate::debian::date;
use crate::diag::InputError;

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
}
