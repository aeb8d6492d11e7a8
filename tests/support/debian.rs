//! Files of Debian's packages for images of tests: real programs with the libraries that they need.

use std::path::Path;

use boxwright::tree::Tree;

use super::{icu, trixie};

/// What a VPN's container needs: iptables and wg, each with its libraries.
pub const FIREWALL: Programs = Programs {
    packages: &[
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
    ],
    kept: &["usr/bin", "usr/sbin", "usr/lib/x86_64-linux-gnu/xtables"],
    // update-alternatives makes these on Debian.
    links: &[("usr/sbin/iptables", "xtables-nft-multi"), ("usr/sbin/ip6tables", "xtables-nft-multi")],
};
/// PostgreSQL's clients.
pub const POSTGRESQL_CLIENT: Programs = Programs {
    packages: &[
        "libc6",
        "libcom-err2",
        "libgssapi-krb5-2",
        "libk5crypto3",
        "libkeyutils1",
        "libkrb5-3",
        "libkrb5support0",
        "libldap2",
        "liblz4-1",
        "libpq5",
        "libreadline8t64",
        "libsasl2-2",
        "libssl3t64",
        "libtinfo6",
        "libxxhash0",
        "libzstd1",
        "postgresql-client-17",
        "zlib1g",
    ],
    kept: &[
        "usr/lib/postgresql/17/bin/createdb",
        "usr/lib/postgresql/17/bin/pg_dump",
        "usr/lib/postgresql/17/bin/pg_isready",
        "usr/lib/postgresql/17/bin/pg_restore",
        "usr/lib/postgresql/17/bin/psql",
    ],
    links: &[
        ("usr/local/bin/createdb", "/usr/lib/postgresql/17/bin/createdb"),
        ("usr/local/bin/pg_dump", "/usr/lib/postgresql/17/bin/pg_dump"),
        ("usr/local/bin/pg_isready", "/usr/lib/postgresql/17/bin/pg_isready"),
        ("usr/local/bin/pg_restore", "/usr/lib/postgresql/17/bin/pg_restore"),
        ("usr/local/bin/psql", "/usr/lib/postgresql/17/bin/psql"),
        ("var/run", "/run"),
    ],
};
/// PostgreSQL itself, on top of its clients: without what compiles queries, other encodings than UTF-8, and extensions.
pub const POSTGRESQL_SERVER: Programs = Programs {
    packages: &[
        "libaudit1",
        "libcap-ng0",
        "libcap2",
        "libgcc-s1",
        "libicu76",
        "liblzma5",
        "libpam0g",
        "libstdc++6",
        "libsystemd0",
        "libxml2",
        "postgresql-17",
        "tzdata",
    ],
    kept: &[
        "usr/lib/postgresql/17/bin/initdb",
        "usr/lib/postgresql/17/bin/pg_ctl",
        "usr/lib/postgresql/17/bin/postgres",
        "usr/lib/postgresql/17/lib/dict_snowball.so",
        "usr/lib/postgresql/17/lib/plpgsql.so",
        "usr/share/postgresql/17/errcodes.txt",
        "usr/share/postgresql/17/extension/plpgsql--1.0.sql",
        "usr/share/postgresql/17/extension/plpgsql.control",
        "usr/share/postgresql/17/information_schema.sql",
        "usr/share/postgresql/17/pg_hba.conf.sample",
        "usr/share/postgresql/17/pg_ident.conf.sample",
        "usr/share/postgresql/17/postgres.bki",
        "usr/share/postgresql/17/postgresql.conf.sample",
        "usr/share/postgresql/17/snowball_create.sql",
        "usr/share/postgresql/17/sql_features.txt",
        "usr/share/postgresql/17/system_constraints.sql",
        "usr/share/postgresql/17/system_functions.sql",
        "usr/share/postgresql/17/system_views.sql",
        "usr/share/postgresql/17/timezonesets",
        "usr/share/postgresql/17/tsearch_data",
        "usr/share/zoneinfo",
    ],
    links: &[],
};
/// Valkey and its client.
pub const VALKEY: Programs = Programs {
    packages: &[
        "libatomic1",
        "libc6",
        "libcap2",
        "libgcc-s1",
        "libjemalloc2",
        "liblzf1",
        "libssl3t64",
        "libstdc++6",
        "libsystemd0",
        "libzstd1",
        "valkey-server",
        "valkey-tools",
        "zlib1g",
    ],
    kept: &["usr/bin/valkey-check-rdb", "usr/bin/valkey-cli", "usr/bin/valkey-server"],
    links: &[
        ("usr/local/bin/redis-cli", "/usr/bin/valkey-cli"),
        ("usr/local/bin/valkey-cli", "/usr/bin/valkey-cli"),
    ],
};
/// qBittorrent with its web interface.
pub const QBITTORRENT: Programs = Programs {
    packages: &[
        "libatomic1",
        "libb2-1",
        "libblkid1",
        "libbrotli1",
        "libc-bin",
        "libc6",
        "libcom-err2",
        "libcurl3t64-gnutls",
        "libdouble-conversion3",
        "libduktape207",
        "libffi8",
        "libgcc-s1",
        "libglib2.0-0t64",
        "libgmp10",
        "libgnutls30t64",
        "libgomp1",
        "libgssapi-krb5-2",
        "libhogweed6t64",
        "libicu76",
        "libidn2-0",
        "libk5crypto3",
        "libkeyutils1",
        "libkrb5-3",
        "libkrb5support0",
        "libldap2",
        "libmount1",
        "libnettle8t64",
        "libnghttp2-14",
        "libnghttp3-9",
        "libngtcp2-16",
        "libngtcp2-crypto-gnutls8",
        "libp11-kit0",
        "libpcre2-16-0",
        "libpcre2-8-0",
        "libproxy1v5",
        "libpsl5t64",
        "libqt6core6t64",
        "libqt6network6",
        "libqt6sql6",
        "libqt6sql6-sqlite",
        "libqt6xml6",
        "librtmp1",
        "libsasl2-2",
        "libselinux1",
        "libsqlite3-0",
        "libssh2-1t64",
        "libssl3t64",
        "libstdc++6",
        "libtasn1-6",
        "libtorrent-rasterbar2.0t64",
        "libunistring5",
        "libzstd1",
        "qbittorrent-nox",
        "zlib1g",
    ],
    kept: &[
        "usr/bin/qbittorrent-nox",
        "usr/lib/locale/C.utf8",
        "usr/lib/x86_64-linux-gnu/libproxy",
        "usr/lib/x86_64-linux-gnu/qt6/plugins/sqldrivers/libqsqlite.so",
        "usr/lib/x86_64-linux-gnu/qt6/plugins/tls/libqopensslbackend.so",
    ],
    links: &[],
};

/// Where libraries are. Those that are not in a folder below it are always kept.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// Programs out of packages of Debian 13.
pub struct Programs {
    /// Those that have them, and all libraries that they need.
    packages: &'static [&'static str],
    /// Files and folders that are wanted besides the libraries.
    kept: &'static [&'static str],
    /// Other names: path and where it leads.
    links: &'static [(&'static str, &'static str)],
}

impl Programs {
    /// Their files. None, with a printed reason, where they cannot be had; on a CI machine that is a failure.
    pub fn files(&self) -> Option<Tree> {
        let mut tree = Tree::new();
        for package in self.packages {
            let Some(folder) = trixie::unpacked(package) else {
                assert!(std::env::var_os("CI").is_none(), "no {package}");
                eprintln!("SKIPPED: apt cannot fetch Debian 13's {package} here");
                return None;
            };
            self.add(&mut tree, &folder, &folder);
        }
        // As in Debian's own root, where everything lies below /usr.
        for name in ["lib", "lib64"] {
            tree.insert_symlink(name, &format!("usr/{name}")).unwrap();
        }
        for (path, target) in self.links {
            tree.insert_symlink(path, target).unwrap();
        }
        Some(tree)
    }

    fn add(&self, tree: &mut Tree, root: &Path, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            let kind = path.symlink_metadata().unwrap();
            if kind.is_dir() {
                self.add(tree, root, &path);
            } else if !self.keeps(name) {
                continue;
            } else if kind.is_symlink() {
                tree.insert_symlink(name, std::fs::read_link(&path).unwrap().to_str().unwrap()).unwrap();
            } else {
                let mode = std::os::unix::fs::PermissionsExt::mode(&kind.permissions()) & 0o755;
                let mut content = std::fs::read(&path).unwrap();
                if name.starts_with(icu::FILE) && kind.is_file() {
                    icu::without_languages(&mut content);
                }
                tree.insert_file(name, mode, content).unwrap();
            }
        }
    }

    fn keeps(&self, name: &str) -> bool {
        let library =
            name.rsplit_once('/').is_some_and(|(folder, _)| folder == LIBRARIES || folder == "usr/lib64");
        library || self.kept.iter().any(|kept| Path::new(name).starts_with(kept))
    }
}
