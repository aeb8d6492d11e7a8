//! A box among other hosts: what it is told to do there, and what can be seen of it from each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use boxwright::plan::{Plan, WayOut};
use boxwright::vm::{BoxDisk, MachineOptions};
use serde::Deserialize;

use crate::harness::{Bench, Run, When, probe, with_units};
use crate::lab::{Lab, Sent};
use crate::support::go;
use crate::{built, disks, profiles, secrets};

/// How long a box with many services may take until all of them run, under plain emulation on a busy machine.
pub const ALL_UP: Duration = Duration::from_secs(2400);
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
up() { for each in $published; do docker ps --format '{{.Names}}' | grep -qx "$each" || return 1; done; }
back() { for _ in $(seq 400); do
		up && return
		sleep 3
	done; docker ps -a; box status; return 1; }
rescue() { systemctl start boxwright-ssh-rescue.service; }
back
for each in $published; do
	echo "$each $(docker logs "$each" 2>&1 | grep -o 'start [0-9]* of this state' | tail -n 1)"
done
echo done begin
while :; do
	set -- $(ls /dev/disk/by-id | sed -n 's/^usb-.*_errand-\([a-z]*\)-.*/\1/p' | sort -u)
	for errand; do
		[ ! -e "/run/errand-$errand" ] || continue
		case $errand in
		container) docker restart $published >/dev/null ;;
		docker) systemctl restart docker.service && back ;;
		ufw | reload) ufw reload >/dev/null ;;
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

/// The profile at `path` in the checkout, for the lab: with all images inside, and the lab's VPN.
pub fn profile(path: &str) -> PathBuf {
    let path = profiles::project().join(path);
    let name = path.file_stem().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
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
pub struct Server {
    bench: Bench,
    pub lab: Lab,
    disk: BoxDisk,
    pub options: MachineOptions,
    plan: Plan,
    name: String,
    pub v4: String,
    pub v6: String,
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
    /// The box of `profile` on a bench of its image, with data disks (label and owner), and a lab around it.
    pub fn new(bench: Bench, profile: &Path, data: &[(&str, &str)]) -> Option<Self> {
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
        let options = MachineOptions { network: lab.network(), disks, ..MachineOptions::default() };
        let name = checked.profile().machine.name.clone();
        Some(Self { bench, lab, disk, options, plan, name, v4: String::new(), v6: String::new() })
    }

    /// Switches it on. Once it is as good as `when` says, `script` runs, and then the box waits for errands.
    pub fn start(&mut self, when: When, script: &str) -> Run {
        let published: BTreeSet<&str> = self.plan.ports.iter().map(|port| port.container.as_str()).collect();
        let published = Vec::from_iter(published).join(" ");
        let reach = self.plan.reach();
        let all: Vec<&str> = reach.containers.iter().map(|outward| outward.container.as_str()).collect();
        let script = format!(
            "export containers='{}'\npublished='{published}' vpn={}\n{script}\ncat >/run/leak.py <<'END'\n{}END\n\
             leak() {{ python3 /run/leak.py qbittorrent \"$@\"; }}\n{ERRANDS}",
            all.join(" "),
            self.plan.vpn.as_deref().unwrap_or_default(),
            include_str!("lab/leak.py"),
        );
        self.bench.start(&self.disk, &with_units(&self.options, [probe("server", when, &script)]))
    }

    /// Waits until the first errand is done, what was to be done at the start; what was printed until then.
    pub fn until_begun(&mut self, run: &mut Run) -> Vec<String> {
        let printed = until_done(run, "begin");
        let addresses = self.lab.addresses();
        self.v4 = addresses.v4.expect("it has leased one");
        self.v6 = addresses.v6.first().expect("it has one of its own").clone();
        printed
    }

    /// Has the box do an errand; what it printed meanwhile.
    pub fn errand(&self, run: &mut Run, name: &str) -> Vec<String> {
        self.begin(run, name);
        let printed = until_done(run, name);
        run.machine.pull(&format!("errand-{name}")).unwrap();
        printed
    }

    /// Tells the box to begin with an errand.
    pub fn begin(&self, run: &Run, name: &str) {
        let path = self.bench.path(name);
        std::fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
        run.machine.plug(&format!("errand-{name}"), &path).unwrap();
    }

    /// What the first port that is open at home answers there, found by the box's own name.
    pub fn ask_at_home(&mut self, path: &str) -> String {
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
    pub fn assert_scanned(&mut self, when: &str, with_udp: bool) {
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

    /// Scans the box from everywhere: nothing is there that the profile does not open, whatever is there already.
    pub fn assert_shut(&mut self, when: &str) {
        for from in ["tv", "stranger", "cloudflare"] {
            let to = self.v4.clone();
            let opened = self.opened(from, &to, "tcp");
            let found = self.lab.scan(from, &to, "tcp");
            assert!(
                found.keys().all(|port| opened.contains(port)),
                "{when}: from {from}: {found:?}, and not {opened:?}"
            );
        }
    }

    /// The ports that the profile opens for a host. They are published for IPv4 alone.
    pub fn opened(&self, from: &str, to: &str, kind: &str) -> Vec<u16> {
        let source = match from {
            "tv" => "lan",
            "cloudflare" => "edge",
            _ => return Vec::new(),
        };
        let ports = self.plan.ports.iter().filter(|port| port.source == source && !to.contains(':'));
        ports.filter(|port| port.protocol.to_string() == kind).map(|port| port.port).collect()
    }

    /// Holds what every container has reached against the table that `inspect --network` prints.
    pub fn assert_reach(&self, printed: &[String]) {
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
    pub fn assert_tight(&mut self, run: &mut Run, errand: &str, reached: Option<bool>) {
        self.lab.forget();
        let printed = self.errand(run, errand);
        self.assert_nothing_leaked(&printed, errand, reached);
    }

    pub fn assert_nothing_leaked(&mut self, printed: &[String], mark: &str, reached: Option<bool>) {
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
pub fn until_done(run: &mut Run, name: &str) -> Vec<String> {
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
