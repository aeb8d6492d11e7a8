//! The container images of a box: which there are, by which bytes, and the files of the images layer.
//!
//! In: references (`docker.io/library/nextcloud:34.0.4-apache`) and a registry, which is asked through skopeo out of the
//! locked tools. Out: the images of the lock; later the blobs that it names, in the cache; and from those alone the tar
//! stream of the images layer. Which images are embedded is the catalog's and the profile's word; no image is known by
//! name here, and nothing here is told by a tag what a digest can tell.

mod fetch;
mod layer;
mod list;
mod manifest;
mod reference;
mod resolve;
mod skopeo;

pub use fetch::{Stored, blob, fetch};
pub use layer::{LAYOUT, index, write_layer};
pub use list::{BoxImage, embedded, layer_key, list, references};
pub use manifest::{blobs_of, parse_digest};
pub use reference::{Mirror, Reference};
pub use resolve::resolve;
pub use skopeo::Skopeo;
