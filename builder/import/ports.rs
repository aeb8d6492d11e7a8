//! Published ports: the first of the main container is where people reach the service, the others are listed as ports.

use super::Import;
use super::container::Subject;
use super::yaml::Node;
use crate::catalog::{Exposure, Login, Open, Port};
use crate::profile::{PortRange, Protocol};

/// A port of a container, as the file publishes it.
struct Published {
    range: PortRange,
    /// Whether only the machine itself could use it.
    loopback: bool,
    /// Whether it had another number outside.
    moved: bool,
}

impl Import<'_> {
    pub(super) fn ports(&mut self, subject: &Subject<'_>) {
        let items = subject.node.get("ports").map(|node| self.report.items(node)).unwrap_or_default();
        for item in items {
            let Some(port) = self.port(item) else { continue };
            if subject.known.is_some() && !subject.main {
                let message = format!(
                    "port {} is left out: a database is reached by its own service alone",
                    port.range
                );
                self.report.warning(&item.span, "database-in-reach", message, "remove it from the file");
                continue;
            }
            let web =
                subject.main && port.range.first == port.range.last && port.range.protocol == Protocol::Tcp;
            if web && self.exposure.is_none() {
                if port.moved {
                    let message = format!(
                        "`lan = true` opens it at home as {}: a port keeps its number in the container",
                        port.range
                    );
                    self.report.once(&item.span, "port-moved", message);
                }
                self.exposure = Some(exposure(port.range.first, !port.loopback));
            } else if !self.ports.iter().any(|one| one.port == port.range) {
                let container = (!subject.main).then(|| subject.key.clone());
                let open = if port.loopback { Open::Never } else { Open::Lan };
                self.ports.push(Port {
                    container,
                    port: port.range,
                    about: format!("Port of {}", subject.key),
                    open,
                });
            }
        }
        if subject.main && self.exposure.is_none() {
            let exposed = subject.node.get("expose").map(|node| self.report.texts(node)).unwrap_or_default();
            let port = exposed.iter().find_map(|text| text.trim_end_matches("/tcp").parse().ok());
            self.exposure = port.map(|port| exposure(port, false));
        }
    }

    fn port(&mut self, item: &Node) -> Option<Published> {
        let (text, loopback, outside) = if let Some(target) = item.get("target") {
            let mut of = |key: &str| item.get(key).and_then(|node| self.report.text(node));
            let (published, protocol, host) =
                (of("published"), of("protocol"), of("host_ip").unwrap_or_default());
            let target = self.report.text(target)?;
            (format!("{target}/{}", protocol.unwrap_or("tcp".to_owned())), is_loopback(&host), published)
        } else {
            let text = self.report.text(item)?;
            let (rest, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
            let (outer, target) =
                rest.rsplit_once(':').map_or((None, rest), |(outer, target)| (Some(outer), target));
            let (host, published) = match outer {
                Some(outer) => outer.rsplit_once(':').map_or(("", outer), |(host, port)| (host, port)),
                None => ("", ""),
            };
            let published = (!published.is_empty()).then(|| published.to_owned());
            (format!("{target}/{protocol}"), is_loopback(host), published)
        };
        let number = |text: &str| text.parse::<PortRange>();
        let outside = outside.map(|outside| number(&format!("{outside}/tcp")));
        let (Ok(range), None | Some(Ok(_))) = (number(&text), &outside) else {
            let help = "write `\"8080:80\"` or `\"6881:6881/udp\"`";
            self.report.error(
                &item.span,
                "bad-port",
                "this is no port of a container and of the machine",
                help,
            );
            return None;
        };
        let same = |other: &PortRange| (other.first, other.last) == (range.first, range.last);
        let moved = outside.is_some_and(|other| other.is_ok_and(|other| !same(&other)));
        Some(Published { range, loopback, moved })
    }
}

fn is_loopback(host: &str) -> bool {
    host.starts_with("127.") || host.trim_matches(['[', ']']) == "::1" || host == "localhost"
}

fn exposure(port: u16, lan: bool) -> Exposure {
    Exposure {
        container: None,
        port,
        scheme: if port == 443 || port == 8443 { "https" } else { "http" }.to_owned(),
        login: Login::None,
        owner: None,
        native_clients: false,
        lan,
        page: None,
        probe: "/".to_owned(),
        keyword: None,
    }
}
