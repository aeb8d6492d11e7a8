//! Images of boxes whose containers are the tests' own, all of them embedded: such a box needs no registry and no internet.

use std::path::PathBuf;

use boxwright::catalog::Catalog;
use boxwright::diag::Findings;

use super::built::{self, Source};
use super::real;
use super::registry::{Content, Registry};
use super::standin::{self, Layer};

/// The image of the profile at `path` in the checkout. None, with a printed reason, where it cannot be made.
pub fn image_of(path: &str) -> Option<PathBuf> {
    let Some(busybox) = standin::busybox() else {
        assert!(std::env::var_os("CI").is_none(), "no static busybox");
        eprintln!("SKIPPED: stand-ins for container images need a static busybox (Debian: busybox-static)");
        return None;
    };
    let mut findings = Findings::new();
    let catalog = Catalog::load(&project().join("overlays/services"), &mut findings).unwrap();
    assert!(!findings.has_errors(), "{}", findings.render(false));
    let (mut content, mut digests) = (Content::default(), String::new());
    let real = real::programs(&catalog)?;
    for (reference, image) in standin::all(&catalog, &Layer::busybox(&busybox), &real) {
        content.add(&reference, &image);
        digests.push_str(&format!("{reference} {}\n", image.digest()));
    }
    let registry = Registry::start(content);
    let mirror = registry.mirror();
    built::image_of(&Source { profile: project().join(path), mirror: Some(&mirror), images: &digests })
}

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
