//! The overlay: a checked profile and the folders under `overlays/` → the file tree of the profile layer.
//!
//! In: templates and values. Out: a [`crate::tree::Tree`]. Nothing here knows a service, a file or a distribution by name,
//! and nothing here asks a clock, the network or the environment. overlays/README.md describes the convention.

mod filters;
mod manifest;
mod output;
mod plan;
mod render;
mod source;
mod tag;
#[cfg(test)]
mod tests;
mod units;

pub use filters::systemd_path;
pub use plan::Inputs;
pub use render::{Planned, render};
pub use source::{Overlay, Source, list};
