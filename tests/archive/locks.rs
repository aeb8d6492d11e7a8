//! Locks from a small signed archive: resolved, fetched, renewed, and every reason to refuse.

use std::collections::BTreeMap;
use std::fs;

use boxwright::context::Context;
use boxwright::diag::InputError;
use boxwright::diff::{self, Owners};
use boxwright::lock::{self, Keep, Lock, PackageRequest, Resolved};

use crate::downloads::context;
use crate::publisher::{Deb, Key, NOW, Suite, deb, describe, describe_ubuntu, publish, publish_both};
use crate::server::{Fault, Server};

const STABLE: [Deb; 10] = [
    deb("kernel", "6.1-1", ""),
    deb("server", "1:1.0-1", "Depends: library (>= 1), shell | other-shell"),
    deb("library", "1.0-1", ""),
    deb("shell", "1", "Essential: yes"),
    deb("base-passwd", "1", "Priority: required"),
    deb("microcode", "1", ""),
    deb("packer", "1", "Depends: library, scripts"),
    deb("scripts", "1", "Depends: nothing-at-all"),
    deb("emulator", "1", "Depends: library"),
    deb("broken", "1", "Depends: server, hopeless (>= 2)"),
];
const SECURITY: [Deb; 1] = [deb("library", "1.0-1+sec1", "")];

/// An archive, a project that describes it, and a cache.
struct World {
    server: Server,
    key: Key,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self::empty();
        world.publish(&STABLE, &SECURITY, |release| release);
        world
    }

    fn empty() -> Self {
        let world = Self { server: Server::start(), key: Key::make(), folder: tempfile::tempdir().unwrap() };
        describe(world.folder.path(), &world.key, &[&world.server.url], None);
        world
    }

    /// Publishes both suites; `edit` changes the Release file of the security suite before it is signed.
    fn publish(&self, stable: &[Deb], security: &[Deb], edit: impl Fn(String) -> String) {
        let files = publish_both((stable, |release| release), (security, edit), &self.key);
        self.server.put_all(&files);
    }

    fn context(&self) -> Context {
        context(self.folder.path(), &self.folder.path().join("cache"))
    }

    fn resolve(&self, packages: &[&str]) -> anyhow::Result<Resolved> {
        self.resolve_for("test-1", packages, None)
    }

    fn resolve_for(
        &self,
        distribution: &str,
        packages: &[&str],
        old: Option<&Lock>,
    ) -> anyhow::Result<Resolved> {
        let request = PackageRequest {
            distribution: distribution.into(),
            platform: "pc".into(),
            packages: packages.iter().map(|name| (*name).to_owned()).collect(),
            features: vec![],
        };
        lock::resolve_packages(&request, old, NOW, &self.context())
    }

    fn lock(&self) -> Lock {
        lock::update(None, self.resolve(&[]).unwrap(), vec![])
    }

    /// The message of the failed resolution, which must be the archive's fault.
    fn refusal(&self) -> String {
        let error = self.resolve(&[]).unwrap_err();
        assert!(!error.is::<InputError>(), "{error:#}");
        format!("{error:#}")
    }
}

fn versions(packages: &[lock::Package]) -> BTreeMap<&str, &str> {
    packages.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect()
}

#[test]
fn a_lock_is_resolved_saved_and_fetched() {
    let world = World::new();
    let lock = world.lock();
    let expected = [
        ("base-passwd", "1"),
        ("kernel", "6.1-1"),
        ("library", "1.0-1+sec1"),
        ("microcode", "1"),
        ("server", "1:1.0-1"),
        ("shell", "1"),
    ];
    assert_eq!(versions(&lock.packages), BTreeMap::from(expected));
    assert_eq!(versions(&lock.tools), BTreeMap::from([("library", "1.0-1+sec1"), ("packer", "1")]));
    assert_eq!(versions(&lock.machine), BTreeMap::from([("emulator", "1")]));
    assert_eq!(lock.time, NOW - 86400);
    let library = lock.packages.iter().find(|package| package.name == "library").unwrap();
    assert_eq!(library.archive, "stable-security");

    let path = world.folder.path().join("x.lock");
    lock::save(&lock, &path).unwrap();
    assert_eq!(lock::load(&path).unwrap(), Some(lock.clone()));

    let files = lock::fetch(&lock.packages, &lock, &world.context()).unwrap();
    assert_eq!(files.len(), lock.packages.len());
    for (file, package) in files.iter().zip(&lock.packages) {
        assert_eq!((&file.name, file.sha256), (&package.name, package.sha256));
        let control = boxwright::debian::deb::Deb::open(&file.path).unwrap().control().unwrap();
        assert!(control.contains_key("control"));
    }
    // Now everything is there: no network is needed.
    let offline = Context { offline: true, ..world.context() };
    assert_eq!(lock::fetch(&lock.packages, &lock, &offline).unwrap(), files);
}

#[test]
fn indexes_are_asked_for_by_digest_where_the_archive_has_them_so() {
    let world = World::new();
    world.lock();
    assert_eq!(world.server.requests("/dists/stable/main").len(), 1);
    assert!(world.server.requests("/dists/stable/main")[0].0.contains("by-hash"));
    assert!(world.server.requests("stable-security/main")[0].0.ends_with("Packages.xz"));
    let incomplete = World::new();
    incomplete.server.remove("by-hash");
    incomplete.lock();
    assert!(incomplete.server.requests("/dists/stable/main")[1].0.ends_with("Packages.xz"));
}

#[test]
fn an_update_keeps_or_raises_the_version_and_tells_what_moved() {
    let world = World::new();
    let first = world.lock();
    let again = lock::update(Some(&first), world.resolve(&[]).unwrap(), vec![]);
    assert_eq!(again, first);
    world.publish(&STABLE, &[deb("library", "1.0-1+sec2", "")], |release| release);
    let second = lock::update(Some(&first), world.resolve(&[]).unwrap(), vec![]);
    assert!(second.version > first.version);
    let difference = diff::compare_locks(["old", "new"], &first, &second, &Owners::default());
    let moved = "~ library 1.0-1+sec1 → 1.0-1+sec2";
    assert_eq!(diff::moved(&difference), [format!("{moved} (base)"), format!("{moved} (tools)")]);
}

/// The lock that follows `old` when only `moving` (and all tools, if `all_tools`) are to move.
fn moved(world: &World, old: &Lock, moving: &[&str], all_tools: bool) -> Lock {
    let request = PackageRequest {
        distribution: "test-1".into(),
        platform: "pc".into(),
        packages: vec![],
        features: vec![],
    };
    let moving = moving.iter().map(|name| (*name).to_owned()).collect();
    let keep = Keep { old, moving: &moving, all_tools };
    let resolved = lock::resolve_keeping(&request, &keep, NOW, &world.context()).unwrap();
    lock::update(Some(old), resolved, vec![])
}

/// What moved from `old` to `new`, as it is told.
fn told(old: &Lock, new: &Lock) -> Vec<String> {
    diff::moved(&diff::compare_locks(["old", "new"], old, new, &Owners::default()))
}

#[test]
fn only_what_is_named_moves_and_what_it_cannot_do_without() {
    let world = World::new();
    let first = world.lock();
    // The security suite keeps the old library beside what is new: nothing but the named package moves.
    let newer = [deb("kernel", "6.1-2", ""), deb("server", "1:1.1-1", "Depends: library (>= 1), shell")];
    let [kernel, server] = newer;
    world.publish(&STABLE, &[deb("library", "1.0-1+sec1", ""), kernel, server], |release| release);
    let server = "~ server 1:1.0-1 → 1:1.1-1 (base)";
    assert_eq!(told(&first, &moved(&world, &first, &["server"], false)), [server]);

    // The new server needs a newer library: in the box that moves along, in the tools it stays.
    let needs = || deb("server", "1:1.1-1", "Depends: library (>= 1.0-1+sec2)");
    let mut stable: Vec<Deb> = STABLE.into_iter().filter(|deb| deb.name != "library").collect();
    stable.push(deb("library", "1.0-1+sec1", ""));
    let security = || [needs(), deb("library", "1.0-1+sec2", ""), deb("kernel", "6.1-2", "")];
    world.publish(&stable, &security(), |release| release);
    let library = "~ library 1.0-1+sec1 → 1.0-1+sec2 (base)";
    let second = moved(&world, &first, &["server"], false);
    assert_eq!(told(&first, &second), [library, server]);
    assert_eq!((&second.tools, &second.machine), (&first.tools, &first.machine));
    assert!(second.version > first.version);

    // What the archive no longer has cannot stay in a set that is chosen anew, whatever was named.
    let rest: Vec<Deb> = STABLE.into_iter().filter(|deb| deb.name != "library").collect();
    world.publish(&rest, &[deb("library", "1.0-1+sec2", ""), deb("kernel", "6.1-2", "")], |release| release);
    let third = moved(&world, &first, &["kernel"], false);
    assert_eq!(told(&first, &third), ["~ kernel 6.1-1 → 6.1-2 (base)", library]);

    let tools = moved(&world, &first, &[], true);
    assert_eq!(told(&first, &tools), ["~ library 1.0-1+sec1 → 1.0-1+sec2 (tools)"]);
}

#[test]
fn a_release_with_a_broken_or_foreign_signature_is_refused() {
    let world = World::new();
    world.server.change("stable/InRelease", |text| {
        let at = text.windows(6).position(|part| part == b"Label:").unwrap();
        text[at] = b'l';
    });
    let message = world.refusal();
    assert!(message.contains("the signature is broken") && message.contains("--mirror"), "{message}");

    let mut foreign = World::new();
    foreign.key = Key::make();
    foreign.publish(&STABLE, &SECURITY, |release| release);
    let message = foreign.refusal();
    assert!(message.contains("not one of the distribution's"), "{message}");
    assert!(!foreign.folder.path().join("x.lock").exists());
}

#[test]
fn a_release_that_is_expired_early_or_another_suite_is_refused() {
    let cases = [
        ("Valid-Until: Fri, 27 Nov", "Valid-Until: Fri, 20 Nov", "expired on 2026-11-20"),
        ("Date: Fri, 20 Nov 2026", "Date: Fri, 20 Nov 2027", "in the future"),
        ("Codename: one-security", "Codename: one", "not `one-security`"),
        ("Origin: Test", "Origin: Other", "of Other"),
    ];
    for (old, new, expected) in cases {
        let world = World::empty();
        world.publish(&STABLE, &SECURITY, |release| {
            assert!(release.contains(old));
            release.replace(old, new)
        });
        let message = world.refusal();
        assert!(message.contains(expected), "{message} does not say `{expected}`");
    }
}

#[test]
fn an_update_goes_by_no_release_that_is_older_than_the_locks() {
    let world = World::new();
    let first = world.lock();
    let replay = |release: String| release.replace("Date: Fri, 20 Nov 2026", "Date: Thu, 19 Nov 2026");
    let former = [deb("library", "1.0-1+sec0", "")];
    let signed = publish_both((&STABLE, |release| release), (&former, replay), &world.key);
    world.server.put_all(&signed);
    let update = |old| world.resolve_for("test-1", &[], Some(old)).map_err(|error| format!("{error:#}"));
    let said = update(&first).unwrap_err();
    for part in ["2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z", "this mirror is behind", "--mirror"] {
        assert!(said.contains(part), "{said}");
    }
    let moving = ["library".to_owned()].into();
    let keep = Keep { old: &first, moving: &moving, all_tools: false };
    let request = PackageRequest {
        distribution: "test-1".into(),
        platform: "pc".into(),
        packages: vec![],
        features: vec![],
    };
    let named = lock::resolve_keeping(&request, &keep, NOW, &world.context()).unwrap_err();
    assert!(format!("{named:#}").contains("this mirror is behind"), "{named:#}");

    // Another mirror is up to date; one suite is behind, and only that one is taken elsewhere.
    let second = Server::start();
    second.put_all(&publish_both((&STABLE, |release| release), (&SECURITY, |release| release), &world.key));
    describe(world.folder.path(), &world.key, &[&world.server.url, &second.url], None);
    assert_eq!(update(&first).unwrap().packages, first.packages);
    assert!(!second.requests("stable-security/InRelease").is_empty());
    assert!(second.requests("stable/InRelease").is_empty());

    // A lock that does not say of when its releases are has nothing to compare with.
    let mut undated = first.clone();
    undated.archives.iter_mut().for_each(|archive| archive.date = None);
    describe(world.folder.path(), &world.key, &[&world.server.url], None);
    assert_ne!(update(&undated).unwrap().packages, first.packages);
}

#[test]
fn an_index_with_a_wrong_digest_is_refused_and_the_next_run_works() {
    let world = World::new();
    let flip = |content: &mut Vec<u8>| {
        let last = content.len() - 1;
        content[last] ^= 1;
    };
    world.server.change("stable-security/main", flip);
    let message = world.refusal();
    assert!(message.contains("another content") && message.contains("Packages.xz"), "{message}");
    world.server.change("stable-security/main", flip);
    world.resolve(&[]).unwrap();
}

#[test]
fn a_package_with_a_wrong_digest_is_refused_and_the_next_run_works() {
    let world = World::new();
    let lock = world.lock();
    let flip = |content: &mut Vec<u8>| content[300] ^= 1;
    world.server.change("server_", flip);
    let error = format!("{:#}", lock::fetch(&lock.packages, &lock, &world.context()).unwrap_err());
    assert!(error.contains("server 1:1.0-1") && error.contains("another content"), "{error}");
    world.server.change("server_", flip);
    lock::fetch(&lock.packages, &lock, &world.context()).unwrap();
}

#[test]
fn another_mirror_takes_over_where_the_first_is_dead_stale_or_dies_on_the_way() {
    let world = World::new();
    let second = Server::start();
    let suites = [("stable", "one", &STABLE[..]), ("stable-security", "one-security", &SECURITY[..])];
    for (name, codename, debs) in suites {
        second.put_all(&publish(
            &Suite { name, codename, by_hash: true, components: &[("main", debs)] },
            &world.key,
            |release| release,
        ));
    }
    describe(world.folder.path(), &world.key, &[&world.server.url, &second.url], None);
    world.server.put("/dists/stable/InRelease", &b"<html>log in</html>"[..]);
    world.server.fail("/dists/stable-security/InRelease", Fault::Status(500));
    let lock = world.lock();
    world.server.die_after(2);
    lock::fetch(&lock.packages, &lock, &world.context()).unwrap();
}

#[test]
fn a_package_that_is_gone_comes_from_the_snapshots_or_advice_is_given() {
    let world = World::new();
    let lock = world.lock();
    let path = STABLE[1].path();
    let suite = Suite { name: "stable", codename: "one", by_hash: true, components: &[("main", &STABLE)] };
    let content = publish(&suite, &world.key, |release| release)[&format!("/{path}")].clone();
    world.server.remove(&path);
    let error = format!("{:#}", lock::fetch(&lock.packages, &lock, &world.context()).unwrap_err());
    assert!(error.contains("lock --update") && error.contains("server 1:1.0-1"), "{error}");

    let snapshots = Server::start();
    snapshots.put(&format!("/archive/20261121T000000Z/{path}"), content);
    describe(world.folder.path(), &world.key, &[&world.server.url], Some(&snapshots.url));
    lock::fetch(&lock.packages, &lock, &world.context()).unwrap();
}

#[test]
fn packages_that_cannot_be_had_are_the_users_to_change() {
    let world = World::new();
    let cases = [
        (&["broken"][..], &["broken 1", "hopeless", "(>= 2)", "Test 1"][..]),
        (&["servr"], &["no package `servr`", "did you mean `server`"]),
    ];
    for (packages, parts) in cases {
        let error = world.resolve(packages).unwrap_err();
        assert!(error.is::<InputError>(), "{error:#}");
        for part in parts {
            assert!(error.to_string().contains(part), "{error} does not say `{part}`");
        }
    }
}

#[test]
fn a_full_or_read_only_disk_is_said_to_be() {
    let world = World::new();
    let cache = world.folder.path().join("file");
    fs::write(&cache, "").unwrap();
    let context = context(world.folder.path(), &cache);
    let lock = world.lock();
    let error = format!("{:#}", lock::fetch(&lock.packages, &lock, &context).unwrap_err());
    assert!(error.contains("creating the cache folder"), "{error}");
}

/// Three suites of one codename, several components, no Valid-Until, hours of one digit: as Ubuntu publishes them, under
/// the shipped distribution file.
#[test]
fn an_archive_like_ubuntus_is_resolved() {
    let world = World { server: Server::start(), key: Key::make(), folder: tempfile::tempdir().unwrap() };
    describe_ubuntu(world.folder.path(), &world.key, &world.server.url);
    let newer = [deb("kernel", "6.8.0-1.2", "")];
    let (main, universe) = STABLE.split_at(7);
    let suites =
        [("noble", main, universe), ("noble-updates", &newer[..], &[]), ("noble-security", &SECURITY, &[])];
    for (name, main, universe) in suites {
        let components = [("main", main), ("restricted", &[][..]), ("universe", universe)];
        let suite = Suite { name, codename: "noble", by_hash: true, components: &components };
        world.server.put_all(&publish(&suite, &world.key, |release| {
            let lines = release.lines().filter(|line| !line.starts_with("Valid-Until"));
            let text: Vec<&str> = lines.collect();
            text.join("\n").replace("Origin: Test", "Origin: Ubuntu").replace("00:00:00", " 0:00:00") + "\n"
        }));
    }
    let resolved = world.resolve_for("ubuntu-24.04", &[], None).unwrap();
    let kernel = resolved.packages.iter().find(|package| package.name == "kernel").unwrap();
    assert_eq!((kernel.version.as_str(), kernel.archive.as_str()), ("6.8.0-1.2", "noble-updates"));
    let lock = lock::update(None, resolved, vec![]);
    lock::fetch(&lock.packages, &lock, &world.context()).unwrap();
}
