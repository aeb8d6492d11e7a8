//! Names of images, and where a mirror keeps them.
//!
//! In: text. Out: its parts. A mirror is a registry of its own; the paths in it are decided here and nowhere else (the
//! loader on the box follows the same rule, see overlays/system/images/).

use std::fmt;
use std::str::FromStr;

use crate::diag::InputError;

/// The registry whose images stand in a mirror without a prefix, because Docker's own `registry-mirrors` does so.
const DOCKER_HUB: &str = "docker.io";

/// An image by registry, repository and tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The registry's host, with a port where it has one: `docker.io`.
    pub registry: String,
    /// The path in the registry: `library/nextcloud`.
    pub repository: String,
    /// The tag: `34.0.4-apache`.
    pub tag: String,
}

impl FromStr for Reference {
    type Err = InputError;

    /// Reads `registry/repository:tag`, all of which must be there.
    fn from_str(text: &str) -> Result<Self, InputError> {
        let wrong = |what: &str| {
            InputError(format!(
                "the image `{text}` {what}: write it as `docker.io/library/nextcloud:34.0.4-apache`"
            ))
        };
        let (registry, path) = text.split_once('/').ok_or_else(|| wrong("names no registry"))?;
        let (repository, tag) = path.rsplit_once(':').ok_or_else(|| wrong("has no tag"))?;
        if !(registry.contains('.') || registry.contains(':') || registry == "localhost")
            || !is_host(registry)
        {
            return Err(wrong("names no registry"));
        }
        let component = |part: &str| {
            let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let inner = |byte: u8| edge(byte) || b"._-".contains(&byte);
            part.bytes().all(inner)
                && part.bytes().next().is_some_and(edge)
                && part.bytes().next_back().is_some_and(edge)
        };
        if !repository.split('/').all(component) {
            return Err(wrong("has no usable path"));
        }
        let in_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if tag.is_empty() || tag.len() > 128 || !tag.bytes().all(in_tag) || tag.starts_with(['.', '-']) {
            return Err(wrong("has no usable tag"));
        }
        Ok(Self { registry: registry.into(), repository: repository.into(), tag: tag.into() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}

/// A registry that stands in for all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Host and port as in a URL: `mirror.example.net:5000`.
    host: String,
    plain: bool,
}

impl Mirror {
    /// Whether it is spoken to without TLS. Only a registry on this machine is.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Where `reference` is in it, as registry and repository: an image of Docker Hub under its own path
    /// (`MIRROR/library/nextcloud`), as Docker's `registry-mirrors` asks for it; any other under the name of its registry
    /// (`MIRROR/ghcr.io/immich-app/immich-server`), since two registries may have different images of one path.
    pub fn place(&self, reference: &Reference) -> (String, String) {
        let path = match reference.registry.as_str() {
            DOCKER_HUB => reference.repository.clone(),
            registry => format!("{}/{}", registry.replace(':', "_"), reference.repository),
        };
        (self.host.clone(), path)
    }
}

impl FromStr for Mirror {
    type Err = InputError;

    /// Reads `HOST[:PORT]`, with or without `https://`; `http://` only for this machine.
    fn from_str(text: &str) -> Result<Self, InputError> {
        let wrong = |what: &str| InputError(format!("the registry mirror `{text}` {what}"));
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.contains('/') {
            return Err(wrong(
                "has a path: Docker takes a host and a port only, such as `mirror.example.net:5000`",
            ));
        }
        if !is_host(host) {
            return Err(wrong("is no host: write `mirror.example.net:5000`"));
        }
        let plain = match (scheme, is_loopback(host)) {
            ("" | "http", true) => true,
            ("" | "https", _) => false,
            ("http", false) => {
                return Err(wrong("has no TLS, which is only taken from a registry on this very machine"));
            }
            _ => return Err(wrong("has an unknown scheme: leave it out")),
        };
        Ok(Self { host: host.to_owned(), plain })
    }
}

/// Whether `text` is a host name or an address, with a port or without.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("v6", rest)
        }
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let good_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    !name.is_empty() && name.bytes().all(in_name) && !name.starts_with(['.', '-']) && good_port
}

/// Whether the host is this machine, so that nobody is in between.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_need_registry_path_and_tag() {
        for text in [
            "docker.io/library/nextcloud:34.0.4-apache",
            "ghcr.io/immich-app/postgres:14-vectorchord0.4.3-pgvectors0.2.0",
            "127.0.0.1:5000/a/b/c:1",
            "localhost/a:v1",
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        for (text, reason) in [
            ("nextcloud:34", "no registry"),
            ("library/nextcloud:34", "no registry"),
            ("docker.io/library/nextcloud", "no tag"),
            ("docker.io/library/nextcloud:", "no usable tag"),
            ("docker.io/library/nextcloud:-a", "no usable tag"),
            ("docker.io/library/nextcloud@sha256:00", "no usable path"),
            ("docker.io/Library/nextcloud:1", "no usable path"),
            ("docker.io//nextcloud:1", "no usable path"),
            ("docker.io/../x:1", "no usable path"),
            ("docker.io/-x:1", "no usable path"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_mirror_keeps_docker_hub_without_and_all_others_with_the_registrys_name() {
        let table = [
            ("docker.io/library/nextcloud:34", "library/nextcloud"),
            ("docker.io/jellyfin/jellyfin:10", "jellyfin/jellyfin"),
            ("ghcr.io/jellyfin/jellyfin:10", "ghcr.io/jellyfin/jellyfin"),
            ("lscr.io/linuxserver/sonarr:4", "lscr.io/linuxserver/sonarr"),
            ("registry.example:5000/a:1", "registry.example_5000/a"),
        ];
        let mirror: Mirror = "mirror.example.net:5000".parse().unwrap();
        for (reference, path) in table {
            let place = mirror.place(&reference.parse().unwrap());
            assert_eq!(place, ("mirror.example.net:5000".to_owned(), path.to_owned()));
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        let table = [
            ("127.0.0.1:5000", Ok(true)),
            ("127.9.9.9", Ok(true)),
            ("localhost:5000", Ok(true)),
            ("[::1]:5000", Ok(true)),
            ("http://localhost:5000/", Ok(true)),
            ("https://localhost:5000", Ok(false)),
            ("mirror.example.net", Ok(false)),
            ("https://10.0.0.1:443", Ok(false)),
            ("http://10.0.0.1:5000", Err("no TLS")),
            ("http://localhost.example.net", Err("no TLS")),
            ("http://127.0.0.1.example.net", Err("no TLS")),
            ("https://mirror.example.net/v2", Err("a path")),
            ("ftp://mirror.example.net", Err("unknown scheme")),
            ("mirror:port", Err("no host")),
            ("mirror:70000", Err("no host")),
            ("user@mirror", Err("no host")),
            ("", Err("no host")),
        ];
        for (text, expected) in table {
            match (text.parse::<Mirror>(), expected) {
                (Ok(mirror), Ok(plain)) => assert_eq!(mirror.is_plain(), plain, "{text}"),
                (Err(error), Err(reason)) => assert!(error.to_string().contains(reason), "{text}: {error}"),
                (result, _) => panic!("{text}: {result:?}"),
            }
        }
    }
}
