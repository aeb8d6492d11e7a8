//! The tables and the rendered trees of two boxes in; services, host names, ports, networks, units and files that differ out.

use std::collections::BTreeMap;

use super::tables::Tables;
use super::{Difference, UnitState, changed, files, firewall};
use crate::tree::{Kind, Tree};

/// Where the links of enabled and masked units are.
const UNITS: &str = "etc/systemd/system/";

/// The endings of the folders with what a unit starts.
const STARTED_BY: [&str; 3] = [".wants", ".requires", ".upholds"];

pub(super) fn compare(old: (&Tables, &Tree), new: (&Tables, &Tree), difference: &mut Difference) {
    let ((before, was), (after, is)) = (old, new);
    difference.services = changed(&before.services, &after.services);
    difference.hostnames = changed(&before.hostnames, &after.hostnames);
    difference.ports =
        changed(&before.ports_with(firewall::own_ports(was)), &after.ports_with(firewall::own_ports(is)));
    difference.networks = changed(&before.networks, &after.networks);
    trees(was, is, difference);
}

/// Compares what needs no tables.
pub(super) fn trees(old: &Tree, new: &Tree, difference: &mut Difference) {
    difference.units = changed(&units(old), &units(new));
    difference.files = files::compare(old, new);
}

/// What the links of a rendered tree say of units: enabled where another unit starts it, masked where it leads to nothing.
fn units(tree: &Tree) -> BTreeMap<String, UnitState> {
    let mut found = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let (Some(place), Kind::Symlink(target)) = (path.strip_prefix(UNITS), &entry.kind) else { continue };
        match place.split_once('/') {
            None if target == "/dev/null" => {
                found.insert(place.to_owned(), UnitState::Masked);
            }
            Some((folder, unit)) if STARTED_BY.iter().any(|ending| folder.ends_with(ending)) => {
                found.entry(unit.to_owned()).or_insert(UnitState::Enabled);
            }
            // Another name of a unit: the file itself is listed.
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_say_which_units_are_enabled_and_masked() {
        let mut tree = Tree::new();
        let links = [
            ("multi-user.target.wants/a.service", "/usr/lib/systemd/system/a.service"),
            ("x.target.requires/b@1.service", "/usr/lib/systemd/system/b@.service"),
            ("alias.service", "/usr/lib/systemd/system/a.service"),
            ("c.timer", "/dev/null"),
            ("a.service.d/other", "/nowhere"),
        ];
        for (path, target) in links {
            tree.insert_symlink(&format!("{UNITS}{path}"), target).unwrap();
        }
        let found: Vec<_> = units(&tree).into_iter().collect();
        let row = |name: &str, state| (name.to_owned(), state);
        let expected = [
            row("a.service", UnitState::Enabled),
            row("b@1.service", UnitState::Enabled),
            row("c.timer", UnitState::Masked),
        ];
        assert_eq!(found, expected);
    }
}
