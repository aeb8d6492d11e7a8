//! Boxes among other hosts: what of them can be reached from outside, whom their containers reach, and what leaves by which way.
//! One without services each time; on request a small one, and the two servers that Boxwright was begun for.

use std::collections::BTreeMap;
use std::time::Duration;

use boxwright::vm::{MachineOptions, Said};

use crate::harness::{Bench, Run, SOON, When, probe, value, with_units};
use crate::lab::Lab;
use crate::lab_box::{ALL_UP, Server, profile, until_done};
use crate::secrets;

/// How long the VPN is away, and there again, while it flaps.
const FLAP: Duration = Duration::from_millis(1500);

/// Has every container say whom it reaches, for [`Server::assert_reach`].
fn reach() -> String {
    format!("python3 - <<'END'\n{}END\n", include_str!("lab/reach.py"))
}

/// A box with many services has the machine for itself, and as much memory as its owner would give it.
fn shipped(path: &str, data: &[(&str, &str)]) -> Option<Server> {
    let profile = profile(path);
    let mut server = Server::new(Bench::alone(profile.to_str().unwrap())?, &profile, data)?;
    server.options.memory = 6144;
    Some(server)
}

/// The shipped `minimal`: a box without services, whose SSH is for home.
#[test]
fn a_box_without_services_shows_ssh_at_home_and_nothing_else() {
    let Some(bench) = Bench::new() else { return };
    let Some(mut lab) = Lab::start(&bench.path("")) else { return };
    let options = MachineOptions { network: lab.network(), ..MachineOptions::default() };
    let options = with_units(&options, [probe("ssh", When::Good, "systemctl start ssh; ufw reload")]);
    let mut run = bench.start(&bench.disk("plain"), &options);
    run.until_good();
    run.probe("ssh", SOON);
    let addresses = lab.addresses();
    let (v4, v6) =
        (addresses.v4.expect("it has leased one"), addresses.v6.first().expect("one of its own").clone());
    for (from, to) in [("tv", &v4), ("tv", &v6), ("stranger", &v4), ("stranger", &v6), ("cloudflare", &v4)] {
        let expected: &[(u16, &str)] = if from == "tv" { &[(22, "open")] } else { &[] };
        let found = lab.scan(from, to, "tcp");
        let found: Vec<(u16, &str)> = found.iter().map(|(port, what)| (*port, what.as_str())).collect();
        assert_eq!(found, expected, "from {from} to {to}");
        assert_eq!(lab.scan(from, to, "udp"), BTreeMap::new(), "UDP from {from} to {to}");
    }
    run.cut_power();
}

/// A port for everybody who comes through Cloudflare, one for home, a VPN: what the shipped servers have, with few services.
#[test]
#[ignore = "ten minutes under emulation: `cargo test --test boot -- --include-ignored a_box_shows`"]
fn a_box_shows_what_its_profile_opens_and_leaks_nothing() {
    let profile = profile("tests/boot/lab.toml");
    let Some(bench) = Bench::with_containers(profile.to_str().unwrap()) else { return };
    let Some(mut server) = Server::new(bench, &profile, &[("media", "1000:1000")]) else { return };
    let mut run = server.start(When::Ready, &reach());
    let printed = server.until_begun(&mut run);
    server.assert_reach(&printed);
    server.assert_scanned("at the first start", true);
    cut_off(&mut server, &mut run);
    undisturbed(&mut server, &mut run);
    run.shut_down();

    // While Docker makes its networks and starts what publishes ports, and when it is done.
    let mut run = server.start(When::Ready, "");
    run.until_good();
    for round in 1..=3 {
        server.assert_shut(&format!("while services start, {round}"));
    }
    server.until_begun(&mut run);
    server.assert_scanned("after a restart", true);
    run.cut_power();
}

#[test]
#[ignore = "half an hour for a box with twenty services under emulation: `cargo test --test boot -- --include-ignored doom_server`"]
fn doom_server_shows_nothing_and_leaks_nothing() {
    let data = [("media", "1000:1000"), ("photos", "1000:1000"), ("cloud", "33:33")];
    let Some(mut server) = shipped("profiles/doom-server.toml", &data) else { return };
    let secrets = secrets::look();
    let script = format!("{secrets}\n{}", reach());
    let mut run = server.start(When::Ready, &script);
    let first = server.until_begun(&mut run);
    server.assert_reach(&first);
    server.assert_scanned("at the first start", true);
    tunnelled(&mut server, &mut run);
    undisturbed(&mut server, &mut run);
    run.shut_down();

    // Without the data disks: what needs them waits for them and for nothing else, also at the second start.
    server.options.disks.clear();
    let mut run = server.start(When::Good, &secrets);
    run.until_good();
    let second = server.until_begun(&mut run);
    server.assert_scanned("after a restart", true);
    assert_eq!(value(&second, "digest"), value(&first, "digest"), "the secrets of the first start");
    let starts = value(&second, "amp");
    assert!(starts != "start 1 of this state", "its state is kept: {starts}");
    let said = run.last_or_next(ALL_UP, |said| matches!(said, Said::NotReady(_) | Said::Ready));
    let Said::NotReady(list) = said else { panic!("{said:?}") };
    let disk = |wait: &String| wait.ends_with(" is not there)") || wait.ends_with(".mount (missing)");
    assert!(list.iter().all(disk), "{list:#?}");
}

/// After a container was started anew, Docker was, and ufw's rules were loaded again, nothing else is open.
fn undisturbed(server: &mut Server, run: &mut Run) {
    for errand in ["container", "docker", "ufw"] {
        server.errand(run, errand);
        server.assert_scanned(&format!("after {errand}"), false);
    }
}

/// The VPN as it should be, and cut off: its services have no other way, and find back.
fn cut_off(server: &mut Server, run: &mut Run) {
    server.assert_tight(run, "up", Some(true));
    let (_, heard) = server.lab.ask("vpn", &["cat", "/run/far"]);
    assert!(heard.contains("10.64.222.21") && heard.contains("up-5"), "{heard}");
    server.lab.cable_of("vpn", "cut");
    server.assert_tight(run, "cut", Some(false));
    server.lab.cable_of("vpn", "mend");
    server.assert_tight(run, "mended", Some(true));
}

/// As [`cut_off`], and then flapping, taken down and replaced.
fn tunnelled(server: &mut Server, run: &mut Run) {
    cut_off(server, run);
    server.lab.forget();
    server.begin(run, "flapping");
    for _ in 0..10 {
        for what in ["cut", "mend"] {
            server.lab.cable_of("vpn", what);
            std::thread::sleep(FLAP);
        }
    }
    let printed = until_done(run, "flapping");
    server.assert_nothing_leaked(&printed, "flapping", None);
    server.assert_tight(run, "steady", Some(true));
    server.assert_tight(run, "down", Some(false));
    server.assert_tight(run, "restarted", Some(true));
    server.assert_tight(run, "recreated", Some(true));
}

#[test]
#[ignore = "a quarter of an hour for a box with fifteen services under emulation: `cargo test --test boot -- --include-ignored servarr`"]
fn servarr_shows_what_is_for_home_and_opens_ssh_in_need() {
    let Some(mut server) = shipped("profiles/servarr.toml", &[("media", "1000:1000")]) else { return };
    let mut run = server.start(When::Ready, &reach());
    let first = server.until_begun(&mut run);
    server.assert_reach(&first);
    server.assert_scanned("at the first start", true);
    cut_off(&mut server, &mut run);
    let found = server.ask_at_home("/identity");
    assert!(found.starts_with("200 "), "{found}");
    let (v4, v6) = (server.v4.clone(), server.v6.clone());
    server.errand(&mut run, "rescue");
    for to in [&v4, &v6] {
        let mut expected = server.opened("tv", to, "tcp");
        expected.insert(0, 22);
        assert_eq!(server.lab.scan("tv", to, "tcp").into_keys().collect::<Vec<_>>(), expected, "{to}");
        assert!(server.lab.scan("stranger", to, "tcp").is_empty(), "{to}");
    }
    server.errand(&mut run, "reload");
    assert!(server.lab.scan("tv", &v6, "tcp").contains_key(&22), "rescue is kept when ufw reloads");
    server.errand(&mut run, "closed");
    server.assert_scanned("after the tunnel for SSH was up again", false);
    undisturbed(&mut server, &mut run);
    run.shut_down();
    let mut run = server.start(When::Ready, "");
    server.until_begun(&mut run);
    server.assert_scanned("after a restart", true);
}
