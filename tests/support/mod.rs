//! What several tests share: stand-in container images, and a registry on this machine that serves them.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

pub mod boxes;
pub mod built;
pub mod debian;
pub mod docker;
pub mod go;
pub mod icu;
pub mod real;
pub mod registry;
pub mod standin;
pub mod trixie;
