//! The two servers that Boxwright was begun for, among other hosts: what of them can be reached from outside, whom their
//! containers reach, and what leaves by which way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use boxwright::plan::{Plan, WayOut};
use boxwright::vm::{BoxDisk, MachineOptions, Said};
use serde::Deserialize;

use crate::harness::{Bench, Run, SOON, When, probe, value, with_units};
use crate::lab::{Lab, Sent};
use crate::support::go;
use crate::{built, disks, profiles, secrets};

/// How long a box with many services may take until all of them run, under plain emulation on a busy machine.
const ALL_UP: Duration = Duration::from_secs(2400);
/// How long the VPN is away, and there again, while it flaps.
const FLAP: Duration = Duration::from_millis(1500);
/// Where nothing of a service behind the VPN may ever be sent but through it: the hosts of `lab/leak.py`.
const FORBIDDEN: [&str; 6] =
    ["203.0.113.80", "198.51.100.77", "2001:db8:2::77", "1.1.1.1", "2606:4700:4700::1111", "192.168.1.20"];
/// The VPN's server in the lab, and how it is told of the box, whose keys are those of tests/boot/secrets.rs.
const VPN: &str = "198.51.100.20";
const SERVER_KEY: &str = "6665646362613938373635343332313066656463626139383736353433323130";
const SERVER_PUBLIC: &str = "2/ygd0TRqiC1sebr6VaMzxUwnqJ9Zmo98HwJpoCThRI=";
const BOX_PUBLIC: &str = "86517bc0c39fe876b7646cb5e34ee03daf71ccbad67450c16a970ad8cbc03e7e";

/// What the box is told to do between the looks from outside, a word each: a disk of that name is plugged in, and it says when
/// it is done.
const ERRANDS: &str = r#"
back() { for _ in $(seq 400); do
		docker ps --format '{{.Names}}' | grep -qx "$published" && return
		sleep 3
	done; docker ps -a; box status; return 1; }
rescue() { systemctl start boxwright-ssh-rescue.service; }
back
echo "$published $(docker logs "$published" 2>&1 | grep -o 'start [0-9]* of this state' | tail -n 1)"
echo done begin
while :; do
	set -- $(ls /dev/disk/by-id | sed -n 's/^usb-.*_errand-\([a-z]*\)-.*/\1/p' | sort -u)
	for errand; do
		[ ! -e "/run/errand-$errand" ] || continue
		case $errand in
		container) docker restart "$published" >/dev/null ;;
		docker) systemctl restart docker.service && back ;;
		ufw) ufw reload >/dev/null ;;
		# As if the tunnel had been down for a quarter of an hour.
		rescue) systemctl stop boxwright-ssh-tunnel.service && echo -10000 >/run/boxwright/ssh-rescue/last-up && rescue ;;
		closed) systemctl start boxwright-ssh-tunnel.service && for _ in $(seq 60); do
				rescue && ! test -e /run/boxwright/ssh-rescue/open && break
				sleep 1
			done ;;
		down) nsenter -t "$(docker inspect -f '{{.State.Pid}}' "$vpn")" -n ip link delete tun0 && leak down ;;
		# As if it had crashed.
		restarted) kill -9 "$(docker inspect -f '{{.State.Pid}}' "$vpn")" && leak restarted 1500 ;;
		recreated) docker rm -f "$vpn" >/dev/null && leak recreated 1500 ;;
		mended) leak mended 90 ;;
		flapping) for _ in 1 2 3 4; do leak flapping; done ;;
		*) leak "$errand" 30 ;;
		esac
		status=$?
		touch "/run/errand-$errand"
		echo "done $errand $status"
	done
	sleep 1
done
"#;

/// A shipped profile for the lab: with all images inside, and further changes, text and what stands in its place.
fn profile(name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let shipped = profiles::project().join("profiles").join(name).with_extension("toml");
    let mut text = std::fs::read_to_string(shipped).unwrap();
    for (old, new) in changes {
        assert!(text.contains(old), "{name} has no {old:?}");
        text = text.replace(old, new);
    }
    let vpn = format!("\"custom\"\nendpoint = \"{VPN}:51820\"\npublic-key = \"{SERVER_PUBLIC}\"");
    assert!(text.contains("\"mullvad\"") && text.contains("[services]"), "{name} has no VPN");
    let (before, after) = text.split_once("[services]").unwrap();
    let before = before.replace("\"mullvad\"", &vpn);
    let text = format!("{before}[services]{after}\n[images]\nembed = \"all\"\n");
    let folder = built::folder().join("lab");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}-lab.toml"));
    // An unchanged profile keeps its time, and with it its lock.
    if std::fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
        boxwright::atomic::write(&path, text.as_bytes()).unwrap();
    }
    path
}

/// A box in the lab.
struct Server {
    bench: Bench,
    lab: Lab,
    disk: BoxDisk,
    options: MachineOptions,
    plan: Plan,
    name: String,
    v4: String,
    v6: String,
}

/// What `lab/reach.py` prints of a container.
#[derive(Debug, Deserialize)]
struct Seen {
    names: Vec<String>,
    addresses: Vec<String>,
    home: Vec<String>,
    out: Vec<String>,
}

impl Server {
    /// A box of `profile` with data disks (label and owner), and a lab around it.
    fn new(profile: &Path, data: &[(&str, &str)]) -> Option<Self> {
        let bench = Bench::alone(profile.to_str().unwrap())?;
        let wireguard = go::wireguard()?;
        let mut lab = Lab::start(&bench.path(""))?;
        for (host, port) in [("tv", "8080"), ("stranger", "8443")] {
            lab.start_on(host, &["python3", "-m", "http.server", port, "--bind", "::"]);
        }
        let endpoint = profiles::project().join("tests/boot/lab/endpoint.py");
        let program = ["python3", "-B", endpoint.to_str().unwrap(), wireguard.to_str().unwrap()];
        lab.start_on("vpn", &[&program[..], &[SERVER_KEY, BOX_PUBLIC, "10.64.222.21/32"]].concat());
        let checked = profiles::checked(profile);
        let plan = Plan::new(&checked, checked.catalog()).unwrap();
        let disk = bench.disk("box");
        secrets::hand_over_file(&disk, profile, &secrets::file_for(&disk.folder, profile));
        let disks = data.iter().map(|(label, owner)| disks::labelled(&bench, label, owner)).collect();
        let options =
            MachineOptions { network: lab.network(), memory: 6144, disks, ..MachineOptions::default() };
        let name = checked.profile().machine.name.clone();
        Some(Self { bench, lab, disk, options, plan, name, v4: String::new(), v6: String::new() })
    }

    /// Switches it on. Once it is as good as `when` says, `script` runs, and then the box waits for errands.
    fn start(&mut self, when: When, script: &str) -> Run {
        let published = self.plan.ports.first().map(|port| port.container.as_str()).unwrap_or_default();
        let script = format!(
            "published={published} vpn={}\n{script}\ncat >/run/leak.py <<'END'\n{}END\n\
             leak() {{ python3 /run/leak.py qbittorrent \"$@\"; }}\n{ERRANDS}",
            self.plan.vpn.as_deref().unwrap_or_default(),
            include_str!("lab/leak.py"),
        );
        self.bench.start(&self.disk, &with_units(&self.options, [probe("server", when, &script)]))
    }

    /// Waits until the first errand is done, what was to be done at the start; what was printed until then.
    fn until_begun(&mut self, run: &mut Run) -> Vec<String> {
        let printed = until_done(run, "begin");
        let addresses = self.lab.addresses();
        self.v4 = addresses.v4.expect("it has leased one");
        self.v6 = addresses.v6.first().expect("it has one of its own").clone();
        printed
    }

    /// Has the box do an errand; what it printed meanwhile.
    fn errand(&self, run: &mut Run, name: &str) -> Vec<String> {
        self.begin(run, name);
        let printed = until_done(run, name);
        run.machine.pull(&format!("errand-{name}")).unwrap();
        printed
    }

    /// Tells the box to begin with an errand.
    fn begin(&self, run: &Run, name: &str) {
        let path = self.bench.path(name);
        std::fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
        run.machine.plug(&format!("errand-{name}"), &path).unwrap();
    }
    /// What the first port that is open at home answers there, found by the box's own name.
    fn ask_at_home(&mut self, path: &str) -> String {
        let program = profiles::project().join("tests/boot/lab/local.py");
        let port =
            self.plan.ports.iter().find(|port| port.source == "lan").expect("one is open at home").port;
        let (name, port) = (format!("{}.local", self.name), port.to_string());
        let (status, text) =
            self.lab.ask("tv", &["python3", "-B", program.to_str().unwrap(), &name, &port, path]);
        assert_eq!(status, 0, "{text}");
        text
    }

    /// Scans the box from everywhere: exactly the ports that the profile opens are there, for whom it opens them.
    fn assert_scanned(&mut self, when: &str, with_udp: bool) {
        let (v4, v6) = (self.v4.clone(), self.v6.clone());
        for (from, to) in
            [("tv", &v4), ("tv", &v6), ("stranger", &v4), ("stranger", &v6), ("cloudflare", &v4)]
        {
            for kind in if with_udp { &["tcp", "udp"][..] } else { &["tcp"] } {
                let found: Vec<u16> = self.lab.scan(from, to, kind).into_keys().collect();
                assert_eq!(found, self.opened(from, to, kind), "{when}: {kind} from {from} to {to}");
            }
        }
    }

    /// The ports that the profile opens for a host. They are published for IPv4 alone.
    fn opened(&self, from: &str, to: &str, kind: &str) -> Vec<u16> {
        let source = match from {
            "tv" => "lan",
            "cloudflare" => "edge",
            _ => return Vec::new(),
        };
        let ports = self.plan.ports.iter().filter(|port| port.source == source && !to.contains(':'));
        ports.filter(|port| port.protocol.to_string() == kind).map(|port| port.port).collect()
    }

    /// Holds what every container has reached against the table that `inspect --network` prints.
    fn assert_reach(&self, printed: &[String]) {
        let seen: BTreeMap<&str, Seen> = printed
            .iter()
            .filter_map(|line| line.strip_prefix("reach ")?.split_once(' '))
            .map(|(name, text)| (name, serde_json::from_str(text).unwrap()))
            .collect();
        let reach = self.plan.reach();
        let expected: Vec<&str> = reach.containers.iter().map(|outward| outward.container.as_str()).collect();
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected);
        let mut wrong = Vec::new();
        for outward in &reach.containers {
            let name = outward.container.as_str();
            let mut others = reach.of(name);
            others.sort_unstable();
            let out: &[&str] = match outward.way_out {
                WayOut::Internet if Some(name) == self.plan.vpn.as_deref() => &["far"],
                WayOut::Internet => &["stranger"],
                WayOut::Vpn => &["far"],
                WayOut::Nothing => &[],
            };
            let found = &seen[name];
            if found.names != others
                || found.addresses != others
                || !found.home.is_empty()
                || found.out != out
            {
                wrong.push(format!("{name}: {found:?}, but the table has {others:?} and {out:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Tries every way out of the VPN's namespace while the box does an errand: nothing was sent but to the VPN's server, and
    /// what is behind the VPN was reached or not.
    fn assert_tight(&mut self, run: &mut Run, errand: &str, reached: Option<bool>) {
        self.lab.forget();
        let printed = self.errand(run, errand);
        self.assert_nothing_leaked(&printed, errand, reached);
    }

    fn assert_nothing_leaked(&mut self, printed: &[String], mark: &str, reached: Option<bool>) {
        let sent: Sent = self.lab.sent();
        let leaked: Vec<_> = FORBIDDEN.iter().flat_map(|address| sent.to(address)).collect();
        assert!(leaked.is_empty(), "{mark}: {leaked:?}");
        let asked: Vec<&String> = sent.names.iter().filter(|name| name.starts_with(mark)).collect();
        assert!(asked.is_empty(), "{mark}: the router was asked for {asked:?}");
        let line = printed.iter().find_map(|line| line.strip_prefix(&format!("leak {mark} ")));
        let line = line.unwrap_or_else(|| panic!("{mark}: {printed:#?}"));
        let found: BTreeMap<String, bool> = serde_json::from_str(line).unwrap();
        for (place, open) in &found {
            assert!(place == "far" || !open, "{mark}: {place} was reached");
        }
        if let Some(reached) = reached {
            assert_eq!(found.get("far"), Some(&reached), "{mark}: {line}");
        }
    }
}

/// Waits until the box has done an errand: what it printed before.
fn until_done(run: &mut Run, name: &str) -> Vec<String> {
    let mut printed = Vec::new();
    let end = format!("done {name}");
    let status = run.machine.wait_for(ALL_UP, |line| {
        let text = line.split_once("probe[server] ")?.1.trim_end();
        printed.push(text.to_owned());
        text.strip_prefix(end.as_str()).map(str::to_owned)
    });
    let status = status.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(["", " 0"].contains(&status.as_str()), "{name}: {printed:#?}");
    printed
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

#[test]
#[ignore = "half an hour for a box with twenty services under emulation: `cargo test --test boot -- --include-ignored doom_server`"]
fn doom_server_shows_nothing_and_leaks_nothing() {
    let profile = profile("doom-server", &[]);
    let Some(mut server) = Server::new(&profile, &[("media", "1000:1000"), ("cloud", "33:33")]) else {
        return;
    };
    let secrets = secrets::look();
    let script = format!("{secrets}\npython3 - <<'END'\n{}END\n", include_str!("lab/reach.py"));
    let mut run = server.start(When::Ready, &script);
    let first = server.until_begun(&mut run);
    server.assert_reach(&first);
    server.assert_scanned("at the first start", true);
    tunnelled(&mut server, &mut run);
    for errand in ["container", "docker", "ufw"] {
        server.errand(&mut run, errand);
        server.assert_scanned(&format!("after {errand}"), false);
    }
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

/// The VPN as it should be, cut off, flapping, taken down and replaced: its services have no other way, and find back.
fn tunnelled(server: &mut Server, run: &mut Run) {
    server.assert_tight(run, "up", Some(true));
    let (_, heard) = server.lab.ask("vpn", &["cat", "/run/far"]);
    assert!(heard.contains("10.64.222.21") && heard.contains("up-5"), "{heard}");
    server.lab.cable_of("vpn", "cut");
    server.assert_tight(run, "cut", Some(false));
    server.lab.cable_of("vpn", "mend");
    server.assert_tight(run, "mended", Some(true));
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
    let profile = profile("servarr", &[]);
    let Some(mut server) = Server::new(&profile, &[("media", "1000:1000")]) else { return };
    let mut run = server.start(When::Ready, "");
    server.until_begun(&mut run);
    server.assert_scanned("at the first start", true);
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
    server.errand(&mut run, "ufw");
    assert!(server.lab.scan("tv", &v6, "tcp").contains_key(&22), "rescue is kept when ufw reloads");
    server.errand(&mut run, "closed");
    server.assert_scanned("after the tunnel for SSH was up again", false);
}
