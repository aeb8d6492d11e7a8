//! What differs between two locks, two profiles and two images: as people, programs and merge requests get it.
//!
//! `SNAPSHOTS=overwrite cargo test --test diff` writes tests/diff/expected.* anew after a wanted change.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "these tests start the program as people do")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use boxwright::build::manifest::{self, Manifest, Part};
use boxwright::diff::{
    Changed, Difference, FileChange, FileState, Hostname, Kind, Owners, UnitState, compare_locks, markdown,
    text,
};
use boxwright::digest::Sha256;
use boxwright::lock::{self, Lock};
use boxwright::plan::{Member, NetworkPlan, Plan, PublishedPort};
use boxwright::profile::{Audience, Protocol};
use serde_json::Value;
use snapbox::{Assert, Data};

#[path = "support/built.rs"]
mod built;
#[path = "diff/images.rs"]
mod images;
#[path = "support/profiles.rs"]
#[allow(dead_code, reason = "no test uses all of it")]
mod profiles;

const PROGRAM: &str = env!("CARGO_BIN_EXE_boxwright");
const FOLDER: &str = "tests/diff";

fn change<T>(name: &str, old: Option<T>, new: Option<T>) -> Changed<T> {
    Changed { name: name.to_owned(), old, new }
}

/// The difference of the two locks, with something of a profile's and of an image's.
fn difference() -> Difference {
    let load = |name: &str| lock::load(&Path::new(FOLDER).join(name)).unwrap().unwrap();
    let (old, new) = (load("old.lock"), load("new.lock"));
    let mut difference = compare_locks(["old.lock", "new.lock"], &old, &new, &Owners::default());
    assert_eq!(difference.kind, Kind::Lock);
    let host = |service: &str, audience| Some(Hostname { service: service.to_owned(), audience });
    difference.hostnames = vec![
        change("films.example.com", host("jellyfin", Audience::Admin), host("jellyfin", Audience::Everyone)),
        change("kuma.example.com", host("uptime-kuma", Audience::Family), None),
    ];
    let openssl = difference.packages.iter_mut().find(|package| package.name == "openssl").unwrap();
    openssl.fixed = Some((0..10).map(|number| format!("CVE-2026-1000{number}")).collect());
    let port = |container_port| {
        let (service, container) = ("plex".to_owned(), "plex".to_owned());
        Some(PublishedPort {
            port: 32400,
            protocol: Protocol::Tcp,
            container_port,
            source: "lan",
            service,
            container,
        })
    };
    difference.ports = vec![
        change("22/tcp from home", None, port(22)),
        change("32400/tcp from home", port(32400), port(8080)),
    ];
    let network = |egress: bool, members: &[&str]| {
        let member = |name: &&str| Member {
            service: (*name).to_owned(),
            container: (*name).to_owned(),
            names: vec![(*name).to_owned()],
        };
        Some(NetworkPlan {
            name: "bw-plex_out".into(),
            bridge: "bw-plex_out".into(),
            subnet: "10.213.4.0/24".parse().unwrap(),
            gateway: "10.213.4.1".parse().unwrap(),
            internal: !egress,
            egress,
            reach: vec![],
            members: members.iter().map(member).collect(),
        })
    };
    difference.networks = vec![
        change("bw-plex_db", None, network(false, &["plex", "plex-db"])),
        change("bw-plex_out", network(false, &["plex"]), network(true, &["plex", "seerr"])),
    ];
    difference.units = vec![change("bw-service@plex.service", None, Some(UnitState::Enabled))];
    difference.sizes = vec![change("image", Some(600 << 20), Some(640 << 20))];
    let state = |mode: &str, size| {
        let owner = "0:0".to_owned();
        Some(FileState { kind: "file", mode: mode.to_owned(), owner, size: Some(size), target: None })
    };
    let diff = "--- a/etc/motd\n+++ b/etc/motd\n@@ -1 +1 @@\n-a | b\n+```<b>\n".to_owned();
    let file = |path: &str, old, new, diff| FileChange { path: path.to_owned(), old, new, diff };
    difference.files = vec![
        file("etc/logo", state("0644", 7), state("0644", 7), None),
        file("etc/motd", state("0644", 6), state("0755", 7), Some(diff)),
    ];
    difference.not_compared = vec!["what nobody knows".to_owned()];
    difference
}

fn snapshot(actual: String, name: &str) {
    let expected = Data::read_from(&Path::new(FOLDER).join(name), None);
    Assert::new().action_env("SNAPSHOTS").eq(Data::text(actual), expected);
}

#[test]
fn a_difference_is_told_to_people() {
    snapshot(text(&difference()), "expected.txt");
}

#[test]
fn a_difference_is_told_on_a_merge_request() {
    snapshot(markdown(&difference()), "expected.md");
}

#[test]
fn a_difference_is_told_to_programs() {
    snapshot(format!("{:#}\n", serde_json::to_value(difference()).unwrap()), "expected.json");
}

/// What moved is told with what it is part of: the base, the profile, the tools, or services.
#[test]
fn what_moved_is_told_with_what_it_is_part_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    let shipped = fs::read_to_string("profiles/servarr.toml").unwrap();
    fs::write(&path, shipped.replacen("[box]\n", "[box]\npackages = [\"openssl\"]\n", 1)).unwrap();
    let checked = profiles::checked(&path);
    let plan = Plan::new(&checked, checked.catalog()).unwrap();
    let load = |name: &str| lock::load(&Path::new(FOLDER).join(name)).unwrap().unwrap();
    let (mut old, mut new) = (load("old.lock"), load("new.lock"));
    let sonarr = boxwright::images::list(&checked, &plan, &[]);
    let sonarr = sonarr.iter().find(|image| image.services == ["sonarr"]).unwrap();
    for lock in [&mut old, &mut new] {
        lock.images[0].reference.clone_from(&sonarr.reference);
        lock.images[0].digest = Some(format!("sha256:{}", Sha256::of_bytes(&lock.version.to_le_bytes())));
    }
    let difference = compare_locks(["old.lock", "new.lock"], &old, &new, &Owners::of(&checked, &plan));
    let part_of =
        |name: &str| difference.packages.iter().find(|package| package.name == name).unwrap().part_of;
    assert_eq!((part_of("openssl"), part_of("tzdata")), ("profile", "base"));
    assert!(
        difference.packages.iter().any(|package| package.part_of == "tools"),
        "{:#?}",
        difference.packages
    );
    assert!(
        difference.containers.iter().any(|image| image.services == ["sonarr"]),
        "{:#?}",
        difference.containers
    );
    let said = text(&difference);
    assert!(said.contains("service sonarr") && said.contains("profile"), "{said}");
}

/// All folders at once would say nothing of what changed.
#[test]
fn a_lock_without_a_record_of_the_project_is_told_and_not_listed() {
    let new = lock::load(&Path::new(FOLDER).join("new.lock")).unwrap().unwrap();
    let old = Lock { program: None, keys: vec![], sources: vec![], ..new.clone() };
    let compare = |old, new| compare_locks(["old.lock", "new.lock"], old, new, &Owners::default());
    for difference in [compare(&old, &new), compare(&new, &old)] {
        assert!(!difference.differs, "{difference:?}");
        let [said] = difference.not_compared.as_slice() else { panic!("{difference:?}") };
        assert!(said.starts_with("sources: an older Boxwright wrote "), "{said}");
    }
    assert!(compare(&old, &old).not_compared.is_empty());
}

/// GitHub refuses a comment of more than 65536 characters.
#[test]
fn a_comment_is_never_too_long() {
    let mut difference = difference();
    let one = difference.files[1].clone();
    for number in 0..3000 {
        let diff = format!("--- a/{number}\n+++ b/{number}\n@@ -1 +1 @@\n-{0}\n+{0}\n", "x".repeat(400));
        difference.files.push(FileChange {
            path: format!("etc/a-file-with-a-name-that-is-not-short/{number}"),
            diff: Some(diff),
            ..one.clone()
        });
    }
    let comment = markdown(&difference);
    assert!(comment.chars().count() < 64_000, "{} characters", comment.chars().count());
    assert!(comment.contains("what nobody knows"), "what was not compared is always said");
    assert!(comment.contains("Too long for a comment"));
    assert_eq!(comment.matches("<details>").count(), comment.matches("</details>").count());
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PROGRAM).args(["--project", ".", "--quiet"]).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn names_of_strangers_give_a_terminal_no_orders() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.lock");
    let text = fs::read_to_string(Path::new(FOLDER).join("new.lock")).unwrap();
    fs::write(&new, text.replace("reference = \"ghcr.io/", "reference = \"\\u001b[2Jghcr.io/")).unwrap();
    for form in [&[][..], &["--markdown"]] {
        let (code, out, err) = run(&[&["diff", "tests/diff/old.lock", new.to_str().unwrap()], form].concat());
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains(" [2Jghcr.io/") && !out.contains('\u{1b}'), "{out:?}");
    }
}

/// The names in one list of a report.
fn names(report: &Value, list: &str, key: &str) -> Vec<String> {
    report[list].as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

/// Copies of two shipped profiles, without what may lie beside those.
fn profiles_without_locks() -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let [minimal, servarr] = ["minimal", "servarr"].map(|name| {
        let to = folder.path().join(name).with_extension("toml");
        fs::copy(format!("profiles/{name}.toml"), &to).unwrap();
        to.to_str().unwrap().to_owned()
    });
    (folder, minimal, servarr)
}

#[test]
fn the_shipped_profiles_are_compared_without_a_build() {
    let (_folder, minimal, servarr) = profiles_without_locks();
    let report = |old: &str, new: &str| -> Value {
        let (code, stdout, stderr) = run(&["diff", old, new, "--json"]);
        assert_eq!(code, Some(0), "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    };
    let there = report(&minimal, &servarr);
    assert_eq!((&there["kind"], &there["differs"]), (&"profile".into(), &true.into()));
    assert!(names(&there, "services", "name").contains(&"sonarr".to_owned()));
    assert!(names(&there, "hostnames", "name").iter().all(|name| name.contains('.')));
    assert!(!names(&there, "networks", "name").is_empty() && !names(&there, "units", "name").is_empty());
    assert!(names(&there, "containers", "repository").iter().any(|name| name.ends_with("/sonarr")));
    let file = |report: &Value, path: &str| {
        let files = report["files"].as_array().unwrap();
        files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{path}")).clone()
    };
    let diff = file(&there, "etc/hostname")["diff"].as_str().unwrap().to_owned();
    assert!(diff.ends_with("@@ -1 +1 @@\n-minimal\n+servarr\n"), "{diff}");
    let compose = file(&there, "etc/boxwright/services/sonarr/compose.yaml");
    assert!(compose["old"].is_null() && compose["new"]["mode"] == "0644", "{compose}");
    assert_eq!(there["not_compared"].as_array().unwrap().len(), 1, "neither has a lock");

    let back = report(&servarr, &minimal);
    for (list, key) in [("services", "name"), ("units", "name"), ("networks", "name"), ("files", "path")] {
        assert_eq!(names(&there, list, key), names(&back, list, key), "{list}");
    }
    let same = report(&servarr, &servarr);
    assert_eq!((&same["differs"], &same["files"]), (&false.into(), &Value::Array(vec![])));
}

/// `check` is what warns about a profile. One with an error is no profile to compare, and then all is said of it.
#[test]
fn warnings_are_not_told_and_errors_are() {
    let (folder, minimal, servarr) = profiles_without_locks();
    let (_, _, stderr) = run(&["check", &minimal]);
    assert!(stderr.contains("warning[example-key]"), "{stderr}");
    let (code, _, stderr) = run(&["diff", &minimal, &servarr]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));

    let wrong = folder.path().join("wrong.toml");
    let text = fs::read_to_string(&minimal).unwrap();
    fs::write(&wrong, text.replace("lan = \"always\"", "lan = \"sometimes\"")).unwrap();
    let (code, stdout, stderr) = run(&["diff", &minimal, wrong.to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("sometimes") && !stderr.contains("minimal.toml"), "{stderr}");
    fs::write(&wrong, text.replace("timezone = \"UTC\"", "timezone = \"Mars/Olympus\"")).unwrap();
    let (code, _, stderr) = run(&["diff", wrong.to_str().unwrap(), &minimal]);
    assert!(code == Some(1) && stderr.contains("Mars/Olympus"), "{stderr}");
    assert!(stderr.contains("warning[example-key]") && !stderr.contains("minimal.toml"), "{stderr}");
}

#[test]
fn two_of_different_kinds_or_none_are_refused() {
    let (folder, minimal, servarr) = profiles_without_locks();
    let image = folder.path().join("x.img");
    fs::write(&image, "").unwrap();
    let cases = [
        (vec!["diff", &minimal, "tests/diff/old.lock"], "is a profile and"),
        (vec!["diff", &minimal, "nothing.toml"], "there is no nothing.toml"),
        (vec!["diff", &minimal, "README.md"], "no profile (.toml), lock (.lock) or image"),
        (vec!["diff", image.to_str().unwrap(), image.to_str().unwrap()], "x.manifest.json is no manifest"),
        (vec!["diff", &minimal, &servarr, "--json", "--markdown"], "two forms of one report"),
    ];
    for (arguments, expected) in cases {
        let (code, stdout, stderr) = run(&arguments);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}

/// A package whose only file is its changelog.
fn deb(name: &str, changelog: &str) -> Vec<u8> {
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let tar = |path: &str, bytes: &[u8]| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        builder.append_data(&mut header, path, bytes).unwrap();
        builder.into_inner().unwrap()
    };
    let data = tar(&format!("usr/share/doc/{name}/changelog.Debian.gz"), &gzip(changelog.as_bytes()));
    let members = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar("control", b"")),
        ("data.tar.gz", gzip(&data)),
    ];
    let mut file = b"!<arch>\n".to_vec();
    for (name, mut bytes) in members {
        file.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len()).bytes(),
        );
        if bytes.len() % 2 == 1 {
            bytes.push(b'\n');
        }
        file.extend(bytes);
    }
    file
}

/// The manifest and the lock of an image that was taken away, in `folder`.
fn image(folder: &Path, name: &str, release: &str, lock: &Lock, filled: u64) -> String {
    let image = folder.join(name).with_extension("img");
    let digest = Sha256::of_bytes(release.as_bytes());
    let part = |name: &str, size, filled| Part {
        name: name.to_owned(),
        guid: String::new(),
        size,
        filled,
        root_hash: None,
    };
    let manifest = Manifest {
        schema: manifest::SCHEMA,
        name: "attic".into(),
        release: digest,
        version: lock.version,
        time: lock.time,
        distribution: "debian-13".into(),
        platform: "uefi-x86_64".into(),
        encrypt: None,
        inputs: digest,
        parts: vec![
            part("esp", 1 << 30, None),
            part(&format!("base_{}", lock.version), 2 << 30, Some(filled)),
        ],
        size: 4 << 30,
        written: 1 << 30,
        fingerprint: digest,
        content: None,
        sha256: None,
        embedded: vec![],
        unresolved: vec![],
    };
    manifest.save(&image).unwrap();
    lock::save(lock, &image.with_extension("lock")).unwrap();
    image.to_str().unwrap().to_owned()
}

/// Images are compared by what lies beside them; CVEs are those of the changelogs of packages that the cache has.
#[test]
fn images_are_compared_with_the_cves_that_changelogs_name() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str| lock::load(&Path::new(FOLDER).join(name)).unwrap().unwrap();
    let (old, mut new) = (load("old.lock"), load("new.lock"));
    let changelog = "openssl (3.5.4-1~deb13u1) trixie-security; urgency=high\n\n  * CVE-2026-11111\n\n\
                     openssl (3.5.1-1) unstable; urgency=low\n\n  * CVE-2025-22222\n";
    let bytes = deb("openssl", changelog);
    let digest = Sha256::of_bytes(&bytes);
    new.packages.iter_mut().find(|package| package.name == "openssl").unwrap().sha256 = digest;
    let (old, new) =
        (image(folder.path(), "old", "1", &old, 5 << 20), image(folder.path(), "new", "2", &new, 6 << 20));
    let cache = folder.path().join("cache");
    let report = || {
        let (code, stdout, stderr) = run(&["diff", &old, &new, "--cache", cache.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    let said = report();
    assert!(said.contains("CVEs fixed in openssl: the cache has no package"), "{said}");
    assert!(!cache.exists(), "a comparison makes no cache");

    let name = digest.to_string();
    fs::create_dir_all(cache.join("objects").join(&name[..2])).unwrap();
    fs::write(cache.join("objects").join(&name[..2]).join(&name), bytes).unwrap();
    let said = report();
    let line = "~ openssl 3.5.1-1 → 3.5.4-1~deb13u1 (base; fixes CVE-2026-11111)\n";
    assert!(said.contains(line) && !said.contains("CVEs fixed in"), "{said}");
    assert!(
        said.contains("units and files: there is no ") && said.contains("old.img, but what lies"),
        "{said}"
    );
    assert!(said.contains("~ base (filled) 5.00 MiB → 6.00 MiB (1.00 MiB more)"), "{said}");
    assert!(said.contains("~ release ") && said.contains("~ version 2026112001 → 2026112201"), "{said}");

    // An image that is there must be the one that the manifest is about.
    fs::write(&new, vec![0; 4096]).unwrap();
    let (code, _, stderr) = run(&["diff", &old, &new]);
    assert!(code == Some(1) && stderr.contains("was changed after it was built"), "{stderr}");
}
