//! Profiles that are wrong: `build` refuses them before it does anything, and takes them once they are right.

use crate::bench::{PROFILE, Project};

/// What is wrong, how the profile is spoilt (`old => new`, or lines to add), and what has to be said.
const TABLE: &[(&str, &str, &[&str])] = &[
    (
        "several syntax errors",
        "name = \"attic\" => name = \"attic\ntimezone = UTC\ndomain = [\"a\"",
        &["profiles/box.toml:3:", "box.toml:4:12", "a string must be in quotes"],
    ),
    (
        "an unknown key",
        "name = \"attic\" => colour = \"red\"\nname = \"attic\"",
        &["box.toml:3:1", "the keys here are"],
    ),
    ("a misspelt key", "lan = => lna =", &["box.toml:8:1", "write `lan`"]),
    (
        "a wrong type",
        "name = \"attic\" => name = 5",
        &["box.toml:3:8", "must be a string", "write \"5\" in quotes"],
    ),
    ("an unknown service", "plx = {}", &["box.toml:10:1", "there is no service `plx`", "write `plex`"]),
    (
        "a clash of ports",
        "homepage = { lan = [\"3000/tcp\"] }\numami = { lan = [\"3000/tcp\"] }",
        &["box.toml:11:17", "3000/tcp is already `homepage`'s", "take `lan` or `edge` from one"],
    ),
    (
        "a mount without a disk",
        "plex = { disk = \"films\" }",
        &["box.toml:10:17", "no disk `films`", "add to [disks]"],
    ),
    (
        "livepatch on Debian",
        "[updates]\nlivepatch = true",
        &["box.toml:11:13", "has no livepatch", "ubuntu-24.04"],
    ),
    (
        "Ubuntu 22.04",
        "distribution = \"debian-13\" => distribution = \"ubuntu-22.04\"",
        &["box.toml:4:16", "no distribution \"ubuntu-22.04\"", "write \"ubuntu-24.04\""],
    ),
    (
        "containers in the network at home",
        "[network]\nlan = [\"10.213.4.0/24\"]",
        &["box.toml:11:8", "overlaps 10.213.0.0/16", "write containers ="],
    ),
    (
        "an application without a login for everyone",
        "plex = {}\nmaintainerr = { at = \"rules\", for = \"everyone\" }",
        &["box.toml:11:37", "everyone on the internet could use it", "write for = \"family\" or \"admin\""],
    ),
];

fn spoilt(good: &str, change: &str) -> String {
    match change.split_once(" => ") {
        Some((old, new)) => {
            assert!(good.contains(old), "{old}");
            good.replacen(old, new, 1)
        }
        None => format!("{good}{change}\n"),
    }
}

#[test]
fn a_wrong_profile_is_refused_before_anything_is_done() {
    let project = Project::shipped();
    let good = PROFILE.replace("test-1", "debian-13").replace("\"pc\"", "\"uefi-x86_64\"");
    for (what, change, parts) in TABLE {
        project.write(&spoilt(&good, change));
        let run = project.run(&["build", "box"]);
        run.refused(1, parts);
        assert!(!run.stderr.contains("could not be fetched"), "{what}: {}", run.stderr);
        assert_eq!(project.names("out"), [""; 0], "{what}");
        assert_eq!(project.names("profiles"), ["box.toml"], "{what}");
        assert_eq!(project.names("cache"), [""; 0], "{what}");
        project.write(&good);
        project.run(&["check", "box"]).fine();
    }
}
