//! Which images of the catalog have real programs in the tests: the one place that says so.

use boxwright::catalog::{Catalog, Role, Service};
use boxwright::tree::Tree;

use super::debian::{self, Programs};
use super::go;
use super::standin::{Layer, Real};

/// All of them. None, with a printed reason, where one cannot be had.
pub fn programs(catalog: &Catalog) -> Option<Vec<Real>> {
    let mut all = vec![writer(catalog)?, vpn(catalog)?];
    all.extend(applications(catalog)?);
    Some(all)
}

/// Those that Debian's packages are enough for. None, with a printed reason, where they cannot be had.
pub fn applications(catalog: &Catalog) -> Option<Vec<Real>> {
    let layer = |programs: &Programs| Some(Layer::of(programs.files()?));
    let (mut client, server) = (debian::POSTGRESQL_CLIENT.files()?, layer(&debian::POSTGRESQL_SERVER)?);
    let user = include_str!("standin/database");
    client.insert_file("stand-in/database", 0o755, user).unwrap();
    let (client, valkey) = (Layer::of(client), layer(&debian::VALKEY)?);
    let torrents = layer(&debian::QBITTORRENT)?;
    let mut all = Vec::new();
    for service in catalog.iter() {
        for container in service.containers.values() {
            let mut add = |layer: &Layer, program, stop_signal| {
                all.push(Real {
                    reference: container.image.clone(),
                    layer: layer.clone(),
                    program,
                    stop_signal,
                });
            };
            match last(&container.image) {
                "postgres" => {
                    add(&client, None, None);
                    add(&server, Some("/stand-in/postgres"), Some("SIGINT"));
                }
                "valkey" => add(&valkey, Some("/stand-in/valkey"), None),
                "qbittorrent" => add(&torrents, Some("/stand-in/qbittorrent"), None),
                _ if container.after.iter().any(|key| is_database(service, key)) => add(&client, None, None),
                _ => {}
            }
        }
    }
    all.sort_by_key(|one| (one.reference.clone(), one.program));
    all.dedup_by_key(|one| (one.reference.clone(), one.program));
    Some(all)
}

/// The last part of the name of an image, without its tag.
fn last(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split(':').next().unwrap_or(name)
}

fn is_database(service: &Service, key: &str) -> bool {
    service.containers.get(key).is_some_and(|container| last(&container.image) == "postgres")
}

/// What writes backups: the program that the box takes out of its image, in the image's version.
fn writer(catalog: &Catalog) -> Option<Real> {
    let service = catalog.with_role(Role::Backup).expect("a service writes backups");
    let program = go::writer_of_backups(catalog)?;
    let path = service.host_programs.first().expect("it names its program");
    let mut files = Tree::new();
    files.insert_file(path.trim_start_matches('/'), 0o755, std::fs::read(program).unwrap()).unwrap();
    Some(with_role(catalog, Role::Backup, files))
}

/// The VPN's firewall and tunnel are real, made with Debian's programs; the program that commands them is a stand-in. The real one
/// (tests/wireguard.rs) starts the tunnel anew until it reaches names in the internet, which the tests do not have.
fn vpn(catalog: &Catalog) -> Option<Real> {
    Some(with_role(catalog, Role::Vpn, debian::FIREWALL.files()?))
}

/// For the image of the service with that role.
fn with_role(catalog: &Catalog, role: Role, files: Tree) -> Real {
    let service = catalog.with_role(role).expect("a service has the role");
    let reference = service.containers.values().next().unwrap().image.clone();
    Real { reference, layer: Layer::of(files), program: None, stop_signal: None }
}
