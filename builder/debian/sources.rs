//! apt's lists of archives: `sources.list` lines and deb822 `*.sources` files (sources.list(5)).
//!
//! The text of a file goes in, the archives come out. What is disabled, malformed or for sources only is left out: the
//! files belong to the host, and whatever is taken from them is checked against signatures later.

use super::control::{Paragraph, Reader};

/// One archive address with what is taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The base address, without a slash at the end.
    pub uri: String,
    /// The suites.
    pub suites: Vec<String>,
    /// The components.
    pub components: Vec<String>,
}

/// Reads lines such as `deb [arch=amd64] http://mirror.example.org/debian trixie main`.
pub fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    Some(source(uri, vec![suite.to_owned()], words.map(str::to_owned).collect()))
}

/// Reads paragraphs with `Types`, `URIs`, `Suites`, `Components` and `Enabled`.
pub fn parse_deb822(text: &str) -> Vec<Source> {
    let mut reader = Reader::new(text.as_bytes());
    let mut paragraph = Paragraph::default();
    let mut sources = Vec::new();
    while reader.next(&mut paragraph).unwrap_or(false) {
        let words = |name: &str| -> Vec<String> {
            paragraph.get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let enabled = !matches!(paragraph.get("Enabled"), Some("no" | "false" | "0"));
        if enabled && words("Types").iter().any(|typ| typ == "deb") {
            let uris = words("URIs");
            sources.extend(uris.iter().map(|uri| source(uri, words("Suites"), words("Components"))));
        }
    }
    sources
}

fn source(uri: &str, suites: Vec<String>, components: Vec<String>) -> Source {
    Source { uri: uri.trim_end_matches('/').to_owned(), suites, components }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read() {
        let text = "# deb http://old/ trixie main\ndeb-src http://src/ trixie main\n\
            deb [arch=amd64 signed-by=/a b] http://mirror/debian/ trixie main contrib # near\ndeb http://flat\n";
        let sources = parse_list(text);
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].uri, "http://mirror/debian");
        assert_eq!(sources[0].components, ["main", "contrib"]);
    }

    #[test]
    fn paragraphs_are_read() {
        let text = "Types: deb deb-src\nURIs: http://a/debian http://b/debian/\nSuites: trixie trixie-updates\n\
            Components: main\n\nTypes: deb\nURIs: http://c\nSuites: trixie\nEnabled: no\n";
        let sources = parse_deb822(text);
        let uris: Vec<_> = sources.iter().map(|source| source.uri.as_str()).collect();
        assert_eq!(uris, ["http://a/debian", "http://b/debian"]);
        assert_eq!(sources[1].suites, ["trixie", "trixie-updates"]);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in ".*") {
            parse_list(&text);
            parse_deb822(&text);
        }
    }
}
