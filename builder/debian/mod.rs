//! Debian's formats and archives: versions, control data, signed indexes, the solver, binary packages.
//!
//! Knows nothing of boxes.

pub mod deb;
