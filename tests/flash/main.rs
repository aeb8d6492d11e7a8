//! Flashing: on files everywhere, on loop devices for root. Where a test cannot be run it says so and passes; on a CI machine
//! that is a failure.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests start programs and ask the environment")]

mod artefacts;
mod broken;
mod devices;
mod files;
mod images;
mod machine;
mod power;
mod secrets;
mod state;
mod tables;
mod terminal;
