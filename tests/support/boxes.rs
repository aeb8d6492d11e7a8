//! Images of boxes whose containers are stand-ins, all of them embedded: such a box needs no registry and no internet.

use std::path::PathBuf;

use boxwright::catalog::{Catalog, Role};
use boxwright::diag::Findings;
use boxwright::tree::Tree;

use super::built::{self, Source};
use super::registry::{Content, Registry};
use super::standin::{self, Layer, Real};
use super::{debian, go};

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
    let real = [writer(&catalog)?, vpn(&catalog)?];
    for (reference, image) in standin::all(&catalog, &Layer::busybox(&busybox), &real) {
        content.add(&reference, &image);
        digests.push_str(&format!("{reference} {}\n", image.digest()));
    }
    let registry = Registry::start(content);
    let mirror = registry.mirror();
    built::image_of(&Source { profile: project().join(path), mirror: Some(&mirror), images: &digests })
}

/// What writes backups is real: the program that the box takes out of its image, in the image's version.
fn writer(catalog: &Catalog) -> Option<Real> {
    let service = catalog.with_role(Role::Backup).expect("a service writes backups");
    let program = go::writer_of_backups(catalog)?;
    let path = service.host_programs.first().expect("it names its program");
    let mut files = Tree::new();
    files.insert_file(path.trim_start_matches('/'), 0o755, std::fs::read(program).unwrap()).unwrap();
    Some(Real { reference: image_with(catalog, Role::Backup), files })
}

/// The VPN's firewall and tunnel are real, made with Debian's programs; the program that commands them is a stand-in, unless
/// `out/test-tools/gluetun/gluetun` is there: no registry of packages has it.
fn vpn(catalog: &Catalog) -> Option<Real> {
    let mut files = debian::files(&debian::FIREWALL)?;
    if let Ok(program) = std::fs::read(project().join("out/test-tools/gluetun/gluetun")) {
        files.insert_file("gluetun-entrypoint", 0o755, program).unwrap();
    }
    Some(Real { reference: image_with(catalog, Role::Vpn), files })
}

/// The image of the service with that role.
fn image_with(catalog: &Catalog, role: Role) -> String {
    let service = catalog.with_role(role).expect("a service has the role");
    service.containers.values().next().unwrap().image.clone()
}

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
