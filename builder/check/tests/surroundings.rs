//! Disks, networks, backups and alerts.

use super::row;

#[test]
fn disks() {
    let table: &[(&str, &[&str])] = &[
        (
            "disk = \"media\" => disk = \"meida\"",
            &["warning unused-disk media", "error unknown-disk \"meida\""],
        ),
        (", disk = \"media\" => ", &["warning unused-disk media"]),
        ("disk = \"media\" => disk = [\"media\", \"more\"]", &["error unknown-disk [\"media\", \"more\"]"]),
        ("qbittorrent = {}\n[vpn]\nprovider = \"x\"", &["error no-disk qbittorrent"]),
        ("uptime-kuma = { disk = \"media\" }", &["error no-use disk"]),
        ("{ label = \"media\" } => {}", &["error disk-without-source media"]),
        (
            "{ label = \"media\" } => { label = \"media\", nfs = \"nas:/x\" }",
            &["error disk-with-several media"],
        ),
        ("{ label = \"media\" } => { label = \"\" }", &["error bad-disk \"\""]),
        (
            "\"media\" } => \"media-of-the-house\", filesystem = \"ext4\" }",
            &["error bad-disk \"media-of-the-house\""],
        ),
        ("{ label = \"media\" } => { uuid = \"sda1\" }", &["error bad-disk \"sda1\""]),
        ("{ label = \"media\" } => { uuid = \"6FF4-2AE2\" }", &[]),
        ("{ label = \"media\" } => { nfs = \"nas\" }", &["error bad-disk \"nas\""]),
        (
            "{ label = \"media\" } => { nfs = \"nas:/export\", filesystem = \"ext4\" }",
            &["error no-use filesystem"],
        ),
        (
            "{ label = \"media\" } => { cifs = \"\\\\\\\\nas\\\\share\" }",
            &["error bad-disk \"\\\\\\\\nas\\\\share\""],
        ),
        ("{ label = \"media\" } => { cifs = \"//nas/share\" }", &[]),
        (
            "media = { => state = {",
            &["error reserved-name state", "warning unused-disk state", "error unknown-disk \"media\""],
        ),
        (
            "media = { => \"Media Disk\" = { label = \"m\" }\nmedia = {",
            &["error bad-disk-name \"Media Disk\"", "warning unused-disk \"Media Disk\""],
        ),
        (
            "media = { => other = { label = \"MEDIA\" }\nmedia = {",
            &["warning unused-disk other", "error disk-twice \"MEDIA\""],
        ),
        ("{ label = \"media\" } => { label = \"media\", owner = \"1001:1001\" }\n", &[]),
        (
            "[services] => [disks.play]\nlabel = \"play\"\nowner = \"1001:1001\"\n[services]\ngames = { disk = \"play\" }",
            &["warning disk-owner \"play\""],
        ),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

#[test]
fn networks() {
    let table: &[(&str, &[&str])] = &[
        ("[network]\nlan = [\"192.168.1.0/24\"]", &[]),
        ("[network]\nlan = [\"10.0.0.0/8\"]", &["error network-overlap \"10.0.0.0/8\""]),
        ("[network]\nlan = [\"192.168.1.7/24\"]", &["error bad-network \"192.168.1.7/24\""]),
        ("[network]\ncontainers = \"8.0.0.0/8\"", &["error bad-network \"8.0.0.0/8\""]),
        ("[network]\ncontainers = \"10.9.0.0/24\"", &["error bad-network \"10.9.0.0/24\""]),
        ("[network]\ncontainers = \"10.9.1.0/16\"", &["error bad-network \"10.9.1.0/16\""]),
        (
            "[network]\nhosts = { nas = \"10.213.0.9\" }",
            &["warning unused-host nas", "error network-overlap \"10.213.0.9\""],
        ),
        ("plex = { reach = [\"nas\"] }\n[network]\nhosts = { nas = \"192.168.1.9\" }", &[]),
        (
            "plex = { reach = [\"nsa\"] }\n[network]\nhosts = { nas = \"192.168.1.9\" }",
            &["error unknown-host \"nsa\"", "warning unused-host nas"],
        ),
        ("plex = { reach = [\"192.168.1.9\"] }", &["error address-for-name \"192.168.1.9\""]),
        (
            "plex = { reach = [\"n_s\"] }\n[network]\nhosts = { n_s = \"192.168.1.9\" }",
            &["error bad-host-name n_s"],
        ),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

/// A server that is reached over SFTP, with these keys in place of the usual ones or beside them.
fn server(more: &str) -> String {
    let all = [
        ("sftp", "\"nas.lan\"".to_owned()),
        ("user", "\"attic\"".to_owned()),
        ("host-key", format!("\"{ECDSA}\"")),
        ("pulled", "true".to_owned()),
    ];
    let named = |key: &str| more.split(", ").any(|one| one.split(" = ").next() == Some(key));
    let usual = all.iter().filter(|(key, _)| !named(key)).map(|(key, value)| format!("{key} = {value}"));
    // `user = -`: not at all.
    let more = more.split(", ").filter(|one| !one.is_empty() && !one.ends_with(" = -")).map(str::to_owned);
    format!("[backup]\nto = [{{ {} }}]", usual.chain(more).collect::<Vec<_>>().join(", "))
}

/// Host keys that no server has.
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBDra1VfIqwfDNH1zZJEETwyTDBMdwe4SGfzMXmO8IOGjTpMlF6ERp2ZsSiLZzv3JNhuxvdLtTK4RT/21uagIHZY=";
const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2RUF6FhYlLrOQmSJgeWnG1kNhTmuN9O0VBz2lmyPUB";

#[test]
fn backups_to_a_server() {
    let whole = |more: &str| server(more).replace("[backup]\nto = [", "").trim_end_matches(']').to_owned();
    let (no_user, no_key) = (whole("user = -"), whole("host-key = -"));
    let scanned = format!("nas.lan {ED25519}");
    let table: &[(&str, &[&str])] = &[
        ("", &[]),
        ("port = 2222, prefix = \"/srv/box\"", &[]),
        ("prefix = \"box/attic\", sftp = \"192.168.1.9\"", &[]),
        (&format!("host-key = [\"{ED25519}\",\"{ECDSA} root@nas\"]"), &[]),
        (&format!("host-key = \"{ED25519}\""), &[&format!("note host-key-order \"{ED25519}\"")]),
        ("pulled = false", &["warning backups-deletable to"]),
        ("locked = \"30d\"", &["error no-use locked"]),
        ("endpoint = \"nas.lan:22\", region = \"eu\"", &["error no-use endpoint", "error no-use region"]),
        ("sftp = \"attic@nas.lan:/srv\"", &["error bad-target \"attic@nas.lan:/srv\""]),
        ("sftp = \"NAS\"", &["error bad-target \"NAS\""]),
        ("user = -", &[&format!("error bad-target {no_user}")]),
        ("user = \"the attic\"", &["error bad-target \"the attic\""]),
        ("host-key = -", &[&format!("error bad-target {no_key}")]),
        (
            &format!("host-key = \"{scanned}\""),
            &[&format!("error bad-key \"{scanned}\""), &format!("note host-key-order \"{scanned}\"")],
        ),
        ("prefix = \"../box\"", &["error bad-target \"../box\""]),
        ("prefix = \"/\"", &["error bad-target \"/\""]),
        ("disk = \"media\"", &[&format!("error bad-target {}", whole("disk = \"media\""))]),
    ];
    for (more, expected) in table {
        let expected: Vec<&str> =
            ["error no-backup-service backup"].into_iter().chain(expected.iter().copied()).collect();
        row(&server(more), &expected);
    }
    for (key, of) in [("user = \"attic\"", "user"), ("port = 22", "port"), ("host-key = \"x\"", "host-key")] {
        for place in ["disk = \"media\"", "s3 = \"abc\", endpoint = \"s3.example.net\""] {
            let expected = ["error no-backup-service backup".to_owned(), format!("error no-use {of}")];
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            row(&format!("[backup]\nto = [{{ {place}, pulled = true, {key} }}]"), &expected);
        }
    }
}

#[test]
fn backups_and_alerts() {
    let table: &[(&str, &[&str])] = &[
        ("[backup]\nto = []", &["error no-backup-service backup", "error no-target to"]),
        (
            "[backup]\nto = [{ s3 = \"abc\", endpoint = \"s3.example.net\", locked = \"30d\" }, { disk = \"media\" }]",
            &["error no-backup-service backup"],
        ),
        ("[backup]\nto = [{ disk = \"media\", pulled = true }]", &["error no-backup-service backup"]),
        (
            "[backup]\nto = [{ s3 = \"abc\", endpoint = \"x.r2.cloudflarestorage.com\", locked = \"30d\" }]",
            &["error no-backup-service backup", "error no-object-lock \"30d\""],
        ),
        (
            "[backup]\nto = [{ s3 = \"abc\", endpoint = \"s3.example.net\", locked = \"2d\" }]",
            &["error no-backup-service backup", "error bad-value \"2d\""],
        ),
        (
            "[backup]\nto = [{ disk = \"media\", locked = \"30d\" }]",
            &["error no-backup-service backup", "error no-use locked"],
        ),
        (
            "[backup]\nto = [{ s3 = \"b\" }]",
            &[
                "error no-backup-service backup",
                "warning backups-deletable to",
                "error bad-target { s3 = \"b\" }",
                "error bad-target \"b\"",
            ],
        ),
        (
            "[backup]\nto = [{ disk = \"media\", prefix = \"../srv\" }]",
            &[
                "error no-backup-service backup",
                "warning backups-deletable to",
                "error bad-target \"../srv\"",
            ],
        ),
        (
            "[backup]\nto = [{ disk = \"medai\" }]",
            &[
                "error no-backup-service backup",
                "warning backups-deletable to",
                "error unknown-disk \"medai\"",
            ],
        ),
        (
            "[backup]\nat = \"04:15\"\nto = [{ disk = \"media\" }]",
            &[
                "error no-backup-service backup",
                "warning backup-at-reboot \"04:15\"",
                "warning backups-deletable to",
            ],
        ),
        (
            "[backup]\nkeep = { daily = 0, weekly = 0, monthly = 0 }\nto = [{ s3 = \"abc\", endpoint = \"https://x/\" }]",
            &[
                "error no-backup-service backup",
                "error keeps-nothing keep",
                "warning backups-deletable to",
                "error bad-target \"https://x/\"",
            ],
        ),
        (
            "[alerts]\nto = [\"mail\", \"mail\"]",
            &["error no-mail-server [\"mail\", \"mail\"]", "warning needless-value \"mail\""],
        ),
        (
            "[alerts]\nto = [\"pushbullet\"]\nntfy = { server = \"ntfy.sh\" }",
            &["warning unused-key ntfy", "error bad-value \"ntfy.sh\""],
        ),
        (
            "domain = \"example.com\" => domain = \"example.com\"\nups = \"usb\"",
            &["note start-with-power \"usb\""],
        ),
        (
            "[alerts]\nmail = { host = \"smtp.example.net:25\", from = \"box\" }",
            &[
                "warning without-effect mail",
                "error bad-value \"smtp.example.net:25\"",
                "error bad-value \"box\"",
            ],
        ),
        (
            "[alerts]\nmail = { host = \"smtp.example.net\", from = \"box@example.com\" }",
            &["warning without-effect mail"],
        ),
        (
            "uptime-kuma = {}\n[alerts]\nmail = { host = \"smtp.example.net\", from = \"box@example.com\" }",
            &[],
        ),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}
