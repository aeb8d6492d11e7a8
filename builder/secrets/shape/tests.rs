//! What secrets must look like, and what is refused without being repeated.

use proptest::prelude::*;

use super::*;

const ID: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

fn credentials(secret: &[u8]) -> String {
    let secret = STANDARD.encode(secret);
    format!(r#"{{"AccountTag":"{ACCOUNT}","TunnelSecret":"{secret}","TunnelID":"{ID}"}}"#)
}

fn token(secret: &[u8]) -> String {
    let secret = STANDARD.encode(secret);
    STANDARD.encode(format!(r#"{{"a":"{ACCOUNT}","t":"{ID}","s":"{secret}"}}"#))
}

#[test]
fn a_token_and_a_credentials_file_give_the_same_value() {
    let shape = Shape::Tunnel(Some(ID.parse().unwrap()));
    let value = shape.read(&credentials(&[7; 32])).unwrap();
    assert_eq!(value.reveal(), credentials(&[7; 32]));
    let token = token(&[7; 32]);
    for text in [
        token.clone(),
        format!("{token}\n"),
        format!("cloudflared service install {token}"),
        format!("TUNNEL_TOKEN={token}"),
        token.trim_end_matches('=').to_owned(),
    ] {
        assert_eq!(shape.read(&text), Ok(value.clone()));
    }
}

#[test]
fn a_tunnels_addresses_are_clear_of_the_networks_around_the_box() {
    let network: Network =
        toml::from_str("lan = [\"10.2.0.0/24\"]\nhosts = { nas = \"192.168.7.9\" }\n").unwrap();
    let shape = Shape::new(SecretFormat::WireguardAddresses, None, &network);
    for text in ["10.64.0.2/32", "10.64.0.2/32, fc00:bbbb::2/128", "10.2.1.2"] {
        assert!(shape.read(text).is_ok(), "{text}");
    }
    for (text, part) in [
        ("10.2.0.7/32", "the network at home, 10.2.0.0/24"),
        ("fc00::2/128,10.2.0.7/16", "the network at home"),
        ("10.213.40.1/32", "the range for containers, 10.213.0.0/16"),
        ("192.168.7.9/32", "a machine at home"),
        ("10.64.0.2/33", "no list of addresses"),
        ("", "no list of addresses"),
    ] {
        let wrong = shape.read(text).unwrap_err();
        assert!(wrong.message.contains(part), "{text}: {}", wrong.message);
        assert!(!wrong.message.contains("10.2.0.7") && !wrong.message.contains("40.1"), "{}", wrong.message);
    }
}

#[test]
fn what_is_wrong_is_said_without_the_value() {
    let other = Shape::Tunnel(Some("00000000-0000-4000-8000-000000000000".parse().unwrap()));
    let any = Shape::Tunnel(None);
    let key = STANDARD.encode([9; 32]);
    let table = [
        (&other, credentials(&[7; 32]), "is the credential of the tunnel 6ff42ae2"),
        (&any, credentials(&[7; 31]), "is damaged"),
        (&any, "{\"AccountTag\":\"canary-canary\"}".to_owned(), "is JSON, but not"),
        (&any, "canary-canary".to_owned(), "is not the credential"),
        (&any, "-----BEGIN ARGO TUNNEL TOKEN-----\ncanary\n".to_owned(), "is a certificate"),
        (&Shape::Text, token(&[7; 32]), "is the credential of a tunnel"),
        (&Shape::Text, "canary\ncanary".to_owned(), "has more than one line"),
        (&Shape::WireguardKey, key[..42].to_owned(), "is not a WireGuard key"),
        (&Shape::HexKey, "canary".to_owned(), "is not an API key"),
        (&Shape::Url, "canary.example".to_owned(), "is not a web address"),
        (&Shape::Url, "https:// canary".to_owned(), "is not a web address"),
    ];
    for (shape, text, expected) in table {
        let wrong = shape.read(&text).unwrap_err();
        assert!(wrong.message.starts_with(expected), "{shape:?}: {}", wrong.message);
        let said = format!("{wrong:?}");
        assert!(!said.contains("canary") && !said.contains(&text), "{said}");
    }
    for (shape, text) in [
        (Shape::WireguardKey, key.as_str()),
        (Shape::HexKey, ACCOUNT),
        (Shape::Url, "https://hc-ping.com/1"),
        (Shape::Text, "o.x"),
    ] {
        assert_eq!(shape.read(text).unwrap().reveal(), text);
    }
}

#[test]
fn a_recovery_key_is_read_as_the_initrd_reads_it() {
    let key = "0123456789abcdef".repeat(4);
    for text in [key.clone(), key.to_uppercase(), format!(" {} - {}\n", &key[..32], &key[32..])] {
        assert_eq!(Shape::RecoveryKey.read(&text).unwrap().reveal(), key, "{text}");
    }
    for text in [&key[1..], &format!("{key}0"), &"ab".repeat(32), &key.replace('0', "g")] {
        assert!(Shape::RecoveryKey.read(text).is_err(), "{text}");
    }
}

#[test]
fn what_was_left_to_be_replaced_is_no_secret() {
    for text in ["...", "<your token>", "changeme", " TODO ", "xxxx"] {
        assert!(is_placeholder(text), "{text}");
    }
    for text in ["x1", "o.abcdef", "passwords"] {
        assert!(!is_placeholder(text), "{text}");
    }
}

const SHAPES: [Shape; 8] = [
    Shape::Text,
    Shape::Invented,
    Shape::HexKey,
    Shape::Tunnel(None),
    Shape::WireguardKey,
    Shape::WireguardAddresses(Vec::new()),
    Shape::Url,
    Shape::SshKey,
];

proptest! {
    #[test]
    fn either_form_of_any_tunnels_credential_becomes_the_file(
        account in "[0-9a-f]{32}",
        id in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        secret in proptest::collection::vec(any::<u8>(), 32..65),
        before in "(|\\PC{0,10} |TUNNEL_TOKEN=|cloudflared tunnel run --token )",
        after in "[ \n]{0,3}",
    ) {
        let secret = STANDARD.encode(secret);
        let file = format!(r#"{{"AccountTag":"{account}","TunnelSecret":"{secret}","TunnelID":"{id}"}}"#);
        let token = STANDARD.encode(format!(r#"{{"a":"{account}","t":"{id}","s":"{secret}"}}"#));
        let shape = Shape::Tunnel(Some(id.parse().unwrap()));
        let value = shape.read(&file).unwrap();
        prop_assert_eq!(value.reveal(), &file);
        if !before.trim_start().starts_with('{') {
            prop_assert_eq!(shape.read(&format!("{before}{token}{after}")).unwrap(), value);
        }
        let other = Shape::Tunnel(Some(ID.parse().unwrap()));
        prop_assert!(other.read(&file).is_err() && other.read(&token).is_err());
    }

    #[test]
    fn a_damaged_credential_is_refused_or_still_whole(
        position in 0usize..1000,
        byte in any::<u8>(),
        cut in 0usize..1000,
        file in any::<bool>(),
    ) {
        let whole = if file { credentials(&[7; 32]) } else { token(&[7; 32]) };
        let mut bytes = whole.into_bytes();
        let position = position % bytes.len();
        bytes[position] = byte;
        bytes.truncate(1 + cut.max(position) % bytes.len());
        if let Ok(value) = Shape::Tunnel(None).read(&String::from_utf8_lossy(&bytes)) {
            let read: Credentials = serde_json::from_str(value.reveal()).unwrap();
            prop_assert!(read.account.len() == 32 && STANDARD.decode(&read.secret).unwrap().len() >= 32);
            prop_assert!(read.id.parse::<TunnelId>().is_ok());
        }
    }

    #[test]
    fn no_text_does_harm_or_is_repeated(text in "\\PC{0,60}", json in any::<bool>(), word in "[g-z]{12}") {
        let text = if json { format!("{{\"AccountTag\":\"{text}{word}\"}}") } else { format!("{text}{word}") };
        for shape in SHAPES {
            for text in [text.clone(), STANDARD.encode(&text)] {
                if let Err(wrong) = shape.read(&text) {
                    let said = format!("{wrong:?}");
                    prop_assert!(!said.contains(&word), "{}", said);
                }
            }
        }
    }
}
