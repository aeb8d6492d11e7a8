//! Downloads: many files in parallel, each from the first of its addresses that has it, resumed where one breaks off.
//!
//! [`Wanted`] files go in, paths in the cache come out. Nothing gets into the cache under a digest that it does not have.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cache::Cache;
use super::http::{Failure, Http};
use super::transfer::{self, PAUSES, Target, wait};
use crate::context::Context;
use crate::digest::Sha256;
use crate::interrupt;
use crate::ui::Step;

/// How many files are fetched at once: enough to hide latency, few enough for a mirror to like us.
const CONNECTIONS: usize = 6;
/// After so many files that a server failed to give, the others are asked first.
const PATIENCE: u32 = 2;

/// A file that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What a person calls it: `docker.io 26.1.5`.
    pub name: String,
    /// Where it may be, the best address first.
    pub urls: Vec<String>,
    /// Where it may be if none of `urls` has it: a service that is slow or far.
    pub last_resort: Vec<String>,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// Why a file could not be had.
#[derive(Debug)]
pub struct FetchError {
    /// What was wanted.
    pub name: String,
    /// Whether each of [`Wanted::urls`] says that it does not have the file.
    pub gone: bool,
    /// What each address said.
    pub reasons: Vec<(String, String)>,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be fetched", self.name)?;
        self.reasons.iter().try_for_each(|(url, reason)| write!(f, "\n  {url}: {reason}"))
    }
}

impl std::error::Error for FetchError {}

/// Fetches files into a cache.
#[derive(Debug)]
pub struct Fetcher {
    cache: Cache,
    http: Http,
    offline: bool,
    /// Failures by server.
    failures: Mutex<BTreeMap<String, u32>>,
}

impl Fetcher {
    /// A fetcher for the cache of `context`.
    ///
    /// # Errors
    /// If the cache cannot be made.
    pub fn new(context: &Context) -> anyhow::Result<Self> {
        Ok(Self {
            cache: Cache::open(&context.cache)?,
            http: Http::new(),
            offline: context.offline,
            failures: Mutex::default(),
        })
    }

    /// The cache that files go to.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Fetches a file whose digest nobody knows beforehand, no longer than `limit` bytes. It is not cached.
    ///
    /// # Errors
    /// [`FetchError`], also if it is longer.
    pub fn text(&self, url: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
        let fail = |gone, reason: String| FetchError {
            name: "a file".into(),
            gone,
            reasons: vec![(url.to_owned(), reason)],
        };
        if self.offline {
            return Err(fail(false, "the network must not be used (--offline)".into()).into());
        }
        let mut pauses = PAUSES.iter();
        loop {
            interrupt::check()?;
            let failure = match self.read_all(url, limit) {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => failure,
            };
            match (failure, pauses.next()) {
                (Failure::Temporary(_), Some(pause)) => wait(*pause)?,
                (Failure::Temporary(reason) | Failure::Permanent(reason), _) => {
                    return Err(fail(false, reason).into());
                }
                (Failure::Gone(reason), _) => return Err(fail(true, reason).into()),
                (Failure::Range, _) => return Err(fail(false, "the server sends parts".into()).into()),
            }
        }
    }

    fn read_all(&self, url: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        let body = self.http.get(url, 0)?;
        let mut bytes = Vec::new();
        body.reader
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::Temporary(error.to_string()))?;
        if bytes.len() as u64 > limit {
            return Err(Failure::Permanent(format!("the file is larger than {limit} bytes")));
        }
        if body.total.is_some_and(|total| total != bytes.len() as u64) {
            return Err(Failure::Temporary("the file is cut off".into()));
        }
        Ok(bytes)
    }

    /// Fetches all of `wanted`, in parallel, the largest first, and returns their paths in the order of `wanted`.
    /// `step` is given the bytes as they come; files that are in the cache count at once.
    ///
    /// # Errors
    /// [`FetchError`] of the first file that cannot be had; an error of the disk; an interrupt.
    pub fn fetch(&self, wanted: &[Wanted], step: &Step) -> anyhow::Result<Vec<PathBuf>> {
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_by_key(|number| std::cmp::Reverse(wanted[*number].size));
        let next = AtomicUsize::new(0);
        let paths: Mutex<BTreeMap<usize, PathBuf>> = Mutex::default();
        let work = || -> anyhow::Result<()> {
            while let Some(number) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                let path = self.one(&wanted[*number], step).inspect_err(|_| {
                    // The other threads finish their file and stop.
                    next.store(order.len(), Ordering::Relaxed);
                })?;
                locked(&paths).insert(*number, path);
            }
            Ok(())
        };
        let work = &work;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..CONNECTIONS.min(wanted.len())).map(|_| scope.spawn(work)).collect();
            let results: Vec<_> = threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            results.into_iter().try_for_each(|result| {
                result.unwrap_or_else(|_| Err(anyhow::anyhow!("a download thread has failed")))
            })
        })?;
        Ok(std::mem::take(&mut *locked(&paths)).into_values().collect())
    }

    /// One file: from the cache or from the first address that has it.
    fn one(&self, wanted: &Wanted, step: &Step) -> anyhow::Result<PathBuf> {
        interrupt::check()?;
        if let Some(path) = self.cache.find(&wanted.sha256)? {
            step.advance(wanted.size);
            return Ok(path);
        }
        let mut error = FetchError { name: wanted.name.clone(), gone: true, reasons: Vec::new() };
        if self.offline {
            error.gone = false;
            error.reasons.push((
                "cache".into(),
                "it is not there, and the network must not be used (--offline)".into(),
            ));
            return Err(error.into());
        }
        let Some(mut partial) = self.cache.partial(&wanted.sha256)? else {
            step.advance(wanted.size);
            return Ok(self.cache.object(&wanted.sha256));
        };
        step.detail(wanted.name.clone());
        step.advance(partial.length.min(wanted.size));
        let urls = self.by_health(&wanted.urls);
        let first = urls.len();
        let all = urls.into_iter().chain(wanted.last_resort.iter().map(String::as_str));
        for (number, url) in all.enumerate() {
            match transfer::from(&self.http, url, &mut Target { wanted, partial: &mut partial, step })? {
                Ok(()) => return partial.publish(),
                Err(failure) => {
                    let (gone, reason) = match failure {
                        Failure::Gone(reason) => (true, reason),
                        Failure::Range => (false, "the server has less of it than it should".into()),
                        Failure::Temporary(reason) | Failure::Permanent(reason) => (false, reason),
                    };
                    error.gone &= gone || number >= first;
                    error.reasons.push((url.to_owned(), reason));
                    if !gone {
                        *locked(&self.failures).entry(server(url).to_owned()).or_default() += 1;
                    }
                }
            }
        }
        if error.gone {
            partial.discard();
        }
        Err(error.into())
    }

    /// The addresses, those of failing servers last.
    fn by_health<'a>(&self, urls: &'a [String]) -> Vec<&'a str> {
        let failures = locked(&self.failures);
        let mut urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        urls.sort_by_key(|url| failures.get(server(url)).is_some_and(|count| *count >= PATIENCE));
        urls
    }
}

/// Scheme and host of an address.
fn server(url: &str) -> &str {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[host..].find('/').map_or(url.len(), |slash| host + slash);
    &url[..end]
}

/// A lock whose holder panicked still guards usable data: maps of finished things.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_apart_by_host() {
        assert_eq!(server("http://a.example/debian/pool/x"), "http://a.example");
        assert_eq!(server("https://a.example"), "https://a.example");
        assert_eq!(server("nonsense"), "nonsense");
    }
}
