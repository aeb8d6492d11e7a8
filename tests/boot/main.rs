//! Boxes: the very image that a user would flash, started under UEFI and watched from outside.
//!
//! A start takes a minute or two under plain emulation. `BOXWRIGHT_IMAGE` names another image than that of the profile `minimal`,
//! `BOXWRIGHT_CONSOLE=1` shows the console.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "BOXWRIGHT_IMAGE and the like are read from the environment")]

mod backup;
mod containers;
mod disks;
mod encrypted;
mod fallback;
mod first;
mod full;
mod harness;
mod image;
mod inventory;
mod lab;
mod lab_box;
mod network;
mod packages;
mod patching;
#[allow(dead_code, reason = "not all of it is used here")]
#[path = "../support/profiles.rs"]
mod profiles;
#[path = "../archive/publisher.rs"]
#[allow(dead_code, reason = "the tests of the archive use all of it")]
mod publisher;
mod restore;
mod secrets;
#[path = "../archive/server.rs"]
#[allow(dead_code, reason = "the tests of the archive use all of it")]
mod server;
mod stick;

#[path = "../support/mod.rs"]
mod support;
mod twins;
mod verdict;

use support::built;
