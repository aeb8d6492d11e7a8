//! Files of Debian's packages for images of tests: real programs with the libraries that they need.

use std::path::Path;

use boxwright::tree::Tree;

use super::trixie;

/// What a VPN's container needs: iptables and wg, each with its libraries.
pub const FIREWALL: [&str; 10] = [
    "iptables",
    "libc6",
    "libip4tc2",
    "libip6tc2",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libxtables12",
    "wireguard-tools",
];
/// What of a package no program reads.
const LEFT_OUT: [&str; 4] = ["usr/share", "usr/lib/x86_64-linux-gnu/gconv", "etc", "usr/lib/systemd"];

/// The files of these packages of Debian 13. None, with a printed reason, where they cannot be had; on a CI machine that is a
/// failure.
pub fn files(packages: &[&str]) -> Option<Tree> {
    let mut tree = Tree::new();
    for package in packages {
        let Some(folder) = trixie::unpacked(package) else {
            assert!(std::env::var_os("CI").is_none(), "no {package}");
            eprintln!("SKIPPED: apt cannot fetch Debian 13's {package} here");
            return None;
        };
        add(&mut tree, &folder, &folder);
    }
    // As in Debian's own root, where everything lies below /usr.
    for name in ["lib", "lib64"] {
        tree.insert_symlink(name, &format!("usr/{name}")).unwrap();
    }
    // update-alternatives makes these on Debian.
    for name in ["iptables", "ip6tables"] {
        tree.insert_symlink(&format!("usr/sbin/{name}"), "xtables-nft-multi").unwrap();
    }
    Some(tree)
}

fn add(tree: &mut Tree, root: &Path, folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        let kind = path.symlink_metadata().unwrap();
        if LEFT_OUT.contains(&name) {
            continue;
        } else if kind.is_dir() {
            add(tree, root, &path);
        } else if kind.is_symlink() {
            tree.insert_symlink(name, std::fs::read_link(&path).unwrap().to_str().unwrap()).unwrap();
        } else {
            let mode = std::os::unix::fs::PermissionsExt::mode(&kind.permissions()) & 0o755;
            tree.insert_file(name, mode, std::fs::read(&path).unwrap()).unwrap();
        }
    }
}
