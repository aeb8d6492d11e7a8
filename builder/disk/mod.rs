//! The disk image: a release's layers and the files of its ESP go in, an image file that can be flashed comes out.
//!
//! [`layout`] says which partitions there are (pure), [`gpt`] writes and reads the table, [`fat`] the ESP, [`image`] puts
//! them together; [`content`] finds its data again. The image is sparse, and the same input gives the same bytes. Nothing here knows what is in a layer.

pub mod content;
pub mod fat;
pub mod gpt;
pub mod image;
pub mod layout;

pub use image::{Assembled, DiskImage, Parts, assemble, read};
pub use layout::{Layout, Partition, Role};
