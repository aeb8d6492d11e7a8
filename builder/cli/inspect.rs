//! `boxwright inspect`: says what is in a disk image.

use std::fmt::Write as _;

use super::Session;
use super::args::{Inspect, Sbom};
use super::network;
use crate::inspect::{self, Report};
use crate::provenance::Document;
use crate::ui::{human_bytes, printable_lines};

pub(super) fn run(session: &Session, arguments: &Inspect) -> anyhow::Result<()> {
    if arguments.network {
        return network::run(session, &arguments.subject);
    }
    let document = match arguments.sbom {
        Some(Sbom::Spdx) => Some(Document::Spdx),
        Some(Sbom::Cyclonedx) => Some(Document::CycloneDx),
        None => arguments.provenance.then_some(Document::Provenance),
    };
    if let Some(document) = document {
        return session.out.write(&inspect::document(&arguments.subject, document)?);
    }
    let report = Report::read(&arguments.subject)?;
    if session.global.json {
        return session.out.json(&serde_json::to_value(&report)?);
    }
    session.out.write(&text(&report))
}

/// The report for a person. Writing into a String cannot fail.
fn text(report: &Report) -> String {
    let mut text = String::new();
    match &report.manifest {
        Some(manifest) => {
            _ = writeln!(text, "box           {}", manifest.name);
            _ = writeln!(text, "release       {} (version {})", manifest.release, manifest.version);
            _ = writeln!(text, "system        {} on {}", manifest.distribution, manifest.platform);
        }
        None => _ = writeln!(text, "there is no manifest of this very image beside it"),
    }
    _ = writeln!(text, "to write      {} of {}", human_bytes(report.written), human_bytes(report.size));
    _ = writeln!(text, "\npartitions");
    for partition in &report.partitions {
        _ = writeln!(
            text,
            "  {:<24} {:>12}  {}",
            partition.name,
            human_bytes(partition.size),
            partition.guid
        );
        let parts = report.manifest.iter().flat_map(|manifest| &manifest.parts);
        for hash in parts.filter(|part| part.name == partition.name).filter_map(|part| part.root_hash) {
            _ = writeln!(text, "  {:<24} {:>12}  {hash}", "", "root hash");
        }
    }
    if !report.images.is_empty() {
        _ = writeln!(text, "\ncontainer images");
    }
    for (reference, digest) in &report.images {
        let embedded = report.manifest.iter().any(|manifest| manifest.embedded.contains(reference));
        let place = if embedded { "embedded" } else { "pulled" };
        _ = writeln!(text, "  {place:<8} {reference} {}", digest.as_deref().unwrap_or("(no digest)"));
    }
    if !report.packages.is_empty() {
        _ = writeln!(text, "\n{} packages", report.packages.len());
    }
    for (name, version) in &report.packages {
        _ = writeln!(text, "  {name} {version}");
    }
    // All of it may be a stranger's.
    printable_lines(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_strangers_give_a_terminal_no_orders() {
        let report = Report {
            partitions: Vec::new(),
            size: 0,
            written: 0,
            manifest: None,
            packages: vec![("ba\u{1b}[2Jsh".into(), "5\u{9b}J".into())],
            images: vec![("evil\u{7}".into(), None)],
        };
        let text = text(&report);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains("\n  ba [2Jsh 5 J\n"), "{text:?}");
    }
}
