//! What `mirror` keeps is enough to build from, container images too, without a network; and a cache that is pruned all the time does not disturb.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use boxwright::build::manifest::Manifest;
use boxwright::catalog::Catalog;
use boxwright::diag::Findings;
use boxwright::digest::Sha256;

use crate::bench::{PROFILE, Run, names};
use crate::built;
use crate::registry::{Content, Registry};
use crate::standin::{self, Layer};
use crate::tiny::Tiny;

/// A build from `kept`, in a namespace that has no interface but a loopback that is down.
fn without_network(tiny: &Tiny) -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let script = "test \"$(grep -c : /proc/net/dev)\" = 1 && exec \"$0\" --cache cache build box --from kept";
    command.args(["--net", "/bin/sh", "-c", script, built::PROGRAM]).current_dir(tiny.project.path(""));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a CI runner saves and restores: files in a tar archive, unpacked where there was nothing.
#[test]
fn a_cache_that_was_saved_and_restored_is_one() {
    let Some(tiny) = Tiny::new() else { return };
    let usual = tiny.image();
    let saved =
        "mv cache former && mkdir cache && tar -C former -cf - base tools profile | tar -C cache -xf -";
    let moved =
        Command::new("/bin/sh").args(["-ec", saved]).current_dir(tiny.project.path("")).status().unwrap();
    assert!(moved.success());
    let run = tiny.project.run(&["--offline", "build", "box", "--compress"]);
    assert_eq!(Sha256::of_file(&tiny.project.path(run.fine())).unwrap(), usual);
    for made in ["unpacking tools", "unpacking packages", "making the initrd"] {
        assert!(!run.stderr.contains(made), "{}", run.stderr);
    }
    let sums = fs::read_to_string(tiny.project.path("out/attic.SHA256SUMS")).unwrap();
    for name in ["attic.img", "attic.img.zst", "attic.img.bmap", "attic.lock", "attic.spdx.json"] {
        assert!(sums.lines().any(|line| line.ends_with(&format!("  {name}"))), "{name} is not in\n{sums}");
    }
}

#[test]
fn a_package_that_the_disk_has_damaged_in_the_cache_is_told_and_made_anew() {
    let Some(tiny) = Tiny::new() else { return };
    let usual = tiny.image();
    fs::remove_dir_all(tiny.project.path("cache/base")).unwrap();
    fs::remove_dir_all(tiny.project.path("out")).unwrap();
    let name = tiny.package("kmod").sha256.to_string();
    let damaged = tiny.project.path("cache/decompressed").join(name);
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Other tests' caches have the same file.
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, bytes).unwrap();
    let run = tiny.project.run(&["--offline", "build", "box"]);
    run.refused(2, &["/decompressed/", "was damaged and is removed", "build again"]);
    assert!(!damaged.exists());
    let run = tiny.project.run(&["--offline", "build", "box"]);
    assert_eq!(Sha256::of_file(&tiny.project.path(run.fine())).unwrap(), usual);
}

#[test]
fn a_build_from_a_mirror_needs_no_network_and_survives_pruning() {
    let Some(tiny) = Tiny::new() else { return };
    let usual = tiny.image();
    assert_eq!(tiny.project.run(&["mirror", "box", "--to", "kept"]).fine(), "kept");
    assert!(tiny.project.path("kept/attic.lock").is_file());

    // An empty cache, and a mirror with one file that is missing, and one that is another.
    fs::rename(tiny.project.path("cache"), tiny.project.path("former")).unwrap();
    let package = |name: &str| {
        let package = tiny.package(name);
        tiny.project.path("kept").join(&package.path)
    };
    let [busybox, kmod] = ["busybox", "kmod"].map(package);
    let former = [fs::read(&busybox).unwrap(), fs::read(&kmod).unwrap()];
    fs::remove_file(&busybox).unwrap();
    fs::write(&kmod, "something else").unwrap();
    let run = Run::of(&without_network(&tiny).output().unwrap());
    run.refused(
        1,
        &["kept lacks 2 of the files that the lock names", "\n  busybox ", "\n  kmod ", "boxwright mirror"],
    );
    fs::write(&busybox, &former[0]).unwrap();
    fs::write(&kmod, &former[1]).unwrap();

    let mut build = without_network(&tiny).spawn().unwrap();
    let mut rounds = 0;
    while build.try_wait().unwrap().is_none() {
        tiny.project.run(&["cache", "prune", "--keep", "0"]).fine();
        std::thread::sleep(Duration::from_millis(20));
        rounds += 1;
    }
    let run = Run::of(&build.wait_with_output().unwrap());
    let image = tiny.project.path(run.fine());
    assert!(rounds > 10, "it was pruned {rounds} times only");
    assert_eq!(Sha256::of_file(&image).unwrap(), usual);

    // Now nobody uses anything; some of it may be gone since the build has ended.
    let said = tiny.project.run(&["cache", "prune", "--keep", "0", "--dry-run"]);
    assert!(said.fine().contains("would be freed, 0 B kept"), "{}", said.stdout);
    tiny.project.run(&["cache", "prune", "--max", "0"]).fine();
    for kind in ["base", "decompressed", "modules", "profile", "tools"] {
        assert_eq!(tiny.project.names(&format!("cache/{kind}")), [""; 0]);
    }
}

/// A registry with an image for every service of the catalog: scripts in the place of programs, since none is started.
fn registry(tiny: &Tiny) -> Registry {
    let mut findings = Findings::new();
    let catalog = Catalog::load(&tiny.project.path("overlays/services"), &mut findings).unwrap();
    let mut content = Content::default();
    for (reference, image) in standin::all(&catalog, &Layer::without_busybox(), &[]) {
        content.add(&reference, &image);
    }
    Registry::start(content)
}

#[test]
fn container_images_come_from_the_mirror_when_their_registry_is_gone() {
    let Some(tiny) = Tiny::with_containers() else { return };
    let registry = registry(&tiny);
    let images =
        format!("[images]\nembed = \"all\"\nmirror = {:?}\n[services]\nhomepage = {{}}\n", registry.mirror());
    tiny.project.write(&PROFILE.replace("[services]\n", &images));
    let image = tiny.project.path(tiny.build().fine());
    let embedded = Manifest::load(&image).unwrap().embedded;
    assert!(embedded.len() == 1 && embedded[0].contains("/homepage:"), "{embedded:?}");
    let usual = Sha256::of_file(&image).unwrap();
    assert_eq!(tiny.project.run(&["mirror", "box", "--to", "kept"]).fine(), "kept");
    assert!(registry.requests().iter().any(|request| request.contains("/blobs/")));
    drop(registry);
    for folder in ["cache", "out"] {
        fs::rename(tiny.project.path(folder), tiny.project.path(&format!("former-{folder}"))).unwrap();
    }

    // A layer that is missing is named with its image.
    let blobs = tiny.project.path("kept/containers/blobs/sha256");
    let size = |name: &String| fs::metadata(blobs.join(name)).unwrap().len();
    let largest = names(&blobs).into_iter().max_by_key(size).unwrap();
    fs::rename(blobs.join(&largest), tiny.project.path("layer")).unwrap();
    let missing = format!("{}: containers/blobs/sha256/{largest}", embedded[0]);
    Run::of(&without_network(&tiny).output().unwrap()).refused(1, &["lacks 1 of the files", &missing]);
    fs::rename(tiny.project.path("layer"), blobs.join(&largest)).unwrap();

    let run = Run::of(&without_network(&tiny).output().unwrap());
    assert_eq!(Sha256::of_file(&tiny.project.path(run.fine())).unwrap(), usual);

    let run = tiny.project.run(&["--offline", "--json", "verify", "--twice", "box"]);
    let said: serde_json::Value = serde_json::from_str(run.fine()).unwrap();
    assert_eq!(
        (&said["identical"], &said["differences"]),
        (&true.into(), &serde_json::json!([])),
        "{said:#}"
    );
}
