//! Boxes: the very image that a user would flash, started under UEFI and watched from outside.
//!
//! A start takes a minute or two under plain emulation. The longest scenarios run when asked for:
//! `cargo test --test boot -- --include-ignored`. `BOXWRIGHT_IMAGE` names another image than that of the profile `minimal`,
//! `BOXWRIGHT_CONSOLE=1` shows the console.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "BOXWRIGHT_IMAGE and the like are read from the environment")]

#[path = "../support/built.rs"]
mod built;
mod fallback;
mod first;
mod harness;
mod image;
mod twins;
