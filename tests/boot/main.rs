//! Boxes: the very image that a user would flash, started under UEFI and watched from outside.
//!
//! A start takes a minute or two under plain emulation. The longest scenarios run when asked for:
//! `cargo test --test boot -- --include-ignored`. `BOXWRIGHT_IMAGE` names another image than that of the profile `minimal`,
//! `BOXWRIGHT_CONSOLE=1` shows the console.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "BOXWRIGHT_IMAGE and the like are read from the environment")]

mod disks;
mod fallback;
mod first;
mod full;
mod harness;
mod image;
#[allow(dead_code, reason = "not all of it is used here")]
#[path = "../support/profiles.rs"]
mod profiles;
mod secrets;
mod services;
#[path = "../support/mod.rs"]
mod support;
mod twins;

use support::built;
