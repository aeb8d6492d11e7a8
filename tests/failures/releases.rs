//! Archives that cannot be trusted or that lack what is needed: `lock` says so, keeps the lock that there is, and works
//! once the archive is right.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{PROFILE, Project, Run};
use crate::publisher::{DATE, Deb, Key, VALID_UNTIL, deb, describe, publish_both};
use crate::server::{Fault, Server};

const STABLE: [Deb; 7] = [
    deb("kernel", "6.1-1", ""),
    deb("server", "1", "Depends: library"),
    deb("library", "1.0-1", ""),
    deb("microcode", "1", ""),
    deb("packer", "1", "Depends: library"),
    deb("emulator", "1", "Depends: library"),
    deb("photos", "3", "Depends: library, viewer (>= 2)"),
];
const SECURITY: [Deb; 2] = [deb("library", "1.0-1+sec1", ""), deb("viewer", "2", "Depends: screen")];
/// What the program's clock finds valid, since 2026 and for a long time.
const LONG_AGO: &str = "Thu, 01 Jan 2026 00:00:00 UTC";
const FAR_AWAY: &str = "Fri, 01 Jan 2100 00:00:00 UTC";

/// An archive and a project whose distribution it is.
struct World {
    server: Server,
    key: Key,
    project: Project,
}

impl World {
    fn new() -> Self {
        let world = Self { server: Server::start(), key: Key::make(), project: Project::new() };
        describe(&world.project.path(""), &world.key, &[&world.server.url], None);
        world.publish(&world.key, |release| release);
        world
    }

    /// Publishes both suites, signed with `key`; `edit` changes the Release file of the security suite.
    fn publish(&self, key: &Key, edit: impl Fn(String) -> String) {
        let valid = |release: String| release.replace(DATE, LONG_AGO).replace(VALID_UNTIL, FAR_AWAY);
        let security = |release: String| edit(valid(release));
        self.server.put_all(&publish_both((&STABLE, valid), (&SECURITY, security), key));
    }

    fn lock(&self) -> Run {
        self.project.run(&["lock", "--update", "box"])
    }

    /// `lock` refuses what the archive is now, saying `parts`, with and without a lock that is there already, and works
    /// once `repair` was done.
    fn refuses(&self, code: i32, parts: &[&str], repair: impl Fn(&Self)) {
        let path = self.project.path("profiles/box.lock");
        self.lock().refused(code, parts);
        assert!(!path.exists(), "a failed run made a lock");
        repair(self);
        self.lock().fine();
        assert!(path.exists());
    }

    fn publish_well(&self) {
        self.publish(&self.key, |release| release);
    }
}

#[test]
fn a_broken_signature() {
    let world = World::new();
    world.server.change("stable/InRelease", |text| {
        let at = text.windows(6).position(|part| part == b"Label:").unwrap();
        text[at] = b'l';
    });
    world.refuses(
        2,
        &["/dists/stable: ", "the signature is broken)\n", "name another mirror with --mirror"],
        World::publish_well,
    );
}

#[test]
fn a_foreign_signature() {
    let world = World::new();
    world.publish(&Key::make(), |release| release);
    world.refuses(2, &["/dists/stable: ", "not one of the distribution's", "--mirror"], World::publish_well);
}

#[test]
fn an_expired_index() {
    let world = World::new();
    world.publish(&world.key, |release| release.replace(FAR_AWAY, "Fri, 02 Jan 2026 00:00:00 UTC"));
    let parts = ["/dists/stable-security: ", "expired on 2026-01-02", "--mirror"];
    world.refuses(2, &parts, World::publish_well);
}

#[test]
fn an_index_with_a_wrong_digest() {
    let world = World::new();
    let flip = |content: &mut Vec<u8>| {
        let last = content.len() - 1;
        content[last] ^= 1;
    };
    world.server.change("stable-security/main", flip);
    let parts =
        ["stable-security main/binary-amd64/Packages.xz", "another content than the signed index says"];
    world.refuses(2, &parts, |world| world.server.change("stable-security/main", flip));
}

#[test]
fn a_truncated_index() {
    let world = World::new();
    let whole = world.server.content("/dists/stable-security/main/binary-amd64/Packages.xz");
    world.server.change("stable-security/main", |content| content.truncate(100));
    let parts = ["stable-security main/binary-amd64/Packages.xz", "another size than the signed index says"];
    world.refuses(2, &parts, |world| {
        world.server.put("/dists/stable-security/main/binary-amd64/Packages.xz", whole.clone());
    });
}

#[test]
fn a_mirror_that_goes_down_between_two_indexes() {
    let world = World::new();
    world.server.die_after(3);
    let parts = ["could not be fetched", &world.server.url];
    world.refuses(2, &parts, |world| world.server.die_after(usize::MAX));
}

#[test]
fn a_mirror_that_is_down() {
    let world = World::new();
    for suite in ["stable", "stable-security"] {
        world.server.fail(&format!("/dists/{suite}/InRelease"), Fault::Status(503));
    }
    let parts = ["no mirror has a release of Test 1", "503", "--mirror"];
    world.refuses(2, &parts, |world| world.server.heal());
}

#[test]
fn packages_that_do_not_go_together_are_named_with_the_chain() {
    let world = World::new();
    let machine = |packages: &str| PROFILE.replacen("[box]", &format!("[box]\npackages = [{packages}]"), 1);
    world.project.write(&machine("\"photos\""));
    let chain = ["photos", "viewer", "(>= 2)", "screen", "Test 1"];
    world.refuses(1, &chain, |world| world.project.write(PROFILE));
    fs::remove_file(world.project.path("profiles/box.lock")).unwrap();
    world.project.write(&machine("\"photoss\""));
    let advice = ["no package `photoss`", "did you mean `photos`"];
    world.refuses(1, &advice, |world| world.project.write(PROFILE));
}

#[test]
fn a_failed_update_leaves_the_lock_as_it_was() {
    let world = World::new();
    world.lock().fine();
    let path = world.project.path("profiles/box.lock");
    let before = fs::read(&path).unwrap();
    world.publish(&Key::make(), |release| release);
    world.lock().refused(2, &["not one of the distribution's"]);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(world.project.names("profiles"), ["box.lock", "box.toml"]);
}

#[test]
fn ctrl_c_while_the_indexes_come() {
    let world = World::new();
    world.server.slow_down(Duration::from_secs(1));
    let mut command = world.project.command(&["lock", "box"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while world.server.requests("InRelease").is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    Run::of(&child.wait_with_output().unwrap()).refused(2, &["error: interrupted"]);
    assert_eq!(world.project.names("profiles"), ["box.toml"]);
    world.server.slow_down(Duration::ZERO);
    world.lock().fine();
}

/// A lock of another system than the profile asks for now.
#[test]
fn a_lock_that_does_not_fit_any_more() {
    let world = World::new();
    world.lock().fine();
    world.project.write(&PROFILE.replacen("[box]", "[box]\npackages = [\"viewer\"]", 1));
    world.project.run(&["build", "box"]).refused(1, &["profiles/box.lock", "boxwright lock --update"]);
    fs::write(world.project.path("profiles/box.lock"), "schema = 1\nversion = \"x\"\n").unwrap();
    world.project.run(&["build", "box"]).refused(1, &["profiles/box.lock"]);
    world.project.write(PROFILE);
    world.lock().refused(1, &["profiles/box.lock"]);
    fs::remove_file(world.project.path("profiles/box.lock")).unwrap();
    world.lock().fine();
}
