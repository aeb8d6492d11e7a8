//! Overlays in memory, and the trees that they make.

use std::collections::BTreeMap;

use tera::Context;

use super::render::{Planned, render};
use super::source::{Overlay, Source};
use crate::tree::Kind;

fn overlay(name: &str, files: &[(&str, &str)]) -> Planned {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), Source::File(text.as_bytes().to_vec())));
    Planned { overlay: Overlay { name: name.to_owned(), files: files.collect() }, values: Context::new() }
}

fn common() -> Context {
    let mut context = Context::new();
    context.insert("name", "servarr");
    context.insert("disks", &BTreeMap::from([("b", 2), ("a", 1)]));
    context
}

fn failure(overlays: &[Planned]) -> String {
    format!("{:#}", render(overlays, &common()).unwrap_err())
}

#[test]
fn files_modes_links_and_units() {
    let manifest = "[[unit]]\nname = \"x.service\"\n[[file]]\npath = \"etc/secret\"\nmode = \"0440\"\n\
        {% for name, _ in disks %}[[dir]]\npath = \"srv/{{ name }}\"\n\
        [[file]]\npath = \"etc/{{ name }}.conf\"\nfrom = \"include/one.tera\"\nwith = { name = \"{{ name }}\" }\n{% endfor %}\
        [[link]]\npath = \"etc/localtime\"\nto = \"/usr/share/zoneinfo/UTC\"\n";
    let one = overlay(
        "system/x",
        &[
            ("overlay.toml", manifest),
            ("include/one.tera", "for {{ with.name }} on {{ name }}"),
            ("root/etc/hostname.tera", "{{ name }}\n"),
            ("root/etc/none.tera", "{% if name == \"other\" %}\ntext\n{% endif %}\n"),
            ("root/etc/verbatim", "{{ name }}"),
            ("root/etc/secret", "s"),
            ("root/usr/lib/boxwright/run", "#!/bin/sh\n"),
            ("root/usr/lib/systemd/system/x.service", "[Install]\nWantedBy=multi-user.target\n"),
        ],
    );
    let tree = render(&[one], &common()).unwrap();
    let dump: Vec<String> = tree
        .iter()
        .map(|(path, entry)| match &entry.kind {
            Kind::Dir => format!("{path}/ {:o}", entry.mode),
            Kind::File(bytes) => format!("{path} {:o} {:?}", entry.mode, String::from_utf8_lossy(bytes)),
            Kind::Symlink(target) => format!("{path} -> {target}"),
        })
        .collect();
    let expected = [
        "etc/a.conf 644 \"for a on servarr\\n\"",
        "etc/b.conf 644 \"for b on servarr\\n\"",
        "etc/hostname 644 \"servarr\\n\"",
        "etc/localtime -> /usr/share/zoneinfo/UTC",
        "etc/secret 440 \"s\"",
        "etc/systemd/system/multi-user.target.wants/x.service -> /usr/lib/systemd/system/x.service",
        "etc/verbatim 644 \"{{ name }}\"",
        "srv/a/ 755",
        "srv/b/ 755",
        "usr/lib/boxwright/run 755 \"#!/bin/sh\\n\"",
        "usr/lib/systemd/system-preset/00-boxwright.preset 644 \"# What the builder linked; `systemctl preset` changes nothing.\\nenable x.service\\n\"",
        "usr/lib/systemd/system/x.service 644 \"[Install]\\nWantedBy=multi-user.target\\n\"",
    ];
    assert_eq!(dump, expected);
}

#[test]
fn an_undefined_variable_is_found_with_file_and_line() {
    let message = failure(&[overlay("system/x", &[("root/etc/x.tera", "a\nb {{ missing }}\n")])]);
    assert!(message.contains("overlays/system/x/root/etc/x.tera:2:"), "{message}");
    assert!(message.contains("missing"), "{message}");
}

#[test]
fn a_syntax_error_is_found_with_file_and_line() {
    let message = failure(&[overlay("system/x", &[("root/etc/x.tera", "a\n\n{% if %}\n")])]);
    assert!(message.contains("overlays/system/x/root/etc/x.tera:3:"), "{message}");
}

#[test]
fn two_overlays_cannot_make_one_path() {
    let both =
        [overlay("system/a", &[("root/etc/x", "1")]), overlay("system/b", &[("root/etc/x.tera", "1")])];
    let message = failure(&both);
    assert!(
        message.contains("overlays/system/a/root/etc/x and overlays/system/b/root/etc/x.tera"),
        "{message}"
    );
}

#[test]
fn an_entry_without_its_file_is_an_error() {
    let manifest = "[[file]]\npath = \"etc/y\"\nmode = \"0600\"\n";
    let message = failure(&[overlay("system/x", &[("overlay.toml", manifest), ("root/etc/x", "1")])]);
    assert!(message.contains("no root/etc/y"), "{message}");
}

#[test]
fn an_overlay_can_stay_out() {
    let one =
        overlay("system/x", &[("overlay.toml", "apply = {{ name == \"other\" }}\n"), ("root/etc/x", "1")]);
    assert!(render(&[one], &common()).unwrap().is_empty());
}

#[test]
fn order_dependent_grouping_is_refused() {
    let one = overlay("system/x", &[("root/etc/x.tera", "{{ [1] | group_by(attribute=\"a\") | json }}")]);
    assert!(failure(&[one]).contains("group_by is not available"));
}
