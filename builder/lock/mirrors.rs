//! Which mirror is asked, and in which order: `--mirror`, the profile's, those of the host's own apt configuration for
//! the same distribution, the distribution file's list.
//!
//! Only addresses come out. What a mirror sends is believed for its signature and its digests alone, so a wrong guess
//! costs a request and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use crate::debian::sources::{self, Source};
use crate::firmware::Distribution;

/// The mirrors that the build machine's own system uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostMirrors {
    /// `ID` of os-release.
    id: String,
    by_role: BTreeMap<String, Vec<String>>,
}

impl HostMirrors {
    /// Reads the apt configuration of the system whose root is `root` (`/`). Whatever is not there or not readable
    /// simply yields no mirrors.
    pub fn read(root: &Path) -> Self {
        let release = std::fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
        let field = |name: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            Some(line.trim().trim_matches(['"', '\'']).to_owned())
        };
        let codename = field("VERSION_CODENAME").unwrap_or_default();
        let mut by_role: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for source in apt_sources(&root.join("etc/apt")) {
            for role in roles(&source, &codename) {
                let mirrors = by_role.entry(role.to_owned()).or_default();
                if !mirrors.contains(&source.uri) {
                    mirrors.push(source.uri.clone());
                }
            }
        }
        Self { id: field("ID").unwrap_or_default(), by_role }
    }
}

/// All sources of apt's configuration, in apt's order.
fn apt_sources(folder: &Path) -> Vec<Source> {
    let mut found =
        sources::parse_list(&std::fs::read_to_string(folder.join("sources.list")).unwrap_or_default());
    let parts = std::fs::read_dir(folder.join("sources.list.d")).into_iter().flatten().flatten();
    let mut paths: Vec<_> = parts.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.extend(sources::parse_list(&text)),
            Some("sources") => found.extend(sources::parse_deb822(&text)),
            _ => {}
        }
    }
    found
}

/// What the source is a mirror of, if it is one of the distribution's own archives: other publishers use other suite or
/// component names as a rule, and other keys always.
fn roles(source: &Source, codename: &str) -> Vec<&'static str> {
    let web = source.uri.starts_with("http://") || source.uri.starts_with("https://");
    if !web || codename.is_empty() || !source.components.iter().any(|component| component == "main") {
        return Vec::new();
    }
    let has = |ending: &str| source.suites.iter().any(|suite| suite.strip_prefix(codename) == Some(ending));
    let mut roles = Vec::new();
    if has("") || has("-updates") {
        roles.push("main");
    }
    if has("-security") {
        roles.push("security");
    }
    roles
}

/// The base addresses for `role`, the first choice first. `chosen` are those that a person named, the most important
/// first: they hold the main archive, and other roles beside it under `<address>-<role>`, or in it.
pub fn order(distribution: &Distribution, role: &str, chosen: &[&str], host: &HostMirrors) -> Vec<String> {
    let mut mirrors: Vec<String> = Vec::new();
    for mirror in chosen {
        let mirror = mirror.trim_end_matches('/');
        if role != "main" {
            mirrors.push(format!("{mirror}-{role}"));
        }
        mirrors.push(mirror.to_owned());
    }
    if host.id == distribution.id {
        mirrors.extend(host.by_role.get(role).into_iter().flatten().cloned());
    }
    mirrors.extend(distribution.mirrors.get(role).into_iter().flatten().cloned());
    let mut seen = std::collections::BTreeSet::new();
    mirrors.retain(|mirror| seen.insert(mirror.clone()));
    mirrors
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn host(list: &str, deb822: &str) -> HostMirrors {
        let root = tempfile::tempdir().unwrap();
        let parts = root.path().join("etc/apt/sources.list.d");
        fs::create_dir_all(&parts).unwrap();
        fs::write(root.path().join("etc/os-release"), "NAME=x\nID=debian\nVERSION_CODENAME=\"bookworm\"\n")
            .unwrap();
        fs::write(parts.join("b.list"), list).unwrap();
        fs::write(parts.join("a.sources"), deb822).unwrap();
        fs::write(parts.join("c.list.save"), "deb http://saved/debian bookworm main\n").unwrap();
        HostMirrors::read(root.path())
    }

    #[test]
    fn the_hosts_own_archives_are_found_by_role() {
        let host = host(
            "deb http://near/debian bookworm main\ndeb http://near/security bookworm-security main\n\
             deb https://other.example/packages cloud-bookworm main\ndeb https://docker.example bookworm stable\n\
             deb cdrom:[disc]/ bookworm main\n",
            "Types: deb\nURIs: http://first/debian\nSuites: bookworm bookworm-updates\nComponents: main\n",
        );
        assert_eq!(host.by_role["main"], ["http://first/debian", "http://near/debian"]);
        assert_eq!(host.by_role["security"], ["http://near/security"]);
    }

    #[test]
    fn mirrors_are_asked_in_the_documented_order() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let debian = Distribution::load(project, "debian-13").unwrap();
        let host = host("deb http://near/debian bookworm main\n", "");
        let chosen = ["http://flag/debian/", "http://profile/debian"];
        let main = order(&debian, "main", &chosen, &host);
        assert_eq!(main[..3], ["http://flag/debian", "http://profile/debian", "http://near/debian"]);
        assert_eq!(main[3..], debian.mirrors["main"]);
        let security = order(&debian, "security", &["http://flag/debian"], &host);
        assert_eq!(security[..2], ["http://flag/debian-security", "http://flag/debian"]);
        let ubuntu = Distribution::load(project, "ubuntu-24.04").unwrap();
        assert_eq!(order(&ubuntu, "main", &[], &host), ubuntu.mirrors["main"]);
    }
}
