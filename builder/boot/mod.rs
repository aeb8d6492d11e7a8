//! How a release starts: the root filesystem and firmware/ go in; kernel, initrd, boot entry and the files of the ESP
//! come out.
//!
//! The release's identity is made here, from everything that a box starts with. Nothing is written to a disk image: that
//! is [`crate::disk`]'s work.

mod entries;
mod esp;
mod initrd;
mod microcode;
mod release;

pub use esp::{Content, EspFile, esp};
pub use initrd::{BootFiles, InitrdRequest, make};
pub use release::{Ingredients, Release};
