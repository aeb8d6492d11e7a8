//! Boxes: the very image that a user would flash, started under UEFI and watched from outside.
//!
//! Each scenario takes minutes, so they run when asked for: `cargo test --test boot -- --ignored --test-threads 1`.
//! `BOXWRIGHT_IMAGE` names another image than out/minimal.img, `BOXWRIGHT_CONSOLE=1` shows the console.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

mod fallback;
mod first;
mod harness;
mod image;
mod twins;
