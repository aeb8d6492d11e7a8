//! A new release patches itself from a signed archive before its tunnel opens.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use boxwright::digest::Sha256;
use boxwright::firmware::ArchiveSpec;
use boxwright::vm::{BoxDisk, MachineOptions, Network, Unit};

use crate::harness::{Bench, When, probe, value, with_units};
use crate::packages::SPARE;
use crate::publisher::{self, Key, Suite};
use crate::server::Server;

/// Waits until the release has been patched or that was given up, then tells what came when, in microseconds.
const LOOK: &str = "
left=900
until [ $left = 0 ]; do
    case $(systemctl show --property=ActiveState --value boxwright-first-patch.service) in
    active | failed) break ;;
    esac
    left=$((left - 1))
    sleep 1
done
when() { systemctl show --property=$2TimestampMonotonic --value $1; }
tunnel=boxwright-service-cloudflared.service
until [ \"$(when $tunnel Condition)\" != 0 ] || [ $left = 0 ]; do
    left=$((left - 1))
    sleep 1
done
echo patched $(journalctl --quiet --unit=boxwright-patch.service --output=json |
    sed -n 's/.*\"__MONOTONIC_TIMESTAMP\":\"\\([0-9]*\\)\".*/\\1/p' | tail -n 1)
echo waited $(when boxwright-first-patch.service ActiveEnter)
echo tunnel $(when $tunnel Condition)
echo spare $(dpkg-query --show --showformat '${Version}' runit-helper)
";

/// The archive that the box patches itself from, as it publishes one newer package: all files below its address.
fn security(archive: &ArchiveSpec, key: &Key) -> BTreeMap<String, Vec<u8>> {
    let debs = [publisher::deb(SPARE, "99", "")];
    let components = [(archive.components[0].as_str(), debs.as_slice())];
    let suite =
        Suite { name: &archive.suite, codename: &archive.codename, by_hash: true, components: &components };
    // apt wants to know what the index is before it is compressed.
    let index = format!("{}/binary-amd64/Packages", archive.components[0]);
    let files = publisher::publish(&suite, key, |release| release);
    let mut plain = Vec::new();
    let packed = &files[&format!("/dists/{}/{index}.xz", archive.suite)];
    liblzma::read::XzDecoder::new(packed.as_slice()).read_to_end(&mut plain).unwrap();
    let plain = format!(" {} {} {index}\n", Sha256::of_bytes(&plain), plain.len());
    publisher::publish(&suite, key, |release| {
        // Of any day before this one, and valid for ever.
        let lines = release.lines().filter(|line| !line.starts_with("Valid-Until:"));
        let lines = lines.map(|line| match line.split_once(": ") {
            Some(("Date", _)) => "Date: Wed, 01 Jan 2025 00:00:00 UTC".to_owned(),
            Some(("Origin", _)) => format!("Origin: {}", archive.origin),
            _ => line.to_owned(),
        });
        lines.map(|line| line + "\n").collect::<String>() + &plain
    })
}

/// What an admin does who has an archive of their own: other sources, before anything is asked of them.
fn sources(archive: &ArchiveSpec, url: &str, key: &Key) -> Vec<Unit> {
    let mut text = format!(
        "Types: deb\nURIs: {url}\nSuites: {}\nComponents: {}\nSigned-By:\n",
        archive.suite, archive.components[0]
    );
    for line in key.armored().lines() {
        writeln!(text, " {}", if line.is_empty() { "." } else { line }).unwrap();
    }
    let text = base64::engine::general_purpose::STANDARD.encode(text);
    let run = format!("echo {text} | base64 -d >/etc/apt/sources.list.d/boxwright.sources");
    let text = format!("[Service]\nExecStartPre=/bin/sh -c '{run}'\n");
    vec![Unit::DropIn { name: "boxwright-first-patch.service".into(), text }]
}

/// The first start of `disk`, which ends with a newer package.
pub fn a_new_release_is_patched_before_its_tunnel_opens(bench: &Bench, disk: &BoxDisk) {
    let archives = &bench.distribution().archives;
    let archive = archives.iter().find(|archive| archive.role == "security").unwrap();
    let (server, key) = (Server::start(), Key::make());
    server.put_all(&security(archive, &key));
    // QEMU's router leads to the loopback interface of the host at this address.
    let url = server.url.replace("127.0.0.1", "10.0.2.2");

    let options = MachineOptions { network: Network::Open, ..MachineOptions::default() };
    let units = [sources(archive, &url, &key), probe("look", When::Good, LOOK)];
    let mut run = bench.start(disk, &with_units(&options, units));
    run.until_good();
    let seen = run.probe("look", Duration::from_secs(1200));
    run.shut_down();

    let time =
        |key: &str| -> u64 { value(&seen, key).parse().unwrap_or_else(|_| panic!("{key} in {seen:?}")) };
    assert_eq!(value(&seen, "spare"), "99", "{seen:?}");
    assert!(time("patched") <= time("waited") && time("waited") <= time("tunnel"), "{seen:?}");
}
