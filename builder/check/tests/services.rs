//! Services, their drawbacks, and the VPN.

use super::row;

#[test]
fn services() {
    let table: &[(&str, &[&str])] = &[
        ("sonar = {}", &["error unknown-service sonar"]),
        ("frobnicator = {}", &["error unknown-service frobnicator"]),
        ("plex = {}\noverseerr = {}", &["note renamed-service overseerr"]),
        (
            "plex = {}\noverseerr = {}\nseerr = {}",
            &["note renamed-service overseerr", "error service-twice seerr"],
        ),
        ("seerr = {}", &["error missing-service seerr"]),
        ("plex = { egress = \"vpn\" }", &["error no-vpn egress", "error bad-egress \"vpn\""]),
        (
            "uptime-kuma = { gpu = true, memory = \"2 GB\" }",
            &["error no-use gpu", "error bad-value \"2 GB\""],
        ),
        ("plex = { gpu = true, memory = \"2g\" }", &[]),
        ("plex = { env = { A = \"1\", \"B C\" = \"2\" } }", &["error bad-value \"B C\""]),
        ("plex = { env = { PLEX_TOKEN = \"x\" } }", &["error secret-in-profile PLEX_TOKEN"]),
        ("clash = { set = { level = \"debug\", count = 3 } }", &[]),
        ("clash = { set = { levl = \"debug\" } }", &["error unknown-setting levl"]),
        ("clash = { set = { level = 3 } }", &["error wrong-type 3"]),
        ("clash = { set = { level = \"loud\" } }", &["error bad-value \"loud\""]),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

#[test]
fn drawbacks_are_told_until_they_are_accepted() {
    let everyone = "for = \"everyone\"";
    let table: &[(&str, &[&str])] = &[
        (&format!("plex = {{ at = \"plex\", {everyone} }}"), &["error video-over-cloudflare plex"]),
        (&format!("plex = {{ at = \"plex\", {everyone}, accept = [\"video-over-cloudflare\"] }}"), &[]),
        (
            "plex = { accept = [\"video-over-cloudflare\"] }",
            &["warning needless-accept \"video-over-cloudflare\""],
        ),
        (
            "plex = { accept = [\"vidio-over-cloudflare\"] }",
            &["error unknown-accept \"vidio-over-cloudflare\""],
        ),
        (
            "plex = { at = \"plex\", accept = [\"video-over-cloudflare\"] }",
            &["warning access-blocks-apps plex"],
        ),
        (&format!("plex = {{}}\nseerr = {{ at = \"r\", {everyone} }}"), &["note first-visitor-owns seerr"]),
        (
            "plex = {}\nseerr = { at = \"r\", for = \"family\" }",
            &["note first-visitor-owns seerr", "error no-access for"],
        ),
        ("plex = {}\nseerr = { at = \"r\" }", &[]),
        (
            &format!("plex = {{}}\nseerr = {{ at = \"r\", {everyone}, accept = [\"first-visitor-owns\"] }}"),
            &["note first-visitor-owns seerr", "warning needless-accept \"first-visitor-owns\""],
        ),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

/// What one service keeps is not for another to delete: Sonarr has all of the disk.
#[test]
fn a_folder_on_a_disk_that_others_write_to() {
    let table: &[(&str, &[&str])] = &[
        ("games = { disk = \"media\" }", &["error shared-disk games"]),
        ("games = { disk = \"media\", accept = [\"shared-disk\"] }", &[]),
        ("games = { accept = [\"shared-disk\"] }", &["warning needless-accept \"shared-disk\""]),
        ("[services] => [disks.own]\nlabel = \"own\"\n[services]\ngames = { disk = \"own\" }", &[]),
        ("plex = { disk = \"media\" }", &[]),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}

#[test]
fn the_vpn() {
    let vpn = "[vpn]\nprovider = \"mullvad\"";
    row(vpn, &["warning unused-section vpn"]);
    let tunnel = |range: &str, more: &str, expected: &[&str]| {
        let text = format!("qbittorrent = {{ disk = \"media\" }}\n{vpn}\naddresses = [\"{range}\"]\n{more}");
        row(&text, expected);
    };
    tunnel("10.64.0.0/10", "", &[]);
    tunnel(
        "10.64.0.0/10",
        "[network]\nlan = [\"10.70.1.0/24\"]",
        &["error network-overlap \"10.64.0.0/10\""],
    );
    tunnel("10.0.0.0/8", "", &["error network-overlap \"10.0.0.0/8\""]);
    tunnel("10.64.0.2/10", "", &["error bad-network \"10.64.0.2/10\""]);
    row("qbittorrent = { disk = \"media\" }", &["error no-vpn qbittorrent"]);
    row(&format!("qbittorrent = {{ disk = \"media\" }}\n{vpn}"), &[]);
    let open = "qbittorrent = { disk = \"media\", egress = \"direct\" }";
    row(open, &["error torrents-in-the-open qbittorrent"]);
    let both = "clash = { egress = \"vpn\" }\nqbittorrent = { disk = \"media\" }";
    row(&format!("{both}\n{vpn}"), &["error port-clash qbittorrent"]);
    let own = |lines: &str, expected: &[&str]| {
        row(&format!("qbittorrent = {{ disk = \"media\" }}\n[vpn]\n{lines}"), expected)
    };
    let key = "public-key = \"2/ygd0TRqiC1sebr6VaMzxUwnqJ9Zmo98HwJpoCThRI=\"";
    own(&format!("provider = \"custom\"\nendpoint = \"198.51.100.7:51820\"\n{key}"), &[]);
    own(
        &format!("provider = \"custom\"\nendpoint = \"198.51.100.7:51820\"\n{key}\ncities = [\"Oslo\"]"),
        &["warning unused-key cities"],
    );
    own("provider = \"custom\"", &["error no-server \"custom\"", "error no-server \"custom\""]);
    own("provider = \"custom\"\ntype = \"openvpn\"", &["error no-server \"openvpn\""]);
    own(
        &format!("provider = \"mullvad\"\n{key}"),
        &["error bad-value \"2/ygd0TRqiC1sebr6VaMzxUwnqJ9Zmo98HwJpoCThRI=\""],
    );
    own(
        "provider = \"custom\"\nendpoint = \"198.51.100.7:51820\"\npublic-key = \"AAAA\"",
        &["error bad-value \"AAAA\""],
    );
    row("[vpn]\nprovider = \" \"", &["warning unused-section vpn", "error bad-value \" \""]);
}
