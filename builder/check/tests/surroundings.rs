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
