//! Container images: tags → digests for the lock, and the files of the images layer.
