//! What a distribution and a platform consist of: `firmware/<name>/distribution.toml` and `platform.toml`, typed.
//!
//! The folder of one of them goes in, its description comes out. Nothing is fetched or checked against an archive here.

mod distribution;
mod platform;

pub use distribution::{ArchiveSpec, Distribution, SystemId, ToolPaths};
pub use platform::Platform;
