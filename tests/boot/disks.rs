//! A data disk that is missing keeps only the services that need it from starting, at the first start and at the second;
//! plugged in later, it starts them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use boxwright::vm::Said;

use crate::harness::{Bench, Run};

/// What waits for the disk of services.toml: the services on it, and the disk itself.
const WAIT: [&str; 5] = [
    "jellyfin (the disk media is not there)",
    "plex (the disk media is not there)",
    "qbittorrent (the disk media is not there)",
    "sonarr (the disk media is not there)",
    "srv-media.mount (missing)",
];

/// The data disk of services.toml, as its owner would have made it: ext4 with the label, and a folder of the owner's.
pub fn media(bench: &Bench) -> PathBuf {
    labelled(bench, "media", "1000:1000")
}

/// An ext4 data disk with that label, whose folders belong to that user and group.
pub fn labelled(bench: &Bench, label: &str, owner: &str) -> PathBuf {
    let path = bench.empty(label, 256 << 20);
    let make = bench.tools().tool("mke2fs").unwrap();
    make.args(["-q", "-t", "ext4", "-L", label, "-E", &format!("root_owner={owner}")])
        .arg(&path)
        .run()
        .unwrap();
    path
}

/// Waits until everything else runs, and the box says what waits for the disk and nothing more.
pub fn until_only_the_disk_is_missing(run: &mut Run) {
    let said = run.until(Duration::from_secs(1500), |said| matches!(said, Said::NotReady(_) | Said::Ready));
    let Said::NotReady(list) = said else { panic!("{said:?}") };
    assert_eq!(list, WAIT);
}

/// Plugs the disk in; everything has to come up.
pub fn plug(run: &mut Run, path: &Path) {
    run.machine.plug("media", path).unwrap();
    run.until(Duration::from_secs(900), |said| matches!(said, Said::Ready));
}
