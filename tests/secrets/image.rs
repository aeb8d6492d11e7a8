//! An image with secrets: whose it is, and when it takes the place of the former one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use boxwright::build::locking;
use boxwright::digest::Sha256;
use boxwright::disk::{self, Parts};
use boxwright::lock;

use super::built;

#[test]
fn an_image_with_secrets_is_its_owners_alone_and_has_its_name_last() {
    let Some(profile) = built::locked("minimal") else { return };
    let lock = lock::load(&profile.with_extension("lock")).unwrap().unwrap();
    let tools = locking::tools(&lock, &built::context()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("attic.img");
    fs::write(&image, "the former image").unwrap();
    let seed = Sha256::of_bytes(b"release");
    let made = |secrets| {
        let parts = Parts { seed: &seed, version: 1, time: 1_790_000_000, layers: &[], esp: &[], secrets };
        disk::assemble(&parts, &tools, &image).unwrap()
    };
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let assembled = made(Some(&b"bundle"[..]));
    assert_eq!(mode(&assembled.image.path), 0o600);
    drop(assembled);
    assert_eq!(fs::read(&image).unwrap(), b"the former image");
    assert_eq!(made(Some(&b"bundle"[..])).commit().unwrap().path, image);
    assert_eq!(mode(&image), 0o600);
    made(None).commit().unwrap();
    assert_eq!((mode(&image), fs::read_dir(folder.path()).unwrap().count()), (0o644, 1));
}
