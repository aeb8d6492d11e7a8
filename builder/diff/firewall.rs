//! The rendered rules of the firewall in; the ports out that the box itself has open at home, SSH's among them.
//!
//! What services publish is in the tables; of the box's own ports those rules are all that is said.

use crate::plan::PublishedPort;
use crate::profile::Protocol;
use crate::tree::Tree;

/// ufw's rules for IPv4, as the overlay `firewall` renders them.
const RULES: &str = "etc/ufw/before.rules";

/// The chains in which what comes from home ends, and when they let it in.
const CHAINS: [(&str, &str); 2] =
    [("bw-onlink", "the box"), ("bw-rescue", "the box, while its tunnel is down")];

/// The box's own ports.
pub(super) fn own_ports(tree: &Tree) -> Vec<PublishedPort> {
    let rules = tree.file(RULES).map(String::from_utf8_lossy).unwrap_or_default();
    rules.lines().filter_map(port).collect()
}

/// The port that a rule opens, if it opens one.
fn port(rule: &str) -> Option<PublishedPort> {
    let words: Vec<&str> = rule.strip_prefix("-A ufw-before-input ")?.split(' ').collect();
    let after = |option: &str| words.iter().position(|word| *word == option).and_then(|at| words.get(at + 1));
    let (_, container) = CHAINS.into_iter().find(|(chain, _)| after("-j") == Some(chain))?;
    let protocol = match *after("-p")? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let port = after("--dport")?.parse().ok()?;
    let service = if port == 22 { "SSH" } else { "its name" };
    Some(PublishedPort {
        port,
        protocol,
        container_port: port,
        source: "lan",
        service: service.to_owned(),
        container: container.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_say_what_is_open_and_when() {
        let mut tree = Tree::new();
        let rules = "# SSH\n-A ufw-before-input -p udp -d 224.0.0.251 --dport 5353 -j bw-onlink\n\
                     -A ufw-before-input -p tcp --dport 22 -j bw-rescue\n-A ufw-before-input -p tcp --dport 23 -j DROP\n";
        assert_eq!(own_ports(&tree), []);
        tree.insert_file(RULES, 0o640, rules).unwrap();
        let found: Vec<_> =
            own_ports(&tree).into_iter().map(|port| (port.port, port.service, port.container)).collect();
        let row = |port, service: &str, when: &str| (port, service.to_owned(), when.to_owned());
        assert_eq!(
            found,
            [row(5353, "its name", "the box"), row(22, "SSH", "the box, while its tunnel is down")]
        );
    }
}
