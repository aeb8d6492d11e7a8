//! Names, the tunnel, ports, and who may come in.

use super::{GOOD, findings, row};

#[test]
fn names_and_the_tunnel() {
    let table: &[(&str, &[&str])] = &[
        ("at = \"sonarr\" => at = \"sonarr.example.com\"", &["error bad-host-name \"sonarr.example.com\""]),
        ("at = \"sonarr\" => at = \"wpad\"", &["error reserved-name \"wpad\""]),
        ("uptime-kuma = { at = \"sonarr\" }", &["error name-taken \"sonarr\""]),
        ("uptime-kuma = { at = \"kuma\", page = \"kuma\" }", &["error name-taken \"kuma\""]),
        ("sonarr = { at = \"sonarr\", => sonarr = { page = \"x\", at = \"sonarr\",", &["error no-use page"]),
        ("domain = \"example.com\" => ", &["error no-domain \"sonarr\""]),
        ("team = \"us\" => ", &["error no-team cloudflare"]),
        ("admin = { aud = \"a\" } => ", &["error no-access sonarr"]),
        ("at = \"sonarr\" => at = \"sonarr\", for = \"family\"", &["error no-access for"]),
        (
            "at = \"sonarr\", => for = \"family\",",
            &["warning unused-section cloudflare", "warning unused-key for"],
        ),
        ("gluetun = { at = \"vpn\" }", &["error no-use at"]),
        ("clash = { at = \"clash\", for = \"everyone\" }", &["error open-to-everyone \"everyone\""]),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
    let without = GOOD.split_once("[cloudflare]").unwrap().0.to_owned()
        + GOOD.split_once("{ aud = \"a\" }\n").unwrap().1;
    assert_eq!(findings(&without), ["error no-tunnel sonarr"]);
}

#[test]
fn ports_of_the_box() {
    let table: &[(&str, &[&str])] = &[
        ("plex = { lan = true }", &[]),
        ("uptime-kuma = { lan = true }", &["error no-use true"]),
        ("plex = { lan = [\"32400/tcp\"] }", &[]),
        ("plex = { lan = [\"80/tcp\"] }", &["error unknown-port [\"80/tcp\"]"]),
        ("plex = { lan = [\"32000-33000/tcp\"] }", &["error unknown-port [\"32000-33000/tcp\"]"]),
        ("games = { lan = [\"27015/udp\"], edge = [\"27015/udp\"] }", &[]),
        ("jellyfin = { lan = true }\nplex = { lan = true }", &["error port-clash true"]),
        ("games = { edge = [\"27015/udp\"] }", &[]),
        ("games = { edge = [\"27015/tcp\"] }", &["error unknown-port \"27015/tcp\""]),
        (
            "games = { edge = [\"27015-27016/udp\", \"27016/udp\"] }",
            &["error port-clash [\"27015-27016/udp\", \"27016/udp\"]"],
        ),
    ];
    table.iter().for_each(|(change, expected)| row(change, expected));
}
