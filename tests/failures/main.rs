//! Whatever goes wrong: a clear message, exit code 1 or 2, nothing half-made, and a next run that works. All of it is
//! shown with the program that users run.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "these tests start the program as people do")]

#[path = "../support/built.rs"]
mod built;
#[allow(dead_code, reason = "no test uses all of it")]
#[path = "../archive/publisher.rs"]
mod publisher;
#[allow(dead_code, reason = "no test uses all of it")]
#[path = "../support/registry.rs"]
mod registry;
#[allow(dead_code, reason = "no test uses all of it")]
#[path = "../archive/server.rs"]
mod server;
#[allow(dead_code, reason = "no test uses all of it")]
#[path = "../support/standin.rs"]
mod standin;

mod again;
mod bench;
mod downloads;
mod kept;
mod late;
mod leaks;
mod planted;
mod profiles;
mod releases;
mod room;
mod stop;
mod tiny;
mod together;
