//! `boxwright cache`: looks after the folder in which downloads and results are kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::{Args, Subcommand};

use super::subject::now;
use super::{Session, surroundings};
use crate::prune::{self, Limit, Pruned};
use crate::ui::human_bytes;

/// `cache`
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct Cache {
    /// What is done with it.
    #[command(subcommand)]
    pub verb: CacheVerb,
}

/// The verbs of `cache`.
#[derive(Debug, Subcommand)]
pub enum CacheVerb {
    /// Remove downloads and results that were not used for long; what a run uses now stays
    Prune(Prune),
}

/// `cache prune`
#[derive(Debug, Args)]
pub struct Prune {
    /// Keep what was used in so many days
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=36500))]
    pub keep: u32,
    /// Keep so much instead, such as 20G: what was used last
    #[arg(long, value_name = "SIZE", conflicts_with = "keep", value_parser = size)]
    pub max: Option<u64>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn size(text: &str) -> Result<u64, String> {
    super::flash::bytes(text).ok_or_else(|| "write a size such as 20G, 20GB or 21474836480".to_owned())
}

pub(super) fn run(session: &Session, arguments: &Cache) -> anyhow::Result<()> {
    let CacheVerb::Prune(arguments) = &arguments.verb;
    let limit = match arguments.max {
        Some(bytes) => Limit::Bytes(bytes),
        None => Limit::UsedSince(since(arguments.keep, now())),
    };
    let cache = surroundings::cache(&session.global)?;
    let step = session.ui.step("looking through the cache");
    let pruned = prune::prune(&cache, limit, arguments.dry_run)?;
    step.done(cache.display().to_string());
    if session.global.json {
        return session.out.json(&serde_json::to_value(&pruned)?);
    }
    session.out.write(&text(&pruned, arguments.dry_run))
}

/// The time that is `days` before `now`, in seconds since 1970. What was used in this very second is older than 0 days.
fn since(days: u32, now: u64) -> i64 {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    now.saturating_add(1).saturating_sub(i64::from(days) * 86400)
}

/// What was removed, for a person. Writing into a String cannot fail.
fn text(pruned: &Pruned, dry: bool) -> String {
    let mut kinds: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for entry in &pruned.removed {
        let kind = kinds.entry(entry.kind).or_default();
        *kind = (kind.0 + 1, kind.1 + entry.bytes);
    }
    let mut text = String::new();
    for (kind, (count, bytes)) in kinds {
        _ = writeln!(text, "{kind:<12} {count:>5}  {:>12}", human_bytes(bytes));
    }
    let verb = if dry { "would be freed" } else { "freed" };
    _ = writeln!(text, "{} {verb}, {} kept", human_bytes(pruned.freed), human_bytes(pruned.kept));
    if pruned.in_use > 0 {
        _ = writeln!(text, "{} more would go, but a run uses them now", pruned.in_use);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_days_keep_nothing_and_days_are_days() {
        assert_eq!(since(0, 1000), 1001);
        assert_eq!(since(2, 1_000_000), 1_000_001 - 172_800);
        assert!(since(36_500, 1000) < 0);
    }

    #[test]
    fn sizes_need_no_whole_sectors() {
        assert_eq!(size("3MB"), Ok(3_000_000));
        assert_eq!(size("0"), Ok(0));
        assert!(size("many").is_err());
    }
}
