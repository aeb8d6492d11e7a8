//! Replacing a failed host: a box writes a backup, is gone, and another disk of another size in another machine has every row and
//! file of it before its services start. The real Kopia, a real S3 server on the computer that runs the test, PostgreSQL itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use boxwright::secrets::{Handover, Restore};
use boxwright::tool::{Running, Tool};
use boxwright::vm::{BoxDisk, MachineOptions, Network, Unit};

use crate::harness::{Bench, When, probe, value, with_units};
use crate::profiles::project;
use crate::support::go;
use crate::{inventory, secrets};

const PROFILE: &str = "tests/boot/restore.toml";
/// Where the profile looks for it: 10.0.2.2 is this computer, seen from the machine.
const PORT: u16 = 19443;
const KEYS: [&str; 2] = ["AKIDFORTESTS", "a secret key for tests"];
/// How long everything may take that a machine does, under plain emulation on a busy one.
const LONG: Duration = Duration::from_secs(2400);

/// What the box keeps, written on the first disk, and a backup of it; then Nextcloud's is spoilt, and comes back.
const WRITE: &str = r#"
sql() { docker exec nextcloud-db psql -U nextcloud -qtAc "$1"; }
sql "CREATE TABLE kept AS SELECT n, md5(n::text) AS text FROM generate_series(1, 5000) n"
for folder in html/config data/ada/files; do
	mkdir -p /srv/state/nextcloud/$folder
	seq 1 3000 >/srv/state/nextcloud/$folder/kept && chown 33:33 /srv/state/nextcloud/$folder/kept && chmod 600 /srv/state/nextcloud/$folder/kept
done
owner=$(stat -c %u:%g /srv/state/uptime-kuma/data)
python3 - <<'END'
import sqlite3
base = sqlite3.connect("/srv/state/uptime-kuma/data/kuma.db")
base.execute("CREATE TABLE kept AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 700) SELECT n FROM r")
base.commit()
END
chown "$owner" /srv/state/uptime-kuma/data/kuma.db
box backup 2>&1 | sed 's/^/backup says /'
kept=/srv/state/nextcloud/html/config/kept
echo "written $(sql "SELECT md5(string_agg(text, '' ORDER BY n)) FROM kept") $(sha256sum <$kept)"
sql "UPDATE kept SET text = 'spoilt'"
echo spoilt >$kept
box restore nextcloud 2>&1 | sed 's/^/restore says /'
echo "restored $(sql "SELECT md5(string_agg(text, '' ORDER BY n)) FROM kept") $(sha256sum <$kept)"
"#;

/// What there is of it, on either disk.
const LOOK: &str = r#"
sql() { docker exec nextcloud-db psql -U nextcloud -qtAc "$1"; }
echo "rows $(sql "SELECT count(*), sum(n), md5(string_agg(text, '' ORDER BY n)) FROM kept")"
echo "kuma $(python3 -c 'import sqlite3; print(*sqlite3.connect("file:/srv/state/uptime-kuma/data/kuma.db?mode=ro", uri=True).execute("SELECT count(*), sum(n) FROM kept").fetchone())') $(stat -c %u /srv/state/uptime-kuma/data/kuma.db)"
echo "files $(cd /srv/state/nextcloud && sha256sum html/config/kept data/ada/files/kept | sha256sum | cut -c 1-16) $(stat -c '%a %u:%g' /srv/state/nextcloud/data/ada/files/kept)"
echo "passwords $(cat /srv/state/.secrets/* | sha256sum | cut -c 1-16)"
echo "identity $(cat /var/lib/boxwright/ssh/*.pub | sha256sum | cut -c 1-16)"
echo "in-use $([ "$(stat -c %Y "/proc/$(systemctl show --value --property=MainPID ssh)")" -ge "$(stat -c %Z /var/lib/boxwright/ssh/ssh_host_ed25519_key)" ] && echo yes || echo no)"
echo "nextcloud $(docker inspect -f '{{.State.Health.Status}}' nextcloud nextcloud-db | paste -sd ' ' -)"
echo "nic $(ip -o link | sed -n 's/^[0-9]*: \(en[a-z0-9]*\).*/\1/p' | head -n 1)"
echo "disk $(lsblk -bdno SIZE "/dev/$(lsblk -no PKNAME "$(readlink -f /dev/boxwright/state)")")"
box status | sed 's/^/status /'
"#;

/// The S3 server, with a certificate for the machine's name of this computer.
struct Server {
    program: PathBuf,
    folder: PathBuf,
    running: Option<Running>,
}

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

impl Server {
    fn start(folder: &Path) -> Option<Self> {
        let program = go::s3_server()?;
        fs::create_dir_all(folder.join("data/boxes")).unwrap();
        let names =
            ["-subj", "/CN=10.0.2.2", "-addext", "subjectAltName=IP:10.0.2.2", "-days", "2", "-nodes"];
        let kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        let openssl = Tool::new("openssl").env("PATH", PATH).args(kind).args(names);
        openssl.arg("-keyout").arg(folder.join("key")).arg("-out").arg(folder.join("crt")).output().unwrap();
        let mut server = Self { program, folder: folder.to_owned(), running: None };
        server.up();
        Some(server)
    }

    fn up(&mut self) {
        let s3 = Tool::new(&self.program).env("PATH", PATH);
        let s3 = s3.env("ROOT_ACCESS_KEY", KEYS[0]).env("ROOT_SECRET_KEY", KEYS[1]);
        let s3 = s3.args(["--port", &format!("127.0.0.1:{PORT}"), "--cert"]).arg(self.folder.join("crt"));
        let s3 = s3.arg("--key").arg(self.folder.join("key")).args(["posix", "--nometa"]);
        self.running = Some(s3.arg(self.folder.join("data")).spawn().unwrap());
    }

    fn down(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.kill());
        }
    }

    /// Its files with their sizes.
    fn kept(&self) -> String {
        let find = Tool::new("find").env("PATH", PATH).arg(self.folder.join("data"));
        let list = find.args(["-type", "f", "-printf", "%s %P\n"]).output().unwrap();
        let mut lines: Vec<&str> = std::str::from_utf8(&list).unwrap().lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    /// A unit that lets the box trust it, before there is a network.
    fn trusted(&self) -> Vec<Unit> {
        let text = fs::read_to_string(self.folder.join("crt")).unwrap();
        let bundle = "/etc/ssl/certs/ca-certificates.crt";
        let script = format!(
            "cat {bundle} - >/run/trusted.crt <<'END'\n{text}END\nmount --bind /run/trusted.crt {bundle}\n"
        );
        probe("trust", When::Early, &script)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

/// A disk of `size` from the profile and its secrets, made as a user makes it.
fn flashed(bench: &Bench, name: &str, size: &str, restore: &[&str]) -> BoxDisk {
    let folder = bench.path(name);
    fs::create_dir_all(&folder).unwrap();
    let disk = BoxDisk { path: folder.join("disk.raw"), folder };
    let text = format!(
        "[box]\nbackup-password = 'a password for tests'\nbackup-boxes-key-id = '{}'\nbackup-boxes-secret-key = '{}'\n",
        KEYS[0], KEYS[1]
    );
    let file = secrets::written(&disk.folder, &text);
    let own = ["--size", size, "--secrets", file.to_str().unwrap(), "--profile", PROFILE];
    let receipt = bench.flash(&disk, &[&own, restore].concat());
    assert!(receipt.contains("secrets"), "{receipt}");
    disk
}

#[test]
fn a_failed_host_is_replaced() {
    let Some(bench) = Bench::with_containers(PROFILE) else { return };
    let folder = bench.path("s3");
    let Some(mut server) = Server::start(&folder) else { return };
    let options = MachineOptions { network: Network::Open, ..MachineOptions::default() };

    let first = flashed(&bench, "first", "12G", &[]);
    let look = format!("{LOOK}{}", secrets::leaks());
    let script = format!("{WRITE}{look}{}", inventory::LIST);
    let mut run =
        bench.start(&first, &with_units(&options, [server.trusted(), probe("write", When::Ready, &script)]));
    let before = run.probe("write", LONG);
    run.cut_power();
    secrets::assert_nowhere_else(&before);
    inventory::assert_billed(bench.image(), &before);
    assert_eq!(value(&before, "rows").split('|').next(), Some("5000"), "{before:#?}");
    assert_eq!(value(&before, "written"), value(&before, "restored"), "{before:#?}");

    // Another size, and a further disk, which gives the ethernet port another name.
    let second = flashed(&bench, "second", "20G", &["--restore", "latest"]);
    let another = MachineOptions { disks: vec![bench.empty("another", 64 << 20)], ..options };
    cut_off_and_cut_short(&bench, &mut server, &second, &another);
    let begin = Instant::now();
    let mut run =
        bench.start(&second, &with_units(&another, [server.trusted(), probe("read", When::Ready, &look)]));
    let shown = run.until_text(LONG, "restore: Nextcloud");
    assert!(shown.contains(" % of "), "{shown}");
    run.until_text(LONG, "restore: all of it is back");
    let restored = begin.elapsed();
    let after = run.probe("read", LONG);
    eprintln!(
        "once more from power to data: {} s, to service: {} s",
        restored.as_secs(),
        begin.elapsed().as_secs()
    );
    run.cut_power();
    for key in ["rows", "kuma", "files", "passwords", "identity", "nextcloud"] {
        assert_eq!(value(&before, key), value(&after, key), "{before:#?}\n{after:#?}");
    }
    for key in ["nic", "disk"] {
        assert_ne!(value(&before, key), value(&after, key), "{after:#?}");
    }
    assert_eq!(value(&after, "in-use"), "yes", "{after:#?}");
    secrets::assert_nowhere_else(&after);

    rehearsed(&bench, &server, &second);

    // The first one was only unplugged: it gives way.
    let options = MachineOptions { network: Network::Open, ..MachineOptions::default() };
    let mut run = bench.start(&first, &with_units(&options, [server.trusted()]));
    run.until_text(LONG, "this box was flashed again");
    run.cut_power();
}

/// A first start that finds no repository, waits for it, and loses its power in the middle of the restore.
fn cut_off_and_cut_short(bench: &Bench, server: &mut Server, disk: &BoxDisk, options: &MachineOptions) {
    server.down();
    let mut run = bench.start(disk, &with_units(options, [server.trusted()]));
    run.until_text(LONG, "nothing starts until the backup is restored: ");
    server.up();
    let shown = run.until_text(LONG, "restore: Nextcloud");
    let said = run.cut_power();
    assert!(shown.contains(" % of "), "{shown}");
    assert!(!said.iter().any(|line| line.contains("restore: all of it is back")), "{said:#?}");
}

/// What people do once a month: the same in a machine that changes nothing in the repository.
fn rehearsed(bench: &Bench, server: &Server, disk: &BoxDisk) {
    let restore = Some("latest".parse::<Restore>().unwrap());
    let handover = Handover { incarnation: None, restore, rehearsal: true };
    let bundle = secrets::bundle(&project().join(PROFILE), &disk.folder.join("secrets.toml"), &handover);
    let options = MachineOptions { network: Network::Open, ..MachineOptions::default() };
    let kept = server.kept();
    let rehearsal = bench.rehearse(bundle, &with_units(&options, [server.trusted()]));
    assert!(rehearsal.success, "{rehearsal:#?}");
    eprintln!(
        "rehearsed in {} s, {:?} of them for the restore",
        rehearsal.total_seconds, rehearsal.found.seconds
    );
    let backups: Vec<&str> = rehearsal.found.backups.keys().map(String::as_str).collect();
    assert_eq!(backups, ["box", "nextcloud", "uptime-kuma"], "{rehearsal:#?}");
    assert!(rehearsal.found.backups.values().all(|backup| (0..7200).contains(&backup.age)), "{rehearsal:#?}");
    for service in ["nextcloud", "uptime-kuma"] {
        assert_eq!(rehearsal.found.services[service], "runs", "{rehearsal:#?}");
    }
    assert_eq!(server.kept(), kept, "a rehearsal writes nothing");
}
