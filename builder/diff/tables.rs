//! A plan, or the files on the box that have it as JSON, in; services, host names, ports and networks by name out.
//!
//! Those files are what the box itself starts its services and makes its networks from, and so what an image says of both.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Hostname;
use crate::plan::{NetworkPlan, Plan, PublishedPort};
use crate::profile::{Audience, Protocol};
use crate::tree::Tree;

/// The services of the plan, with their containers.
const SERVICES: &str = "etc/boxwright/services.json";

/// The networks of the plan.
const NETWORKS: &str = "etc/boxwright/networks.json";

/// The container images of the box, with the services that they are for.
const IMAGES: &str = "etc/boxwright/images.json";

/// What of a box has a name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tables {
    /// The titles of the services.
    pub(super) services: BTreeMap<String, String>,
    pub(super) hostnames: BTreeMap<String, Hostname>,
    pub(super) ports: BTreeMap<String, PublishedPort>,
    pub(super) networks: BTreeMap<String, NetworkPlan>,
}

impl Tables {
    pub(super) fn of_plan(plan: &Plan) -> Self {
        let mut tables = Self::default();
        for service in &plan.services {
            tables.services.insert(service.name.clone(), service.title.clone());
            let hostnames = [service.hostname.as_ref(), service.page_hostname.as_ref()];
            tables.add_hostnames(&service.name, hostnames, service.audience);
        }
        tables.add_ports(plan.ports.iter().cloned());
        tables.add_networks(&plan.networks);
        tables
    }

    /// What the rendered files say.
    ///
    /// # Errors
    /// If one of them is missing, or a Boxwright with another plan has written it.
    pub(super) fn of_files(tree: &Tree) -> Result<Self> {
        let mut tables = Self::default();
        for service in read::<Vec<Service>>(tree, SERVICES)? {
            let hostnames = [service.hostname.as_ref(), service.page_hostname.as_ref()];
            tables.add_hostnames(&service.name, hostnames, service.audience);
            tables.services.insert(service.name, service.title);
            let ports = service.containers.into_iter().flat_map(|container| container.ports);
            tables.add_ports(ports.map(PublishedPort::from));
        }
        tables.add_networks(&read::<Vec<NetworkPlan>>(tree, NETWORKS)?);
        Ok(tables)
    }

    fn add_hostnames(
        &mut self,
        service: &str,
        [own, page]: [Option<&String>; 2],
        audience: Option<Audience>,
    ) {
        for (name, audience) in [(own, audience), (page, Some(Audience::Everyone))] {
            if let Some((name, audience)) = name.zip(audience) {
                self.hostnames.insert(name.clone(), Hostname { service: service.to_owned(), audience });
            }
        }
    }

    fn add_ports(&mut self, ports: impl Iterator<Item = PublishedPort>) {
        self.ports.extend(named(ports));
    }

    /// The ports of the services, and `own`.
    pub(super) fn ports_with(&self, own: Vec<PublishedPort>) -> BTreeMap<String, PublishedPort> {
        let mut ports = self.ports.clone();
        ports.extend(named(own.into_iter()));
        ports
    }

    fn add_networks(&mut self, networks: &[NetworkPlan]) {
        self.networks.extend(networks.iter().map(|network| (network.name.clone(), network.clone())));
    }
}

/// Each port with what it is called: two services may publish one for different sources.
fn named(ports: impl Iterator<Item = PublishedPort>) -> impl Iterator<Item = (String, PublishedPort)> {
    ports.map(|port| {
        let from = if port.source == "edge" { "from Cloudflare" } else { "from home" };
        (format!("{}/{} {from}", port.port, port.protocol), port)
    })
}

/// What is read of a [`crate::plan::ServicePlan`]. That a key is missing is an error, also of an `Option`.
#[derive(Deserialize)]
struct Service {
    name: String,
    title: String,
    #[serde(deserialize_with = "Option::deserialize")]
    hostname: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    page_hostname: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    audience: Option<Audience>,
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    ports: Vec<Port>,
}

/// A [`PublishedPort`] as it is read.
#[derive(Deserialize)]
struct Port {
    port: u16,
    protocol: Protocol,
    container_port: u16,
    source: Source,
    service: String,
    container: String,
}

/// Who may use a port.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Lan,
    Edge,
}

impl From<Port> for PublishedPort {
    fn from(port: Port) -> Self {
        let Port { port, protocol, container_port, source, service, container } = port;
        let source = match source {
            Source::Lan => "lan",
            Source::Edge => "edge",
        };
        Self { port, protocol, container_port, source, service, container }
    }
}

/// The services of each container image, by reference, as the rendered files say it.
///
/// # Errors
/// As for [`Tables::of_files`].
pub(super) fn services_of_images(tree: &Tree) -> Result<BTreeMap<String, Vec<String>>> {
    #[derive(Deserialize)]
    struct Images {
        images: Vec<Image>,
    }
    #[derive(Deserialize)]
    struct Image {
        reference: String,
        services: Vec<String>,
    }
    let images: Images = read(tree, IMAGES)?;
    Ok(images.images.into_iter().map(|image| (image.reference, image.services)).collect())
}

fn read<T: DeserializeOwned>(tree: &Tree, path: &str) -> Result<T> {
    let content = tree.file(path).with_context(|| format!("there is no /{path}"))?;
    serde_json::from_slice(content).with_context(|| format!("/{path} is of another Boxwright"))
}
