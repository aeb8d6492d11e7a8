//! The ports that the box opens: a line of the profile and what the catalog says of the service in, ports out.

use super::container::PublishedPort;
use super::service::{ServicePlan, host};
use crate::catalog::{Open, Service};
use crate::profile::{LanAccess, PortRange, Protocol, ServiceUse};

/// The ports that the box opens for a service.
pub(super) fn publish(service: &Service, usage: &ServiceUse, namespace: Option<&str>) -> Vec<PublishedPort> {
    let mut published = Vec::new();
    let mut add = |range: PortRange, container: Option<&str>, source: &'static str| {
        for port in range.first..=range.last {
            let container = namespace.map_or_else(|| host(service, container), str::to_owned);
            let service = service.name.clone();
            let protocol = range.protocol;
            published.push(PublishedPort {
                port,
                protocol,
                container_port: port,
                source,
                service,
                container,
            });
        }
    };
    let container_of = |range: PortRange| {
        let declared = service.ports.iter().find(|port| port.port.overlaps(&range));
        declared.and_then(|port| port.container.as_deref())
    };
    match &usage.lan {
        LanAccess::Open(true) => {
            if let Some(exposure) = service.exposure.as_ref().filter(|exposure| exposure.lan) {
                let range = PortRange { first: exposure.port, last: exposure.port, protocol: Protocol::Tcp };
                add(range, exposure.container.as_deref(), "lan");
            }
            for port in service.ports.iter().filter(|port| port.open == Open::Lan) {
                add(port.port, port.container.as_deref(), "lan");
            }
        }
        LanAccess::Open(false) => {}
        LanAccess::Ports(ranges) => ranges.iter().for_each(|&range| add(range, container_of(range), "lan")),
    }
    usage.edge.iter().for_each(|&range| add(range, container_of(range), "edge"));
    published.sort();
    published.dedup();
    published
}

/// Hands the ports of containers without networks of their own to the container whose namespace they live in.
pub(super) fn in_namespaces(plans: &mut [ServicePlan]) {
    let all: Vec<PublishedPort> = plans.iter().flat_map(|plan| plan.published.clone()).collect();
    for container in plans.iter_mut().flat_map(|plan| plan.containers.iter_mut()) {
        container.ports = all.iter().filter(|port| port.container == container.name).cloned().collect();
    }
}
