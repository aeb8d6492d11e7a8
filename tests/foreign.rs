//! What others wrote, damaged in every way: parsers refuse it or take it, and nothing panics, hangs or overflows.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "support/profiles.rs"]
#[allow(dead_code, reason = "this test renders nothing")]
mod profiles;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use boxwright::catalog;
use boxwright::check::{World, check};
use boxwright::debian::deb::Deb;
use boxwright::diag::Findings;
use boxwright::images::Reference;
use boxwright::lock::format;
use boxwright::plan::Plan;
use boxwright::profile::{load, values};
use boxwright::secrets::{Needs, Secrets};
use proptest::prelude::*;

/// Values of every type, at the ends of what they can be.
const NASTY: [&str; 40] = [
    "0",
    "-1",
    "1",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "nan",
    "true",
    "1979-05-27T07:32:00Z",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "[\"\"]",
    "{ a = {} }",
    "\"\"",
    "\" \"",
    "\"ü\"",
    "\"\\u0000\"",
    "\"a\\nb\"",
    "\"-\"",
    "\".\"",
    "\"..\"",
    "\"/\"",
    "\"%\"",
    "\"0.0.0.0/0\"",
    "\"255.255.255.255/32\"",
    "\"10.0.0.0/30\"",
    "\"10.0.0.0/8\"",
    "\"::/0\"",
    "\"fd00::/127\"",
    "\"999999999999g\"",
    "\"65535-65535/udp\"",
    "[\"1-65535/tcp\"]",
    "[\"ü\", \"ü\"]",
    "{ \"ü\" = \"ü\" }",
];

/// Every value of the shipped profiles, replaced by every nasty one: findings, or a profile that can be planned or whose
/// plan says why not.
#[test]
fn no_value_of_a_profile_is_too_nasty() {
    let project = profiles::project();
    for path in ["profiles/doom-server.toml", "tests/golden/ubuntu.toml"] {
        let good = fs::read_to_string(project.join(path)).unwrap();
        let document = load::parse(Path::new("x.toml"), good.as_bytes().to_vec()).document.unwrap();
        let world = World::load(&project, &document.profile, &mut Findings::default()).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once('=').filter(|(key, _)| !key.contains(['#', '[', '"']))
            else {
                continue;
            };
            for nasty in NASTY {
                let changed = format!("{key}= {nasty}");
                let mut all = lines.clone();
                all[number] = &changed;
                let text = all.join("\n");
                let loaded = load::parse(Path::new("x.toml"), text.into_bytes());
                let Some(document) = loaded.document else { continue };
                let (checked, findings) = check(&document, world.clone(), loaded.findings);
                findings.render(false);
                if let Some(checked) = checked {
                    let _ = Plan::new(&checked, checked.catalog());
                }
            }
        }
    }
}

/// Deeply nested tables and lists.
#[test]
fn deep_texts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.toml");
    for text in ["[".repeat(200_000), "a = ".to_owned() + &"[".repeat(200_000), "a={".repeat(100_000)] {
        let mut findings = Findings::default();
        assert!(catalog::parse("x", Path::new("x.toml"), &text, &mut findings).is_none());
        assert!(findings.has_errors());
        assert!(format::parse(&text).is_err());
        fs::write(&path, &text).unwrap();
        assert!(Secrets::load(&path, &needs()).is_err());
    }
}

/// What the shipped profile with the most secrets needs.
fn needs() -> Needs {
    let checked = profiles::checked(&profiles::project().join("profiles/servarr.toml"));
    Needs::of(&checked, checked.catalog()).unwrap()
}

/// `text` with the bytes from `at` on, in thousandths of its length, replaced by `piece`.
fn spliced(text: &[u8], at: usize, length: usize, piece: &[u8]) -> Vec<u8> {
    let start = text.len() * at / 1000;
    let end = text.len().min(start + length);
    [&text[..start], piece, &text[end..]].concat()
}

/// A package with the control file `Package: a` and an empty file.
fn deb() -> Vec<u8> {
    let tar = |name: &str, content: &[u8]| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content).unwrap();
        builder.into_inner().unwrap()
    };
    let mut bytes = b"!<arch>\n".to_vec();
    let control = tar("./control", b"Package: a\nVersion: 1\n");
    for (name, content) in
        [("debian-binary", b"2.0\n".to_vec()), ("control.tar", control), ("data.tar", tar("./usr/x", b"x"))]
    {
        writeln!(bytes, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, content.len()).unwrap();
        bytes.extend(content);
    }
    bytes
}

/// Sizes that tar can say in base 256, which no sum may overflow with.
#[test]
fn a_control_archive_of_immense_files_is_refused() {
    let mut bytes = deb();
    let size = bytes.windows(8).position(|window| window == b"control\0").unwrap() + 124;
    let checksum = size + 24;
    bytes[size..size + 12].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    bytes[checksum..checksum + 8].fill(b' ');
    let sum: u32 = bytes[size - 124..size + 388].iter().map(|byte| u32::from(*byte)).sum();
    bytes[checksum..checksum + 8].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.deb");
    fs::write(&path, bytes).unwrap();
    assert!(Deb::open(&path).unwrap().control().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_packages_are_read_or_refused(
        at in 0_usize..1000, length in 0_usize..40, piece in prop::collection::vec(any::<u8>(), 0..40)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.deb");
        fs::write(&path, spliced(&deb(), at, length, &piece)).unwrap();
        if let Ok(deb) = Deb::open(&path) {
            let _ = deb.control();
            let _ = deb.data(|_, content| Ok(std::io::copy(content, &mut std::io::sink()).map(drop)?));
        }
    }

    #[test]
    fn damaged_service_files_are_read_or_refused(
        which in 0_usize..100, at in 0_usize..1000, length in 0_usize..30, piece in ".{0,12}", nasty in 0_usize..NASTY.len()
    ) {
        let services = profiles::project().join("overlays/services");
        let mut files: Vec<_> = fs::read_dir(services).unwrap().map(|entry| entry.unwrap().path().join("service.toml")).collect();
        files.retain(|path| path.is_file());
        files.sort();
        let good = fs::read(&files[which % files.len()]).unwrap();
        for piece in [piece.as_bytes(), format!("= {}\n", NASTY[nasty]).as_bytes()] {
            let text = String::from_utf8_lossy(&spliced(&good, at, length, piece)).into_owned();
            let mut findings = Findings::default();
            let service = catalog::parse("x", Path::new("x.toml"), &text, &mut findings);
            prop_assert!(service.is_some() || findings.has_errors());
            findings.render(false);
        }
    }

    #[test]
    fn damaged_locks_are_read_or_refused(at in 0_usize..1000, length in 0_usize..40, piece in ".{0,12}") {
        let good = b"schema = 1\nversion = 1\ntime = 1\ndistribution = \"debian-13\"\nplatform = \"pc\"\n\
            request = \"0000000000000000000000000000000000000000000000000000000000000000\"\npackages = [\n\
            { name = \"a\", version = \"1\", architecture = \"all\", archive = \"x\", size = 1, path = \"p\" },\n]\n";
        let _ = format::parse(&String::from_utf8_lossy(&spliced(good, at, length, piece.as_bytes())));
    }

    #[test]
    fn any_value_of_a_profile_and_any_image_is_taken_or_refused(text in ".{0,40}") {
        for format in ["time-of-day", "days", "owner", "ports", "tunnel-id", "ipv4-network", "network"] {
            let _ = values::problem(format, &text);
        }
        let _ = text.parse::<Reference>();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_secrets_are_read_or_refused(at in 0_usize..1000, length in 0_usize..40, piece in ".{0,12}") {
        let needs = needs();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.toml");
        let good = needs.template();
        fs::write(&path, spliced(good.as_bytes(), at, length, piece.as_bytes())).unwrap();
        if let Err(findings) = Secrets::load(&path, &needs) {
            findings.render(false);
        }
    }
}
