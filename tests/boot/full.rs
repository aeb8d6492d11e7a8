//! A state partition without a free block leaves a box that starts, gets good, answers SSH, and says why services do not run.

use std::io::Read as _;
use std::net::TcpStream;

use boxwright::vm::{BoxDisk, MachineOptions, Network};

use crate::harness::{Bench, SOON, When, probe, with_units};

/// Takes every block of the state partition.
pub const FILL: &str = "
fallocate -l $(($(df --output=avail -B1 /srv/state | tail -n 1) - 1048576)) /srv/state/full
dd if=/dev/zero of=/srv/state/fuller bs=64k 2>/dev/null
dd if=/dev/zero of=/srv/state/fullest bs=512 2>/dev/null
sync
df --output=avail -B1 /srv/state | tail -n 1 | sed 's/^ */left /'
";

/// Starts a box whose state partition is full.
pub fn starts_and_says_so(bench: &Bench, disk: &BoxDisk) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let forward = format!("hostfwd=tcp:127.0.0.1:{port}-:22");
    let options = MachineOptions {
        network: Network::Custom { isolated: true, arguments: vec![forward] },
        ..MachineOptions::default()
    };
    let script = "systemctl start ssh boxwright-onlink; box status | sed 's/^/status /'; systemctl is-active docker; true";
    let mut run = bench.start(disk, &with_units(&options, [probe("full", When::Good, script)]));
    run.until_good();
    let printed = run.probe("full", SOON);
    assert!(printed.iter().any(|line| line.contains("/srv/state is full")), "{printed:#?}");

    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut banner = [0; 8];
    stream.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"SSH-2.0-");
    run.cut_power();
}
