//! Files from the network: addresses and an expected digest go in, a path in the cache comes out.
//!
//! Nothing is trusted for where it came from: a file gets its name in the cache only when its digest is the expected
//! one, whichever mirror sent it. What the files mean is not known here.

mod cache;
mod download;
mod http;
mod resolve;
mod transfer;

pub use cache::Cache;
pub use download::{FetchError, Fetcher, Wanted};
