//! A lock as text: [`Lock`] in, TOML out, sorted, one thing a line.

use std::fmt::Write as _;

use super::format::{Archive, Image, Key, Lock, Package, Source};

/// The text of a lock file: sorted, one thing a line, the same for equal locks.
pub fn render(lock: &Lock) -> String {
    let mut text = String::from(
        "# Exactly which bytes this box is built from. Written by `boxwright lock`; commit it beside the profile.\n\
         # `boxwright lock --update` moves it to what the archives hold today.\n",
    );
    let head = [
        ("schema", Some(lock.schema.to_string())),
        ("program", lock.program.as_deref().map(quoted)),
        ("version", Some(lock.version.to_string())),
        ("time", Some(lock.time.to_string())),
        ("distribution", Some(quoted(&lock.distribution))),
        ("platform", Some(quoted(&lock.platform))),
        ("request", Some(quoted(&lock.request.to_string()))),
    ];
    for (key, value) in head.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key} = {value}");
    }
    list(&mut text, "archives", &lock.archives, archive_line);
    // A lock from before they were written down stays as it is written.
    if lock.program.is_some() {
        list(&mut text, "keys", &lock.keys, key_line);
        list(&mut text, "sources", &lock.sources, source_line);
    }
    list(&mut text, "packages", &lock.packages, package_line);
    list(&mut text, "tools", &lock.tools, package_line);
    list(&mut text, "machine", &lock.machine, package_line);
    list(&mut text, "images", &lock.images, image_line);
    text
}

fn list<T: Ord>(text: &mut String, key: &str, items: &[T], line: fn(&T) -> String) {
    let mut sorted: Vec<&T> = items.iter().collect();
    sorted.sort();
    let _ = writeln!(text, "\n{key} = [");
    for item in sorted {
        let _ = writeln!(text, "  {{ {} }},", line(item));
    }
    text.push_str("]\n");
}

fn archive_line(archive: &Archive) -> String {
    let components: Vec<String> = archive.components.iter().map(|component| quoted(component)).collect();
    let date = archive.date.map(|date| format!(", date = {date}")).unwrap_or_default();
    format!(
        "id = {}, role = {}, suite = {}, components = [{}], release_sha256 = \"{}\"{date}",
        quoted(&archive.id),
        quoted(&archive.role),
        quoted(&archive.suite),
        components.join(", "),
        archive.release_sha256
    )
}

fn key_line(key: &Key) -> String {
    format!(
        "fingerprint = {}, file = {}, sha256 = \"{}\"",
        quoted(&key.fingerprint),
        quoted(&key.file),
        key.sha256
    )
}

fn source_line(source: &Source) -> String {
    format!("name = {}, sha256 = \"{}\"", quoted(&source.name), source.sha256)
}

fn package_line(package: &Package) -> String {
    format!(
        "name = {}, version = {}, architecture = {}, archive = {}, size = {}, sha256 = \"{}\", path = {}",
        quoted(&package.name),
        quoted(&package.version),
        quoted(&package.architecture),
        quoted(&package.archive),
        package.size,
        package.sha256,
        quoted(&package.path)
    )
}

fn image_line(image: &Image) -> String {
    let mut line = format!("reference = {}", quoted(&image.reference));
    for (key, value) in [("digest", &image.digest), ("config", &image.config)] {
        if let Some(value) = value {
            let _ = write!(line, ", {key} = {}", quoted(value));
        }
    }
    if let Some(size) = image.size {
        let _ = write!(line, ", size = {size}");
    }
    for (key, value) in [("platform", &image.platform), ("resolved", &image.resolved)] {
        if let Some(value) = value {
            let _ = write!(line, ", {key} = {}", quoted(value));
        }
    }
    line
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
